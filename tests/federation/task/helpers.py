"""A task of `fedml run` as Nomad starts it: the folders, the environment, and a process of its own session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.code.pack import pack
from federation.result import ResultRecord
from federation.task.command_line import Command
from jobs.code_run import code_object
from regions.model import StoreConfig
from regions.storage import Store, open_store
from regions.storage.store import Create
from regions.storage.url import folder_url

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
RUN = "01a21003-4714-7af6-b6b1-1b21c846953c"
PROGRAM = (sys.executable, "-I", "-m", "federation.task")


@dataclass
class Task:
    """One allocation in `root`, with a store of its own. `files` of the code are texts by path."""

    root: Path
    files: Mapping[str, str]
    command: Command
    params: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = PROGRAM

    def __post_init__(self) -> None:
        for folder in ("alloc", "train/local", "source"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for path, text in self.files.items():
            (self.root / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "source" / path).write_text(text)
        packed = pack(self.root / "source", self.root / "cache")
        self.sha256 = packed.sha256
        self.store.put(code_object(packed.sha256), packed.path.read_bytes(), Create())

    @property
    def store(self) -> Store:
        return open_store(StoreConfig(url=folder_url(self.root / "store")))

    @property
    def output(self) -> Path:
        return self.root / "alloc/output"

    @property
    def environ(self) -> dict[str, str]:
        meta = {
            "fedml_code": self.sha256,
            "fedml_command": self.command.to_json(),
            "fedml_params": json.dumps(self.params),
            "fedml_run": RUN,
            "fedml_slot": "3",
            "fedml_attempt": "2",
            "fedml_spec": "5pec",
            "fedml_version": "4",
        }
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "NOMAD_ALLOC_ID": ALLOC,
            "NOMAD_ALLOC_INDEX": "0",
            "NOMAD_ALLOC_DIR": str(self.root / "alloc"),
            "NOMAD_TASK_DIR": str(self.root / "train/local"),
            "NOMAD_TASK_NAME": "train",
            "NOMAD_GROUP_NAME": "train",
            "NOMAD_JOB_ID": "train-abc/dispatch-1-a",
            "NOMAD_JOB_PARENT_ID": "train-abc",
            "NOMAD_DC": "dc1",
            "NOMAD_REGION": "us",
            "NOMAD_MEMORY_LIMIT": "300",
            "NOMAD_TOKEN": "a-nomad-token",
            "FEDML_JOB": "train",
            "FEDML_NODE": "node-1",
            "FEDML_STORES": json.dumps({"dc1": folder_url(self.root / "store")}),
            **{f"NOMAD_META_{key}": value for key, value in meta.items()},
            **{f"NOMAD_META_{key.upper()}": value for key, value in meta.items()},
            **self.more,
        }

    def start(self, action: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.program, action],
            cwd=self.root / "train",
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def act(self, action: str) -> subprocess.CompletedProcess[str]:
        """Runs one action to its end."""
        process = self.start(action)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self) -> subprocess.CompletedProcess[str]:
        """The whole task."""
        return self.act("run")

    def record(self) -> ResultRecord:
        (key,) = [info.key for info in self.store.list("results/")]
        return ResultRecord.from_json(self.store.get(key))

    def objects(self) -> list[str]:
        """All that was published, without the code."""
        return [info.key for info in self.store.list() if not info.key.startswith("code/")]


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the task's own error."""
    assert "federation/task" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "  → "))]
