"""The archive for nodes runs both tasks, with a bare Python, also with an old one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from federation.publish.bundle.build import Bundle, build
from federation.task.command_line import Command
from tests.federation.publish.bundle.test_build import AS_OLDER
from tests.federation.task.helpers import Task, errors
from tests.federation.task.test_run import SCRIPT


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("build"), "file")


@pytest.mark.parametrize("older", [False, True], ids=["this Python", "as Python 3.9"])
def test_it_fetches_runs_and_publishes(tmp_path: Path, archive: Bundle, older: bool) -> None:
    python = (sys.executable, "-I", "-S", *(["-c", AS_OLDER] if older else []))
    task = Task(tmp_path, {"train.py": SCRIPT}, Command((sys.executable, "train.py")), {"lr": 0.1})
    task.program = (*python, str(archive.path), "--task")
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert task.record().params == {"lr": "0.1"}
    assert task.record().metrics["auc"] == 0.71


def test_its_errors_are_one_line(tmp_path: Path, archive: Bundle) -> None:
    task = Task(tmp_path, {"a": "x"}, Command(("true",)), more={"FEDML_STORES": '{"dc1": "s3://bucket/prefix"}'})
    task.program = (sys.executable, "-I", "-S", str(archive.path), "--task")
    done = task.act("fetch")
    assert done.returncode == 1
    assert errors(done) == [
        "Error: this program lacks regions.storage.s3.store",
        "  → use the archive for the kind of store of this datacenter",
    ]
