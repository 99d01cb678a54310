"""Fixtures of the tests of `fedml index`."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.cli import run
from tests.federation.cli.index.helpers import Cli, Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    for name in ("FEDML_CONFIG", "FEDML_CACHE_DIR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path)


@pytest.fixture
def filled(project: Project) -> Project:
    project.open_run("run-1")
    project.publish("a", region="us", slot=0)
    project.publish("b", region="eu", slot=1)
    project.index.close_run("run-1", "done")
    return project


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["index", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call
