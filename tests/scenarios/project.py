"""A folder made by `fedml init` enters, a project leaves whose real command can be run, and whose traces can be read.

Everything goes through the command `fedml`, as a person's would; regions are looked at by their HTTP API, the home store by
its files.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from federation.cli import run as fedml
from tests.scenarios.light_job import LIGHT_SCRIPT, light_job

FEDML = Path(sys.executable).with_name("fedml")
REGIONS = ("us", "eu", "onprem")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell of an error."""
        return [line for line in self.err.splitlines() if line.startswith("Error:")]

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[dict[str, Any]]:
        """The JSON Lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Project:
    """A project folder and the command in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[str]] = []

    @classmethod
    def made(cls, root: Path, **settings: object) -> Project:
        """`fedml init` in `root`; `settings` are put under [federation]."""
        project = cls(root)
        root.parent.mkdir(parents=True, exist_ok=True)
        project.ran("init", str(root), cwd=root.parent)
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        toml = root / "fedml.toml"
        toml.write_text(toml.read_text().replace("[federation]\n", f"[federation]\n{lines}", 1))
        return project

    # ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────

    def environment(self) -> dict[str, str]:
        """This process's environment, without what would steer the command."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FEDML_", "NOMAD_", "PYTEST_", "COV_"))
        }

    def fedml(self, *arguments: str, cwd: Path | None = None, stdin: str = "") -> Done:
        """Run the command to its end, in this process: most of what one costs is Python's start. What leaves processes behind
        gets one of its own."""
        if stdin or arguments[:1] == ("dev",) or "--detach" in arguments:
            return self.apart(*arguments, cwd=cwd, stdin=stdin)
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd or self.root)
            for name in set(os.environ) - set(self.environment()):
                patch.delenv(name)
            code = fedml(arguments)
        return Done(code, out.getvalue(), err.getvalue())

    def apart(self, *arguments: str, cwd: Path | None = None, stdin: str = "") -> Done:
        """Run the command to its end, in a process of its own."""
        done = subprocess.run(
            [FEDML, *arguments],
            cwd=cwd or self.root,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ran(self, *arguments: str, cwd: Path | None = None) -> Done:
        """Run the command, which must succeed."""
        done = self.fedml(*arguments, cwd=cwd)
        assert done.code == 0, f"fedml {' '.join(arguments)} exited with {done.code}:\n{done.err}{done.out}"
        return done

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, running."""
        process = subprocess.Popen(
            [FEDML, *arguments],
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end_processes(self) -> None:
        """End every command that a test started and didn't see end."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
                stream.close()
        self.processes.clear()

    # ── its files ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, name: str, text: str) -> str:
        """A file of the project; its name."""
        (self.root / name).write_text(text)
        return name

    def job(self, name: str, script: str = LIGHT_SCRIPT, **settings: Any) -> str:
        """A light job of that name; the name of its file."""
        return self.write(f"{name}.nomad.hcl", light_job(name, script, **settings))

    def variant(self, name: str, *changes: tuple[str, str]) -> str:
        """fedml.toml with these texts replaced (each must occur), under another name: for `--config`."""
        text = (self.root / "fedml.toml").read_text()
        for old, new in changes:
            assert old in text, f"{old!r} isn't in fedml.toml"
            text = text.replace(old, new)
        return self.write(f"{name}.toml", text)

    # ── its traces ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def home(self) -> Path:
        """The folder of the home store."""
        return self.root / "stores" / "home"

    def home_objects(self) -> frozenset[str]:
        """The keys of the home store."""
        files = (path.relative_to(self.home) for path in self.home.rglob("*.json"))
        return frozenset(path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))

    def run_log(self, run: str) -> list[dict[str, Any]]:
        """All changes of a run's log, in order."""
        entries = sorted((self.home / "runs" / run / "log").glob("*.json"))
        return [change for entry in entries for change in json.loads(entry.read_text())["changes"]]

    def index_changes(self, run: str) -> list[dict[str, Any]]:
        """The index's changes that concern a run, in order."""
        entries = sorted((self.home / "index" / "log").glob("*.json"))
        changes = [change for entry in entries for change in json.loads(entry.read_text())["changes"]]
        return [change for change in changes if run in json.dumps(change)]

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The index's rows, as `fedml index list --json` has them."""
        entries: list[dict[str, Any]] = self.ran("index", "list", "--json", *arguments).json["results"]
        return entries

    def committed(self, run: str) -> Counter[tuple[int, str, int]]:
        """How often each key of a run is committed."""
        rows = self.rows("--run", run, "--state", "committed")
        return Counter((row["slot"], row["group"], row["index"]) for row in rows)

    def region(self, name: str, path: str, *, method: str = "GET") -> Any:
        """A request to a region's API."""
        state = json.loads((self.root / ".fedml/dev/state.json").read_text())
        token = (self.root / ".fedml/dev/token").read_text().strip()
        url = f"http://127.0.0.1:{state['servers'][f'region:{name}']['port']}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"X-Nomad-Token": token}, method=method), timeout=60
        ) as answer:
            return json.load(answer)

    def pid(self, region: str) -> int:
        """The process of a region."""
        state = json.loads((self.root / ".fedml/dev/state.json").read_text())
        return int(state["servers"][f"region:{region}"]["process"]["pid"])

    def jobs(self, region: str) -> dict[str, int]:
        """All jobs of a region with their JobModifyIndex, children too."""
        return {job["ID"]: job["JobModifyIndex"] for job in self.region(region, "/v1/jobs")}

    def children(self, region: str, job: str) -> list[dict[str, Any]]:
        """The children of a job in a region, whole."""
        names = [name for name in self.jobs(region) if name.startswith(f"{job}/dispatch-")]
        return [self.region(region, f"/v1/job/{name.replace('/', '%2F')}") for name in names]

    def forget(self, region: str, job_id: str) -> None:
        """Purge the job, as Nomad's garbage collection does in time."""
        self.region(region, f"/v1/job/{job_id.replace('/', '%2F')}?purge=true", method="DELETE")

    def still_open(self, region: str, job: str) -> list[str]:
        """The children of a job in a region that aren't over."""
        return [child["ID"] for child in self.children(region, job) if child["Status"] != "dead"]

    def traces(self) -> tuple[frozenset[str], dict[str, dict[str, int]]]:
        """All that a command could have left half-done: objects of the home store, jobs of the regions."""
        return self.home_objects(), {region: self.jobs(region) for region in REGIONS}


class ApartProject(Project):
    """A project whose commands each run in a process of their own: clients of buckets keep connections open for as long as
    their process lives."""

    def fedml(self, *arguments: str, cwd: Path | None = None, stdin: str = "") -> Done:
        """Run the command to its end."""
        return self.apart(*arguments, cwd=cwd, stdin=stdin)


@contextmanager
def gate(path: Path) -> Iterator[Path]:
    """A named pipe for tasks to wait at (`cat PATH`): whoever waits there at the end goes on."""
    os.mkfifo(path)
    try:
        yield path
    finally:
        opened = os.open(path, os.O_RDWR)
        path.unlink()  # first: whoever opened it once nobody writes would wait for ever
        time.sleep(0.2)  # for tasks that are in the middle of opening it
        os.close(opened)


def told(process: subprocess.Popen[str], text: str, times: int) -> str:
    """Read a command's stderr until that many lines hold the text; what was read."""
    assert process.stderr is not None
    lines = ""
    while lines.count(text) < times:
        line = process.stderr.readline()
        assert line, f"it ended before {text!r} came {times} times:\n{lines}"
        lines += line
    return lines


def run_id(text: str) -> str:
    """The run that a dispatch told of, on stderr."""
    found = re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", text)
    assert found is not None, f"no run is named in:\n{text}"
    return found[0]


def expected_keys(slots: int, count: int = 1, group: str = "work") -> Counter[tuple[int, str, int]]:
    """Each key of a run once."""
    return Counter((slot, group, index) for slot in range(slots) for index in range(count))


def assert_refused(done: Done, *said: str, code: int = 1) -> None:
    """One error on stderr that says all of this, and nothing else went out."""
    assert done.code == code, done.err
    assert len(done.errors) == 1, done.err
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err
    assert done.out == ""
    for text in said:
        assert text in done.err
