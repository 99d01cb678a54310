"""A session of the real `nomad` command line, and the requests behind it: what real Nomad said is recorded beside this
file; every engine must say the same, once IDs, times, indexes and addresses are taken out.

The requests need no binary: the embedded region is held to real Nomad's recorded answers wherever tests run. To record
anew: FEDML_RECORD=1 with the real binaries in NOMAD_BIN.
"""

from __future__ import annotations

import difflib
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.conftest import BINARIES
from tests.conformance.region.recorded import FOLDER, IS_RECORDING, KNOWN, lines, plain, shape

JOBSPEC = """
job "session" {
  datacenters = ["us-east-1"]
  region      = "us"
  type        = "batch"
  parameterized {
    meta_required = ["slot"]
    payload       = "optional"
  }
  group "g" {
    ephemeral_disk { size = 10 }
    restart { attempts = 0 }
    reschedule { attempts = 0 }
    task "main" {
      driver = "raw_exec"
      config {
        command = "/bin/echo"
        args    = ["slot", "${NOMAD_META_slot}"]
      }
      resources {
        cpu    = 20
        memory = 10
      }
      logs {
        max_files     = 1
        max_file_size = 1
      }
    }
  }
}
"""
OPERATED = """
job "session" {
  datacenters = ["us-east-1"]
  region      = "us"
  type        = "batch"
  group "g" {
    ephemeral_disk { size = 10 }
    reschedule { attempts = 0 }
    task "main" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
      resources {
        cpu    = 20
        memory = 10
      }
      logs {
        max_files     = 1
        max_file_size = 1
      }
    }
  }
}
"""
COMMANDS = [
    "job validate FILE",
    "job plan FILE",
    "job run -detach FILE",
    "job plan FILE",
    "job status session",
    "job dispatch session",
    "job dispatch -detach -meta slot=1 -meta other=2 session",
    "job dispatch -detach -meta slot=1 session",
    "job status CHILD",
    "alloc status -short ALLOC",
    "alloc logs ALLOC",
    "alloc logs ALLOC nobody",
    "alloc fs ALLOC alloc/logs/main.stdout.0",
    "job history session",
    "node status",
    "namespace list",
    "job status nothing",
    "alloc status 00000000",
    "job stop -detach CHILD",
    "job stop -detach -purge session",
    "job status session",
]
OPERATIONS = [
    "job run -detach FILE",
    "job inspect session",
    "job allocs session",
    "job eval -detach session",
    "job status session",
    "eval list -job session -status complete",
    "eval status EVAL",
    "eval status -monitor EVAL",
    "job status -evals session",
    "alloc status ALLOC",
    "node status -short NODE",
    "alloc fs ALLOC",
    "alloc fs -stat ALLOC alloc/logs",
    "alloc logs -stderr ALLOC main",
    "alloc restart ALLOC",
    "alloc restart ALLOC nobody",
    "server members",
    "status",
    "status session",
    "node eligibility -disable NODE",
    "node eligibility -enable NODE",
    "node drain -enable -yes -detach NODE",
    "node drain -disable -yes NODE",
    "node eligibility -enable NODE",
    "node eligibility NODE",
    "var put fedml/session a=1 b=two",
    "var put -check-index 1 fedml/session a=2",
    "var get fedml/session",
    "var get fedml/nothing",
    "var list fedml/session",
    "var purge fedml/session",
    "job validate nothing.nomad",
    "job inspect nothing",
    "job eval nothing",
    "job stop nothing",
    "eval status 00000000",
    "alloc stop 00000000",
    "alloc stop -detach ALLOC",
    "job stop -detach -purge session",
    "system gc",
    "job history session",
]
REQUESTS = [
    ("POST", "/v1/validate/job", "job"),
    ("POST", "/v1/job/session/plan", "diff"),
    ("PUT", "/v1/jobs", "job"),
    ("GET", "/v1/job/session", None),
    ("GET", "/v1/job/session/summary", None),
    ("GET", "/v1/job/session/versions?diffs=true", None),
    ("PUT", "/v1/job/session/dispatch", "dispatch"),
    ("GET", "/v1/jobs?prefix=session", None),
    ("GET", "/v1/job/CHILD", None),
    ("GET", "/v1/job/CHILD/summary", None),
    ("GET", "/v1/job/CHILD/allocations", None),
    ("GET", "/v1/job/CHILD/evaluations", None),
    ("GET", "/v1/allocation/ALLOC", None),
    ("GET", "/v1/evaluation/EVAL/allocations", None),
    ("GET", "/v1/job/session/deployments", None),
    ("GET", "/v1/job/nothing", None),
    ("DELETE", "/v1/job/CHILD?purge=true", None),
    ("DELETE", "/v1/job/session?purge=true", None),
]


def _version(federation) -> str:
    return federation.regions["us"].version()


@pytest.fixture
def clean(federation):
    """Whatever the session leaves is gone afterwards, and the node takes tasks again."""
    yield
    for stub in sorted(federation.get("/v1/jobs", prefix="session"), key=lambda one: one["ID"], reverse=True):
        federation.raw("DELETE", f"/v1/job/{quote(stub['ID'], safe='')}", purge="true")


def _run_child(federation, in_states) -> tuple[str, str, str]:
    """The newest child of the session, its allocation and evaluation, once it has ended."""
    children = [one for one in federation.get("/v1/jobs", prefix="session/") if one["ParentID"]]
    child = max(children, key=lambda one: one["SubmitTime"])["ID"]
    (alloc,) = federation.wait_for_allocations(child, in_states("complete", "failed"))
    federation.wait(f"/v1/job/{quote(child, safe='')}", lambda one: one["Status"] == "dead")
    return child, alloc["ID"], alloc["EvalID"]


def _record(path: Path, engine: str, text: str) -> None:
    if IS_RECORDING and engine != "embedded":
        path.write_text(text)


def test_the_requests_of_a_session(federation, clean, in_states):
    from jobs.hcl import parse_job

    job = parse_job(JOBSPEC).job
    bodies = {"job": {"Job": job}, "diff": {"Job": job, "Diff": True}, "dispatch": {"Meta": {"slot": "1"}}}
    names = {"CHILD": "", "ALLOC": "", "EVAL": ""}
    said = []
    for method, path, body in REQUESTS:
        wanted = path
        for name, value in names.items():
            wanted = wanted.replace(name, quote(value, safe=""))
        status, _, text = federation.raw(method, wanted, body=bodies.get(body))
        shown = shape(json.loads(text)) if text[:1] in "{[" and status == 200 else plain(text)
        said.append({"request": f"{method} {path}", "status": status, "answer": shown})
        if body == "dispatch":
            names["CHILD"], names["ALLOC"], names["EVAL"] = _run_child(federation, in_states)
    path = FOLDER / f"requests-{_version(federation)}.json"
    _record(path, federation.engine, json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    recorded = json.loads(path.read_text())
    for mine, real in zip(said, recorded, strict=True):
        difference = "\n".join(difflib.unified_diff(lines(real), lines(mine), "real", "here", n=2, lineterm=""))
        assert not difference, f"{mine['request']}\n{difference}"


@pytest.fixture
def binary(federation) -> str:
    """The `nomad` of the region's version."""
    version = federation.regions["us"].version()
    found = next((path for path in BINARIES if version in path), None)
    if found is None:
        pytest.skip(f"no `nomad` {version} in NOMAD_BIN")
    return found


def _hold_against(path: Path, engine: str, said: list[str]) -> None:
    _record(path, engine, "\n".join(said))
    real = path.read_text().splitlines()
    difference = "\n".join(difflib.unified_diff(real, "\n".join(said).splitlines(), "real", "here", n=3, lineterm=""))
    assert not difference, difference


class _Shell:
    """Runs commands of one binary against one region; `names` are the words that it replaces."""

    def __init__(self, binary: str, address: str, token: str, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        self.names: dict[str, str] = {}
        self.environment = {
            "HOME": str(folder),
            "NO_COLOR": "1",
            "NOMAD_ADDR": address,
            "NOMAD_TOKEN": token,
            "TZ": "UTC",
        }

    def run(self, command: str) -> tuple[str, int]:
        """What is to be compared of a command's output, and its exit code."""
        words = [self.names.get(word, word) for word in command.split()]
        done = subprocess.run(
            [self.binary, *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return f"$ nomad {command}\n{plain(done.stdout + done.stderr)}\n[{done.returncode}]\n", done.returncode


def test_a_session_of_the_command_line(federation, clean, in_states, tmp_path, binary):
    shell = _Shell(binary, federation.addresses["us"], federation.token, tmp_path)
    (tmp_path / "session.nomad").write_text(JOBSPEC)
    shell.names["FILE"] = "session.nomad"
    said = []
    for command in COMMANDS:
        text, code = shell.run(command)
        said.append(text)
        if "-meta slot=1 session" in command and code == 0:
            shell.names["CHILD"], shell.names["ALLOC"], _ = _run_child(federation, in_states)
    _hold_against(FOLDER / f"nomad-{_version(federation)}.txt", federation.engine, said)


def _has_started_twice(alloc: dict[str, Any]) -> bool:
    starts = [event["Type"] for event in alloc["TaskStates"]["main"]["Events"]].count("Started")
    return starts == 2 and alloc["ClientStatus"] == "running"


def test_operations_on_the_command_line(federation, clean, in_states, tmp_path, binary):
    shell = _Shell(binary, federation.addresses["us"], federation.token, tmp_path)
    (tmp_path / "session.nomad").write_text(OPERATED)
    shell.names["FILE"] = "session.nomad"
    said = []
    for command in OPERATIONS:
        text = shell.run(command)[0]
        # A node's allocations are also those of tests that ran before.
        said.append(text.partition("\nAllocations")[0] + "\n" if "node status" in command else text)
        if command == OPERATIONS[0]:
            (alloc,) = federation.wait_for_allocations("session", in_states("running"))
            shell.names |= {"ALLOC": alloc["ID"], "EVAL": alloc["EvalID"], "NODE": alloc["NodeID"]}
        if command == "alloc restart ALLOC":
            federation.wait(f"/v1/allocation/{alloc['ID']}", _has_started_twice)
        if command.startswith("job eval -detach"):
            federation.wait(
                "/v1/job/session/evaluations", lambda found: {one["Status"] for one in found} == {"complete"}
            )
    _hold_against(FOLDER / f"operations-{_version(federation)}.txt", federation.engine, said)


def test_the_docs_tell_what_is_left_out():
    page = Path(__file__).parents[3] / "docs/reference/embedded-region-differences.md"
    text = page.read_text()
    assert [name for name, why in KNOWN.items() if f"`{name}`" not in text or why not in text] == []
