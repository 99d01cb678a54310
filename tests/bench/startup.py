"""What commands cost besides their requests: whole processes in turn, by the processor time that each took.

Processor time, since these processes hardly wait, and whatever else the machine does changes it least.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from regions.storage import store_url
from tests.bench.dispatch import REGIONS, nodes, project_file
from tests.bench.main_job import FEDML, MOCK_JOB
from tests.bench.measure import Figure, at_most
from tests.bench.stores_rivals import BUCKET, Boto3
from tests.emulators import moto

RUNS = 9
MEMORY_LIMIT_MB = 45

SAME_REQUESTS = """
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
name = sys.argv[2] + str(__import__("uuid").uuid4())
for ask in (client.get_object, client.head_object):
    try:
        ask(Bucket=sys.argv[2], Key=name)
    except ClientError:
        pass
for key in ("model", "record"):
    client.put_object(Bucket=sys.argv[2], Key=name + key, Body=b"x" * 1000)
"""

SAME_PLAN = """
import sys, nomad
for port in sys.argv[2:]:
    client = nomad.Nomad(host="127.0.0.1", port=int(port), token=open(sys.argv[1]).read().strip())
    client.agent.get_members()
    job = client.job.get_job("bench")
    client.nodes.get_nodes()
    for status in ("pending", "blocked"):
        client.evaluations.request(params={"status": status}, method="get")
    for _ in range(2):
        client.job.plan_job("bench", {"Job": job, "Diff": True})
"""

SAME_SHOW = """
import sys, boto3
from botocore.config import Config
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
for page in client.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[2], Prefix=sys.argv[3]):
    for found in page.get("Contents", ()):
        client.get_object(Bucket=sys.argv[2], Key=found["Key"])["Body"].read()
"""

MEASURED = """
import os, resource, sys
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status = os.waitpid(child, 0)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Starts the process from a small one: Linux counts the memory of the process that it was forked from as its own."""


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one after another."""
    (folder / "model").write_bytes(secrets.token_bytes(1000))
    command = [FEDML, "publish", "model"]
    ours, bare, memory_mb = _in_turn(
        command, _task(f"file://{folder}/store"), [sys.executable, "-c", "pass"], folder=folder
    )
    yield at_most("fedml publish to a folder", ours, "Python that does nothing", ours / bare, 2.5)
    yield Figure(
        *("fedml publish to a folder: memory", round(memory_mb, 1), "MB"),
        *("a limit of 45 MB", round(memory_mb / MEMORY_LIMIT_MB, 3), "≤ 1", memory_mb <= MEMORY_LIMIT_MB),
    )
    if moto.is_installed():
        os.environ.update(moto.CREDENTIALS)
        with moto.moto_server() as endpoint:
            url = store_url(Boto3(endpoint).config)
            same = [sys.executable, "-c", SAME_REQUESTS, endpoint, BUCKET]
            ours, theirs, _ = _in_turn(command, _task(url), same, folder=folder)
        yield at_most("fedml publish to S3", ours, "boto3 making the same requests", ours / theirs, 2.0)
        project = folder / "project"
        project.mkdir()
        yield from _of_a_run(project)


def _of_a_run(folder: Path) -> Iterator[Figure]:
    """`plan` and `runs show` in a project with two embedded regions whose home is a bucket, after one run of a slot."""
    with moto.moto_server() as endpoint:
        home = store_url(Boto3(endpoint).config)
        drivers = nodes().replace("memory_mb = 400000", 'memory_mb = 400000, drivers = ["raw_exec", "mock_driver"]')
        text = project_file({name: f"dev:{name}" for name in REGIONS}).replace("file://./stores/home", home)
        (folder / "fedml.toml").write_text(text + drivers)
        (folder / "bench.nomad.hcl").write_text(MOCK_JOB)
        try:
            for command in (["dev", "up"], ["deploy"], ["dispatch", "-n", "1"]):
                subprocess.run([FEDML, *command], cwd=folder, check=True, capture_output=True)
            state = json.loads((folder / ".fedml" / "dev" / "state.json").read_text())["servers"]
            ports = [str(state[f"region:{name}"]["port"]) for name in REGIONS]
            same = [sys.executable, "-c", SAME_PLAN, ".fedml/dev/token", *ports]
            ours, theirs, _ = _in_turn([FEDML, "plan"], {}, same, folder=folder)
            yield at_most("fedml plan", ours, "python-nomad making the same requests", ours / theirs, 2.0)
            told = subprocess.run([FEDML, "runs", "list", "--json"], cwd=folder, check=True, capture_output=True).stdout
            run = json.loads(told)["runs"][0]["run"]
            prefix = home.partition(f"{BUCKET}/")[2].partition("?")[0].strip("/")
            place = "/".join(filter(None, (prefix, "runs", run)))
            same = [sys.executable, "-c", SAME_SHOW, endpoint, BUCKET, place]
            ours, theirs, _ = _in_turn([FEDML, "runs", "show", run], {}, same, folder=folder)
            yield at_most("fedml runs show, home on S3", ours, "boto3 reading the run's objects", ours / theirs, 2.0)
        finally:
            subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=folder, check=True, capture_output=True)


def _task(store: str) -> dict[str, str]:
    return {
        "NOMAD_REGION": "us",
        "NOMAD_JOB_ID": "bench/dispatch-1-a",
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_DC": "dc1",
        "FEDML_STORES": json.dumps({"dc1": store}),
    }


def _in_turn(
    ours: Sequence[str], task: Mapping[str, str], theirs: Sequence[str], *, folder: Path
) -> tuple[float, float, float]:
    """The medians of the processor seconds of both, and the most memory of ours (MB). The first pair isn't counted."""
    found = []
    for _ in range(RUNS + 1):
        environ = {**os.environ, **task, "NOMAD_ALLOC_ID": secrets.token_hex(8)}
        found.append((_process(ours, environ, folder), _process(theirs, environ, folder)))
    pairs = found[1:]
    return (
        statistics.median(own[0] for own, _ in pairs),
        statistics.median(other[0] for _, other in pairs),
        max(own[1] for own, _ in pairs),
    )


def _process(arguments: Sequence[str], environ: Mapping[str, str], folder: Path) -> tuple[float, float]:
    """Processor seconds and most memory (MB) of one process. Raises RuntimeError where it fails."""
    errors = folder / "errors"
    with errors.open("wb") as file:
        told = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MEASURED, *arguments],
            cwd=folder,
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            check=True,
        )
    status, seconds, memory_kb = told.stdout.split()
    if int(status):
        raise RuntimeError(f"{' '.join(arguments)}: {errors.read_text()[-2000:]}")
    return float(seconds), int(memory_kb) / 1024
