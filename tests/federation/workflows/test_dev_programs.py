"""A development federation whose machine lacks uv says so before anything is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from federation.deploy.prepare import JobRequest
from federation.errors import DevError, FederationError
from federation.workflows.dispatch import begin
from federation.workflows.request import RunRequest
from federation.workflows.run_code import CodeAsk, code_run, write_jobspec
from tests.federation.workflows.test_run_code import project

BLOCK = '# /// script\n# dependencies = ["idna"]\n# ///\n'
UV = 'uv = "https://example.com/uv.tar.gz"\nuv_sha256 = "' + "0" * 64 + '"'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a script, on a machine without uv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python3"))
    (tmp_path / "train.py").write_text(BLOCK)
    return tmp_path


def begun(root: Path, *, run: str = "", **options: Any) -> None:
    """Begins a run in a region that doesn't answer."""
    app = project(root, run=run)
    made = code_run(app, CodeAsk(("train.py",), None, options), print)
    request = made.request(made.packed(root / "cache", print), RunRequest(JobRequest()))
    begin(app, request, skip_unreachable=False, tell=print)


def test_one_error_before_any_region_is_asked(root: Path) -> None:
    with pytest.raises(
        DevError, match=r"^uv is needed on this machine for the dependencies of train.py; nothing was sent$"
    ):
        begun(root)


@pytest.mark.parametrize("place", ["bin", "python"])
def test_uv_on_path_or_beside_this_python_is_enough(root: Path, place: str) -> None:
    (root / place).mkdir()
    (root / place / "uv").write_text("#!/bin/sh\n")
    (root / place / "uv").chmod(0o755)
    with pytest.raises(FederationError, match="no region can be asked"):
        begun(root)


def test_it_is_not_needed_without_dependencies_in_an_image_or_where_nodes_fetch_it(root: Path) -> None:
    for run, options in ((UV, {}), ("", {"image": "me/it"})):
        with pytest.raises(FederationError, match="no region can be asked"):
            begun(root, run=run, **options)
    (root / "train.py").write_text("print()\n")
    with pytest.raises(FederationError, match="no region can be asked"):
        begun(root)


def test_a_written_jobspec_needs_it_too(root: Path) -> None:
    app, file = project(root), root / "train.nomad.hcl"
    write_jobspec(app, code_run(app, CodeAsk(("train.py",)), print), file, (), print)
    with pytest.raises(DevError, match="uv is needed"):
        begin(app, RunRequest(JobRequest(str(file))), skip_unreachable=False, tell=print)
