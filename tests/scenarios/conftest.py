"""One embedded federation for all scenarios that don't hurt it, made as a person makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.project import Project, assert_refused


@contextmanager
def federation(root: Path, **settings: object) -> Iterator[Project]:
    """`fedml init` and `fedml dev up` in `root`; ended with everything that runs in it."""
    with running(Project.made(root, **settings)) as project:
        yield project


@contextmanager
def running(project: Project) -> Iterator[Project]:
    """The federation of a project that is made already: up, and ended with everything that runs in it."""
    try:
        project.ran("dev", "up")
        yield project
    finally:
        project.end_processes()
        project.fedml("dev", "down", "--purge", "--yes")


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


@pytest.fixture
def refused(project: Project) -> Callable[..., None]:
    """Both `plan` and `dispatch` refuse with these arguments, and leave nothing."""

    def check(*arguments: str, said: tuple[str, ...], commands: tuple[str, ...] = ("plan", "dispatch")) -> None:
        before = project.traces()
        for command in commands:
            done = project.fedml(command, *arguments)
            assert_refused(done, *said, code=255 if command == "plan" else 1)
        assert project.traces() == before

    return check
