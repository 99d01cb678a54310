"""One federation for all examples of a module, put back before each; a honeypot; credentials of the person's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from regions.nomad.client import NomadRegion
from tests.attack.honeypot import Honeypot
from tests.attack.region import FakeRegion
from tests.attack.scene import Scene


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A command that is interrupted in the middle of a request leaves its connection to the end of the process: here that
    process goes on, and Python tells of it. That isn't what is attacked."""
    for item in items:
        if "attack" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A federation whose regions don't answer: the index and the stores are attacked."""
    return Scene.made(tmp_path_factory.mktemp("attack") / "project")


@pytest.fixture(scope="module")
def us() -> Iterator[FakeRegion]:
    """A region, the attacker's."""
    made = FakeRegion()
    yield made
    made.close()


@pytest.fixture(scope="module")
def eu() -> Iterator[FakeRegion]:
    """A region that answers rightly."""
    made = FakeRegion()
    yield made
    made.close()


@pytest.fixture(scope="module")
def two_regions(tmp_path_factory: pytest.TempPathFactory, us: FakeRegion, eu: FakeRegion) -> Scene:
    """A federation of both."""
    return Scene.made(tmp_path_factory.mktemp("attack") / "project", address=us.address, eu_address=eu.address)


@pytest.fixture(scope="module")
def honeypot() -> Iterator[Honeypot]:
    """Whoever asks it was led astray."""
    made = Honeypot()
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def own_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a person's shell holds, and no stranger may get."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "planted-a1",
            "AWS_SECRET_ACCESS_KEY": "planted-a2",
            "AWS_SESSION_TOKEN": "planted-a3",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AZURE_STORAGE_SAS_TOKEN": "sig=planted-b1",
            "NO_GCE_CHECK": "true",
            "HOME": str(tmp_path_factory.mktemp("person")),
        }.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    """Each test begins with the scene as it was made."""
    if "scene" in request.fixturenames:
        made: Scene = request.getfixturevalue("scene")
        made.reset()


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """Regions get seconds, not half a minute, so that broken ones don't fill the time."""
    defaults = NomadRegion.__init__.__kwdefaults__
    before = dict(defaults)
    defaults.update({name: 1.0 for name in ("timeout_s", "deadline_s") if name in defaults})
    yield
    defaults.update(before)
