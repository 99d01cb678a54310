"""One embedded federation for all scenarios that don't hurt it, made as a person makes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.project import Project


@contextmanager
def federation(root: Path, **settings: object) -> Iterator[Project]:
    """`fedml init` and `fedml dev up` in `root`; ended with everything that runs in it."""
    project = Project.made(root, **settings)
    try:
        project.ran("dev", "up")
        yield project
    finally:
        project.end_processes()
        project.fedml("dev", "down", "--purge")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Regions us, eu and onprem, up."""
    with federation(tmp_path_factory.mktemp("scenarios") / "shop") as up:
        yield up


@pytest.fixture(autouse=True)
def end_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed leaves no command of its own running."""
    yield
    if "project" in request.fixturenames:
        request.getfixturevalue("project").end_processes()
