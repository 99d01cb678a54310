"""The check on a node runs the fedml that the job's own task would run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from federation.checks.doctor.node_command import command_of

SH = "/bin/sh"


def shell(script: str, *, command: str = SH, flag: str = "-c") -> dict[str, Any]:
    return {"Config": {"command": command, "args": [flag, script]}}


def line(script: str) -> str:
    found = command_of(shell(script))
    assert (found["command"], found["args"][0]) == (SH, "-c")
    return str(found["args"][1])


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("train && exec fedml publish model", "exec fedml publish --check"),
        ("/opt/ml/bin/fedml publish out --metric auc=1", "exec /opt/ml/bin/fedml publish --check"),
        (
            "./train; ${NOMAD_TASK_DIR}/venv/bin/fedml  publish out",
            "exec ${NOMAD_TASK_DIR}/venv/bin/fedml publish --check",
        ),
        ('"/opt/ml/bin/fedml" publish out', "exec /opt/ml/bin/fedml publish --check"),
        ("train && $HOME/.local/bin/fedml publish out", "exec $HOME/.local/bin/fedml publish --check"),
        ("# /old/fedml publish x\n/new/fedml publish x", "exec /new/fedml publish --check"),
        (
            'export PATH="/opt/my ml/bin:$PATH"\npython train.py\nfedml publish out',
            'export PATH="/opt/my ml/bin:$PATH"; exec fedml publish --check',
        ),
        ("PATH=/opt/ml/bin:$PATH; train && fedml publish o", "PATH=/opt/ml/bin:$PATH; exec fedml publish --check"),
        (
            "cd /srv/job && . venv/bin/activate && python t.py && fedml publish out",
            "cd /srv/job; . venv/bin/activate; exec fedml publish --check",
        ),
        ("cd 'my job' && fedml publish out", "cd 'my job'; exec fedml publish --check"),
        ('cd "never ends && fedml publish out', "exec fedml publish --check"),
        ("train\npython3 -I /opt/fedml-publish.pyz out", "exec python3 -I /opt/fedml-publish.pyz --check"),
        ("train; ./local/fedml-publish.pyz out", "exec ./local/fedml-publish.pyz --check"),
    ],
)
def test_a_script_tells_where_its_fedml_is(script: str, told: str) -> None:
    assert line(script) == told


def test_the_tasks_own_shell_is_used() -> None:
    assert command_of(shell("fedml publish out", command="bash", flag="-lc")) == {
        "command": "bash",
        "args": ["-lc", "exec fedml publish --check"],
    }


def test_a_command_that_is_fedml_and_one_behind_another() -> None:
    direct = {"Config": {"command": "/opt/ml/bin/fedml", "args": ["publish", "out"]}}
    assert command_of(direct) == {"command": "/opt/ml/bin/fedml", "args": ["publish", "--check"]}
    behind = {"Config": {"command": "/usr/bin/env", "args": ["A=1", "/opt/fedml", "publish", "out"]}}
    assert command_of(behind) == {"command": "/usr/bin/env", "args": ["A=1", "/opt/fedml", "publish", "--check"]}


def test_a_script_from_a_template() -> None:
    task = {
        "Config": {"command": "/bin/bash", "args": ["local/run.sh"]},
        "Templates": [
            {"EmbeddedTmpl": "#!/bin/bash\nset -e\nexport PATH=/opt/ml/bin:$PATH\ntrain\nfedml publish out\n"}
        ],
    }
    assert command_of(task) == {
        "command": "/bin/bash",
        "args": ["-c", "export PATH=/opt/ml/bin:$PATH; exec fedml publish --check"],
    }


def test_the_archive_and_the_environment_come_first() -> None:
    config = {"command": "python3", "args": ["-I", "${NOMAD_TASK_DIR}/fedml-publish.pyz", "${NOMAD_ALLOC_DIR}/model"]}
    assert command_of({"Config": config}) == {
        "command": "python3",
        "args": ["-I", "${NOMAD_TASK_DIR}/fedml-publish.pyz", "--check"],
    }
    named = shell("/else/where/fedml publish x") | {"Env": {"FEDML_COMMAND": "/opt/fedml"}}
    assert command_of(named) == {"command": "/opt/fedml", "args": ["publish", "--check"]}


@pytest.mark.parametrize("task", [{}, {"Config": {"command": "python3", "args": ["train.py"]}}, shell("echo nothing")])
def test_a_task_that_names_no_fedml_is_tried_with_the_one_on_its_path(task: dict[str, Any]) -> None:
    assert command_of(task) == {"command": "fedml", "args": ["publish", "--check"]}


def test_the_line_runs_that_very_fedml(tmp_path: Path) -> None:
    folder = tmp_path / "ml bin"
    folder.mkdir()
    (folder / "fedml").write_text('#!/bin/sh\necho "$@ from $0"\n')
    (folder / "fedml").chmod(0o755)
    found = command_of(shell(f'export PATH="{folder}:$PATH"; true && fedml publish out'))
    done = subprocess.run(
        [found["command"], *found["args"]], capture_output=True, text=True, env={"PATH": os.defpath}, check=True
    )
    assert done.stdout == f"publish --check from {folder}/fedml\n"
