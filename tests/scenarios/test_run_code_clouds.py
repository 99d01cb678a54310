"""`fedml run` with S3, Google Cloud Storage and Azure as the stores of its regions, on the emulators of the vendors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators import azurite, gcs
from tests.scenarios.conftest import running
from tests.scenarios.project import Project

pytestmark = pytest.mark.slow

STORES = {
    "us": ("s3", "s3://fedml-us/models"),
    "eu": ("gcs", "gs://fedml-eu/models"),
    "onprem": ("azure", "az://devstoreaccount1/fedml-onprem/models"),
}
SCRIPT = """\
import os, sys
with open(os.environ["FEDML_OUTPUT"] + "/metrics.json", "w") as file:
    file.write('{"loss": %s}' % sys.argv[2])
"""


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Three regions, each with a store of another vendor."""
    if not (gcs.is_installed() and azurite.is_installed()):
        pytest.skip("an emulator is not installed")
    root: Path = tmp_path_factory.mktemp("clouds") / "own"
    root.mkdir()
    toml = '[federation]\nname = "clouds"\nhome = "file://./home"\n[run]\ncpu = 200\nmemory = 64\n'
    for region, (kind, url) in STORES.items():
        toml += f'[regions.{region}]\naddresses = ["dev:{region}"]\n'
        toml += f'[regions.{region}.datacenters.dc]\nstore = "{url}"\nendpoint = "dev:{kind}"\n'
        toml += f'[dev.regions.{region}]\nnodes = [{{ datacenter = "dc", cpu_mhz = 2000, memory_mb = 2048 }}]\n'
        toml += f'[dev.stores.{kind}]\nkind = "{kind}"\nbuckets = ["fedml-{region}"]\n'
    (root / "fedml.toml").write_text(toml)
    (root / "train.py").write_text(SCRIPT)
    project = Project(root)
    with running(project):
        yield project


def test_code_goes_to_each_store_and_comes_back_with_its_results(clouds: Project) -> None:
    done = clouds.ran("run", "train.py", "--sweep", "lr=1,2,3")
    assert "put into 3 stores" in done.err
    assert "is in 3 stores already" in clouds.ran("run", "train.py", "--sweep", "lr=1,2,3").err
    results = clouds.ran("index", "list", "--version", "1", "--json").json["results"]
    assert sorted(result["store"].partition("?")[0] for result in results) == sorted(url for _, url in STORES.values())
    assert sorted(result["metrics"]["loss"] for result in results) == [1, 2, 3]
    for result in results:
        clouds.ran("index", "code", result["alloc_id"], "--to", f"code-{result['region']}")
        assert (clouds.root / f"code-{result['region']}/train.py").read_text() == SCRIPT
    assert "nothing to do" in clouds.ran("index", "gc", "--orphans", "0s").err, "results name the code"
    assert "agrees with" in clouds.ran("index", "reproduce", results[0]["alloc_id"]).err
    clouds.ran("index", "verify", "--deep")


def test_the_code_of_a_detached_run_that_has_no_result_yet_is_kept(clouds: Project) -> None:
    (clouds.root / "slow.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(clouds.root / 'go')!r}): time.sleep(0.1)\n{SCRIPT}"
    )
    done = clouds.ran("run", "slow.py", "--sweep", "lr=1,2,3", "--detach")
    sha256 = done.err.partition("Code ")[2][:12]
    swept = clouds.ran("index", "gc", "--orphans", "0s", "--yes")
    assert sha256 not in swept.out + swept.err
    (clouds.root / "go").touch()
    clouds.ran("runs", "watch", "last")
    assert len(clouds.ran("index", "list", "--job", "slow", "--json").json["results"]) == 3
