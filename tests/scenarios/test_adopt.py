"""The job of docs/how-to/adopt-existing-results.md, which knows nothing of fedml and writes with `gsutil cp`."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.load import read_job
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.store import Store
from tests.emulators.fixtures import gcs_endpoint
from tests.scenarios.conftest import federation
from tests.scenarios.project import ApartProject, Project, expected_keys, run_id

__all__ = ["gcs_endpoint"]

PAGE = Path(__file__).parents[2] / "docs/how-to/adopt-existing-results.md"
PATTERN = "gs://legacy-{datacenter}/{save_path}_v{version}_{alloc_id}.json"
DATACENTERS = {"us": "us-east-1", "eu": "eu-west-1"}
GSUTIL = """\
import sys, urllib.parse, urllib.request
_, _, source, target = sys.argv
bucket, _, name = target.removeprefix("gs://").partition("/")
query = urllib.parse.urlencode({"uploadType": "media", "name": name})
urllib.request.urlopen("ENDPOINT/upload/storage/v1/b/" + bucket + "/o?" + query, open(source, "rb").read()).close()
"""


def api(project: Project, region: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What whoever owns the job asks of Nomad."""
    state = json.loads((project.root / ".fedml/dev/state.json").read_text())
    token = (project.root / ".fedml/dev/token").read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{state['servers'][f'region:{region}']['port']}{path}",
        json.dumps(body).encode(),
        {"X-Nomad-Token": token},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own: a sync looks at whatever the index names, also what other stories left."""
    with federation(tmp_path_factory.mktemp("adopt") / "shop") as up:
        yield up


@pytest.fixture
def buckets(gcs_endpoint: str) -> Iterator[dict[str, Store]]:
    """A bucket a datacenter, as it was before fedml."""
    made = {}
    for region, datacenter in DATACENTERS.items():
        body = json.dumps({"name": f"legacy-{datacenter}"}).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{gcs_endpoint}/storage/v1/b?project=x", body, headers)).close()
        config = StoreConfig(url=f"gs://legacy-{datacenter}", endpoint=gcs_endpoint, anonymous=True)
        made[region] = open_store(config)
    return made


def test_what_jobs_write_themselves_closes_slots_and_what_they_wrote_before_is_taken_in(
    project: Project, buckets: dict[str, Store], gcs_endpoint: str
) -> None:
    project = ApartProject(project.root)
    tool = project.write("gsutil.py", GSUTIL.replace("ENDPOINT", gcs_endpoint))
    text = PAGE.read_text(encoding="utf-8").partition("```hcl\n")[2].partition("```")[0]
    assert text.count('"gsutil cp') == 1
    job = project.write(
        "close-prediction.nomad.hcl", text.replace('"gsutil cp', f'"{sys.executable} {project.root / tool} cp')
    )
    store = '{{ url = "gs://legacy-{}", endpoint = "{}", anonymous = true }}'
    config = project.variant(
        "adopt",
        (
            "[federation]\n",
            f'[federation]\nresults = "adopt"\nadopt = "{PATTERN}"\n',
        ),
        ("[regions.onprem]\n", '[regions.onprem]\nadopt = "{alloc_id}"\n'),
        *(
            (f'store = "file://./stores/{region}"', f"store = {store.format(datacenter, gcs_endpoint)}")
            for region, datacenter in DATACENTERS.items()
        ),
    )
    for region, datacenter in DATACENTERS.items():
        loaded = read_job(project.root / job).evaluate({}, region=region).job
        spec = {**loaded, "Region": region, "Namespace": "default", "Datacenters": [datacenter]}
        api(project, region, "/v1/jobs", {"Job": spec})
    before = api(
        project, "eu", "/v1/job/close-prediction/dispatch", {"Meta": {"model_version": "3", "save_path": "old/close"}}
    )["DispatchedJobID"]
    registered = {region: project.jobs(region)["close-prediction"] for region in DATACENTERS}

    refused = project.fedml("dispatch", "--config", config, "--job", job, "--regions", "us,eu", "-meta", "save_path=")
    assert refused.code == 1
    assert "-meta save_path=" in refused.err

    common = ("--config", config, "--job", job, "--regions", "us,eu")
    done = project.ran("dispatch", *common, "-n", "4", "--version", "4", "-meta", "save_path=models/close")
    run = run_id(done.err + done.out)
    rows = project.rows("--config", config, "--run", run, "--state", "committed")
    assert {(row["slot"], row["group"], row["index"]): 1 for row in rows} == expected_keys(4, group="pipeline")
    assert {row["region"] for row in rows} == {"us", "eu"}
    for row in rows:
        key = f"models/close_v4_{row['alloc_id']}.json"
        assert row["url"] == f"gs://legacy-{row['datacenter']}/models/"
        assert buckets[row["region"]].get(key) == b'{"weights": [1, 2]}\n'
        assert row["params"] == {"epochs": "20", "save_path": "models/close"}
    assert {region: project.jobs(region)["close-prediction"] for region in DATACENTERS} == registered
    for region in DATACENTERS:
        for child in project.children(region, "close-prediction"):
            assert not [key for key in child["Meta"] if key.startswith("fedml_")]
    mapped = {change["alloc_id"] for change in project.run_log(run) if change["type"] == "alloc"}
    assert mapped == {row["alloc_id"] for row in rows}

    by_id = ("--config", config, "--job", "close-prediction", "--regions", "us,eu")  # without a file
    project.ran("dispatch", *by_id, "-n", "1", "--version", "5", "-meta", "save_path=by-id")
    (row,) = project.rows("--config", config, "--job", "close-prediction", "--version", "5")
    assert row["params"] == {"epochs": "20", "save_path": "by-id"}
    assert {region: project.jobs(region)["close-prediction"] for region in DATACENTERS} == registered

    told = project.ran("index", "sync", "--config", config, "--adopt", "--job", job)
    assert told.out.count("close-prediction version 3") == 1
    assert "would be committed" in told.out
    project.ran("index", "sync", "--config", config, "--adopt", "--job", job, "--yes")
    (old,) = project.rows("--config", config, "--version", "3", "--job", "close-prediction")
    assert (old["run"], old["params"]) == (f"nomad:eu:{before.replace('/', '~2F')}", {"save_path": "old/close"})
    assert "nothing to do" in project.ran("index", "sync", "--config", config, "--adopt", "--job", job).err
    project.ran("index", "get", old["alloc_id"], "--config", config, "--to", "old-model")
    name = f"close_v3_{old['alloc_id']}.json"
    assert (project.root / "old-model" / name).read_bytes() == b'{"weights": [1, 2]}\n'
    assert sum(1 for store in buckets.values() for _ in store.list()) == len(rows) + 2  # nothing else was written
