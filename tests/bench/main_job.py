"""The main job's figures: start-up, plan, index list, dispatches through the whole path."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from federation.app import App, JobRequest
from federation.config.load import load
from federation.index import Index
from federation.result import Key, ResultFile, ResultRecord
from federation.run.brain.commands import Tell
from federation.workflows.open_run import open_run
from federation.workflows.request import RunRequest, check_for_job, check_request
from federation.workflows.runs import Runs
from regions.model import Region
from regions.storage import open_store
from tests.bench.measure import Figure, at_least, at_most, process_s, ratio_of

FEDML = str(Path(sys.executable).with_name("fedml"))
RUNS = 7
DISPATCHES = 600
ENTRIES = 1000

TYPER_APP = """
import typer
app = typer.Typer()
@app.command()
def one(number: int = 1) -> None:
    "A command."
@app.command()
def two(number: int = 1) -> None:
    "Another command."
app()
"""

MOCK_JOB = """
job "bench" {
  type = "batch"
  parameterized {}
  group "g" {
    reschedule { attempts = 0 }
    task "t" {
      driver = "mock_driver"
      config { run_for = "1ms" }
      resources {
        cpu    = 20
        memory = 10
      }
    }
  }
}
"""


@contextmanager
def project(folder: Path, *arguments: str, edit: dict[str, str] | None = None) -> Iterator[Path]:
    """A project made by `fedml init` whose development federation is up."""
    subprocess.run([FEDML, "init", str(folder), *arguments], check=True, capture_output=True)
    config = folder / "fedml.toml"
    for old, new in (edit or {}).items():
        assert old in config.read_text()
        config.write_text(config.read_text().replace(old, new))
    try:
        subprocess.run([FEDML, "dev", "up"], cwd=folder, check=True, capture_output=True)
        yield folder
    finally:
        subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=folder, check=True, capture_output=True)


def help_figure(folder: Path) -> Figure:
    """`fedml --help` against a two-command Typer app's."""
    script = folder / "two.py"
    script.write_text(TYPER_APP)
    ours, ratio = ratio_of(
        lambda: process_s([FEDML, "--help"], folder),
        lambda: process_s([sys.executable, str(script), "--help"], folder),
        runs=RUNS,
    )
    return at_most("fedml --help", ours, "a two-command Typer app's --help", ratio, 1.5)


def plan_figure(folder: Path) -> Figure:
    """`fedml plan` on three regions against the slowest region alone, asked by the same program."""
    alone = {
        name: min(process_s([FEDML, "plan", "--regions", name], folder, codes=(0, 1)) for _ in range(3))
        for name in ("us", "eu", "onprem")
    }
    slowest = max(alone, key=lambda name: alone[name])
    ours, ratio = ratio_of(
        lambda: process_s([FEDML, "plan"], folder, codes=(0, 1)),
        lambda: process_s([FEDML, "plan", "--regions", slowest], folder, codes=(0, 1)),
        runs=RUNS,
    )
    return at_most("fedml plan, three regions", ours, f"the same asked of the slowest alone ({slowest})", ratio, 1.3)


SAME_REQUESTS = """
import sys, json
import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1",
                      config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}))
for key in sys.argv[2:]:
    try:
        client.get_object(Bucket="fedml-us", Key=key)["Body"].read()
    except ClientError:
        pass
"""


def index_figure(folder: Path) -> Figure:
    """`fedml index list` of 1,000 entries in S3, catalog warm, against a process that makes the same store requests."""
    config = load(folder / "fedml.toml")
    home = replace(config.regions["us"].datacenters["us-east-1"].store, url="s3://fedml-us/home")
    with_home = folder / "s3-home.toml"
    text = (folder / "fedml.toml").read_text()
    with_home.write_text(
        text.replace(
            'home = "file://./stores/home"',
            f'home = {{ url = "s3://fedml-us/home", endpoint = "{home.endpoint}", anonymous = true }}',
        )
    )
    index = Index(open_store(home), cache_dir=config.cache_dir)
    for batch in range(0, ENTRIES, 50):
        index.commit([_record(number) for number in range(batch, batch + 50)])
    revision = index.log(limit=1)[-1].number
    index.close()
    keys = ["home/format.json", f"home/index/log/{revision + 1:020d}.json"]
    script = folder / "same.py"
    script.write_text(SAME_REQUESTS)
    command = [FEDML, "index", "list", "--config", str(with_home), "--json"]
    assert len(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["results"]) == ENTRIES
    ours, ratio = ratio_of(
        lambda: process_s(command, folder),
        lambda: process_s([sys.executable, str(script), str(home.endpoint), *keys], folder),
        runs=RUNS,
    )
    return at_most("fedml index list, 1,000 entries in S3", ours, "boto3 making the same requests", ratio, 1.5)


def _record(number: int) -> ResultRecord:
    return ResultRecord(
        key=Key("bench", number, "g", 0), attempt=1, job="bench", version="1", spec_hash="0" * 64, region="us",
        datacenter="us-east-1", node="us-1", alloc_id=f"alloc-{number:06d}", job_id=f"bench/dispatch-{number}",
        store="s3://fedml-us", manifest_sha256="0" * 64, files=(ResultFile("model.joblib", 1000, "0" * 64),),
        created="2026-01-01T00:00:00Z", metrics={"roc_auc": 0.7 + number / 10000},
    )  # fmt: skip


def dispatch_figure(folder: Path) -> Figure:
    """Dispatches a second over three regions through the whole path, against python-nomad's default loop on the same
    servers. The job's tasks are mocks, so that the servers' processors are free for dispatching."""
    (folder / "bench.nomad.hcl").write_text(MOCK_JOB)
    app = App(load(folder / "fedml.toml"))
    request = RunRequest(JobRequest(str(folder / "bench.nomad.hcl")), slots=DISPATCHES)
    prepared = app.prepare(request.job)
    assert not app.deploy(prepared).failed
    ours = _whole_path(app, request)
    regions = list(app.config.regions.values())
    theirs = _default_loop(regions, DISPATCHES // 2)
    ours = (ours + _whole_path(app, request)) / 2
    app.close()
    return at_least(
        "dispatches through the whole path, three regions",
        ours,
        "1/s",
        "python-nomad's default loop",
        ours / theirs,
        3.0,
    )


def _whole_path(app: App, request: RunRequest) -> float:
    """Dispatches a second from the run's opening to the last acknowledgement."""
    runs, prepared = Runs(app), app.prepare(request.job)
    times: list[float] = []

    def observe(tell: Tell) -> None:
        if tell.kind == "dispatched":
            times.append(time.perf_counter())

    start = time.perf_counter()
    opened = open_run(
        app, check_for_job(check_request(request, app.config), prepared.shape), prepared, list(app.config.regions)
    )
    outcome = runs.start(opened, prepared, observe)
    assert outcome.state == "done", outcome
    assert len(times) == DISPATCHES
    return DISPATCHES / (max(times) - start)


def _default_loop(regions: list[Region], count: int) -> float:
    """python-nomad as its README shows it: one client a region, one dispatch after another."""
    import nomad

    clients = []
    for region in regions:
        host, _, port = region.addresses[0].removeprefix("http://").partition(":")
        assert region.token is not None
        clients.append(nomad.Nomad(host=host, port=int(port), token=region.token.read(), timeout=10))
    start = time.perf_counter()
    for number in range(count):
        clients[number % len(clients)].job.dispatch_job("bench", meta={})
    return count / (time.perf_counter() - start)


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one after another; folders and servers are gone afterwards."""
    yield help_figure(folder)
    with project(folder / "cloud", "--stores", "cloud") as cloud:
        yield plan_figure(cloud)
        yield index_figure(cloud)
    mocks = {"memory_mb = 8192 }": 'memory_mb = 8192, count = 20, drivers = ["mock_driver"] }',
             "memory_mb = 4096 }": 'memory_mb = 4096, count = 20, drivers = ["mock_driver"] }',
             "memory_mb = 2048 }": 'memory_mb = 2048, count = 40, drivers = ["mock_driver"] }',
             "[federation]\n": '[federation]\nresults = "none"\n'}  # fmt: skip
    with project(folder / "mocks", edit=mocks) as folder_of_mocks:
        yield dispatch_figure(folder_of_mocks)
