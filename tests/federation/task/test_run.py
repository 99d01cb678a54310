"""A task runs the command and publishes what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

from federation.task.command_line import Command
from tests.federation.task.helpers import RUN, Task

SCRIPT = """
import json, os, sys
from fedml_task import attempt, checkpoint, log, metrics, output, params

p = params(lr=0.5, depth=3)
for step in range(3):
    log(step=step, loss=1 / (step + 1))
metrics(auc=0.71, nested={"a": 1})
(output / "seen.json").write_text(json.dumps({
    "argv": sys.argv[1:], "params": p, "attempt": attempt, "cwd": os.getcwd(), "environ": dict(os.environ),
}))
print("trained")
"""


def test_what_a_script_writes_is_published_with_its_origin(tmp_path: Path) -> None:
    params = {"lr": 0.1, "name": "a b", "flag": True, "seed": 7}
    task = Task(tmp_path, {"train.py": SCRIPT}, Command(("python", "train.py", "--epochs", "2")), params)
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["trained", "Published train version 4, slot 3, allocation 7d1c7a2e"]
    record = task.record()
    assert record.params == {"lr": "0.1", "name": "a b", "flag": "true", "seed": "7"}
    assert record.metrics == {"auc": 0.71, "nested.a": 1, "loss": 1 / 3}
    assert {name: record.environment[name] for name in ("code_sha256", "command", "environment", "seed")} == {
        "code_sha256": task.sha256,
        "command": "python train.py --epochs 2",
        "environment": "none",
        "seed": "7",
    }
    seen = json.loads((task.output / "seen.json").read_text())
    assert seen["argv"] == ["--epochs", "2", "--lr", "0.1", "--name", "a b", "--flag", "true", "--seed", "7"]
    assert seen["params"] == {"lr": 0.1, "depth": 3, "name": "a b", "flag": True, "seed": 7}
    assert (seen["attempt"], seen["cwd"]) == (2, str(tmp_path / "alloc/code"))
    environ = seen["environ"]
    assert {name: environ[f"FEDML_{name}"] for name in ("RUN", "SLOT", "ATTEMPT", "VERSION")} == {
        "RUN": RUN,
        "SLOT": "3",
        "ATTEMPT": "2",
        "VERSION": "4",
    }
    assert json.loads(Path(environ["FEDML_PARAMS"]).read_text()) == params
    assert not {"NOMAD_TOKEN", "FEDML_STORES", "NOMAD_META_fedml_params", "NOMAD_META_FEDML_PARAMS"} & environ.keys()


def with_own_python(root: Path, script: str) -> Task:
    """A task whose code brings the program `./python3`."""
    Task(root, {"python3": script}, Command(("sh",)))
    (root / "source/python3").chmod(0o755)
    return Task(root, {}, Command(("./python3",)))


def test_a_python_that_lies_in_the_code_is_asked_for_its_version_there(tmp_path: Path) -> None:
    task = with_own_python(tmp_path, "#!/bin/sh\necho Python 9.8\necho x > $FEDML_OUTPUT/a\n")
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert task.record().environment["python"] == "9.8"


def test_a_python_that_does_not_tell_its_version_costs_no_result(tmp_path: Path) -> None:
    task = with_own_python(tmp_path, "#!/bin/sh\necho x > $FEDML_OUTPUT/a\nrm python3\n")
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "python" not in task.record().environment
