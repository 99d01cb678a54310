"""`fedml_task` without fedml: a script runs on a laptop as it is, and writes beside itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import fedml_task

SCRIPT = """
import json
from fedml_task import attempt, checkpoint, log, metrics, output, params
p = params(lr=0.1, epochs=2, name="x", fast=False, batch_size=4)
class Scalar:
    def item(self): return 0.5
log(loss=Scalar())
log(loss=float("nan"), step=7)
log(loss=1)
metrics(auc=Scalar(), first=True)
metrics(auc=0.7)
print(json.dumps([dict(p), p.lr, attempt, str(output), str(checkpoint)]))
"""


def run(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The one file and a script, with nothing else of fedml."""
    shutil.copy(str(fedml_task.__file__), folder / "fedml_task.py")
    (folder / "train.py").write_text(SCRIPT)
    plain = {"PATH": os.environ["PATH"], **(environ or {})}
    command = [sys.executable, "-S", "train.py", *arguments]
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, check=False)


def test_parameters_are_defaults_without_arguments(tmp_path: Path) -> None:
    done = run(tmp_path)
    values, lr, attempt, output, checkpoint = json.loads(done.stdout)
    assert values == {"lr": 0.1, "epochs": 2, "name": "x", "fast": False, "batch_size": 4}
    assert (lr, attempt, output, checkpoint) == (0.1, 1, str(tmp_path / "output"), str(tmp_path / "checkpoint"))
    lines = (tmp_path / "output/metrics.jsonl").read_text().splitlines()
    assert lines == ['{"step": 0, "loss": 0.5}', '{"step": 7, "loss": NaN}', '{"step": 8, "loss": 1}']
    assert json.loads((tmp_path / "output/metrics.json").read_text()) == {"auc": 0.7, "first": True}


def test_parameters_come_from_arguments(tmp_path: Path) -> None:
    done = run(tmp_path, "--lr", "1", "--name=7", "--fast", "--batch-size", "8", "--more", "-1", "stray")
    values = json.loads(done.stdout)[0]
    assert values == {"lr": 1.0, "epochs": 2, "name": "7", "fast": True, "batch_size": 8, "more": -1}
    assert isinstance(values["lr"], float)


def test_a_task_names_other_places(tmp_path: Path) -> None:
    (tmp_path / "given.json").write_text('{"lr": 1, "batch_size": 16}')
    places = {
        "FEDML_OUTPUT": str(tmp_path / "a/out"),
        "FEDML_PARAMS": str(tmp_path / "given.json"),
        "FEDML_ATTEMPT": "3",
    }
    values, lr, attempt, output, _ = json.loads(run(tmp_path, "--lr", "5", environ=places).stdout)
    assert (values["batch_size"], lr, attempt, output) == (16, 1.0, 3, str(tmp_path / "a/out"))


def test_a_parameter_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match=r"no parameter 'lr'; there are: depth"):
        _ = fedml_task.Params(depth=3).lr
    with pytest.raises(AttributeError, match="has no attribute 'outputs'"):
        _ = fedml_task.outputs


def test_editors_find_its_types() -> None:
    assert Path(str(fedml_task.__file__)).with_name("py.typed").exists()
