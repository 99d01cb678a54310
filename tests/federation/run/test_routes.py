"""The ways to a region: its own addresses, other regions' servers, and which token goes where."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from federation.app import App
from federation.config.load import load
from federation.run.brain.events import Pinged
from federation.run.routes import FORWARDING_REGIONS, Routes
from regions.errors import PermissionDenied, RegionUnreachable, Throttled, UnexpectedAnswer
from regions.model import Allocation
from regions.nomad.client import NomadRegion

TOML = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://us:4646", "http://us-2:4646"]
token = { env = "US_TOKEN" }
datacenters.dc1 = { store = "file://./us" }
[regions.eu]
addresses = ["http://eu:4646"]
token = { env = "EU_TOKEN" }
datacenters.dc1 = { store = "file://./eu" }
"""
SILENT = RegionUnreachable("silent", region="us")
HERE = Allocation("a1", "train/dispatch-1", "g", 0, "n", "n-1", "running", "run")


class Wire:
    """What each address answers, and which region and token were asked for there."""

    def __init__(self) -> None:
        self.leaders: dict[str, str | Exception] = {}
        self.lists: dict[str, list[Allocation] | Exception] = {}
        self.asked: list[tuple[str, str, object]] = []
        self.before: Callable[[str], None] = lambda _: None

    def answer(self, region: NomadRegion, answers: dict[str, object]) -> object:
        address = region.region.addresses[0]
        self.asked.append((address, region.region.nomad_region, region.region.token))
        self.before(address)
        answer = answers.get(address, SILENT)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tokens_at(self, address: str) -> set[object]:
        return {token for at, _, token in self.asked if at == address}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire()
    monkeypatch.setattr(NomadRegion, "leader", lambda self: wire.answer(self, wire.leaders))  # type: ignore[arg-type]
    monkeypatch.setattr(
        NomadRegion,
        "allocations",
        lambda self, **_: (wire.answer(self, wire.lists), 1),  # type: ignore[arg-type]
    )
    monkeypatch.setenv("US_TOKEN", "us-secret")
    monkeypatch.setenv("EU_TOKEN", "eu-secret")
    return wire


def routes(tmp_path: Path, toml: str = TOML, grace_s: float = 4.0) -> Routes:
    (tmp_path / "fedml.toml").write_text(toml)
    app = App(load(tmp_path / "fedml.toml"))
    names = list(app.config.regions)
    for name in names:
        app.client(name)
    return Routes(app.config.regions, names, app.client, grace_s=grace_s)


ALIVE, DEAD = Pinged("us", is_alive=True), Pinged("us", is_alive=False)


@pytest.mark.parametrize(
    ("answers", "pinged"),
    [
        ({"http://us:4646": "10.0.0.1:4647"}, ALIVE),
        ({"http://us-2:4646": "10.0.0.1:4647"}, ALIVE),
        ({"http://us:4646": ""}, ALIVE),
        ({"http://us:4646": PermissionDenied("403", region="us")}, ALIVE),
        ({"http://us:4646": Throttled("429", region="us")}, ALIVE),
        ({"http://us:4646": UnexpectedAnswer("HTML", region="us")}, DEAD),
        ({"http://eu:4646": "10.0.0.1:4647"}, Pinged("us", is_alive=True, via="eu")),
        ({"http://eu:4646": "10.0.0.1:4647", "http://us:4646": "10.0.0.1:4647"}, ALIVE),
        ({"http://eu:4646": ""}, DEAD),
        ({"http://eu:4646": PermissionDenied("403", region="us")}, DEAD),
        ({"http://eu:4646": Throttled("429", region="us")}, DEAD),
        ({}, DEAD),
    ],
)
def test_only_a_complete_answer_that_is_understood_is_a_sign_of_life(
    tmp_path: Path, wire: Wire, answers: dict[str, str | Exception], pinged: Pinged
) -> None:
    wire.leaders = answers
    assert routes(tmp_path).ping("us") == pinged
    assert wire.tokens_at("http://eu:4646") <= {None}, "a ping carries no token to others"
    assert all(name == "us" for _, name, _ in wire.asked)


def test_all_addresses_and_regions_are_asked_at_once(tmp_path: Path, wire: Wire) -> None:
    together = threading.Barrier(3)
    wire.leaders = {"http://eu:4646": "10.0.0.1:4647"}
    wire.before = lambda _: together.wait(30) and None
    assert routes(tmp_path, grace_s=240.0).ping("us").via == "eu"


def test_an_address_that_hangs_holds_up_no_answer_and_is_not_asked_twice(tmp_path: Path, wire: Wire) -> None:
    end = threading.Event()
    wire.leaders = {"http://eu:4646": "10.0.0.1:4647"}
    wire.before = lambda address: end.wait(60) and None if "us" in address else None
    ways = routes(tmp_path)
    try:
        for _ in range(3):
            assert ways.ping("us") == Pinged("us", is_alive=True, via="eu")
        assert [at for at, _, _ in wire.asked].count("http://us:4646") == 1
    finally:
        end.set()


def test_of_many_regions_some_are_asked_at_a_time_and_all_in_turn(tmp_path: Path, wire: Wire) -> None:
    count = 3 * FORWARDING_REGIONS
    more = "".join(
        f'[regions.r{n}]\naddresses = ["http://r{n}:4646"]\ndatacenters.dc1 = {{ store = "file://./r{n}" }}\n'
        for n in range(count)
    )
    ways = routes(tmp_path, TOML + more)
    sizes = []
    for _ in range(4):
        before = len(wire.asked)
        ways.ping("us")
        sizes.append(len(wire.asked) - before)
    assert set(sizes) == {2 + FORWARDING_REGIONS}
    assert {f"http://r{n}:4646" for n in range(count)} <= {at for at, _, _ in wire.asked}


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        (lambda toml: toml, False),
        (lambda toml: toml.replace("EU_TOKEN", "US_TOKEN"), True),
        (lambda toml: toml.replace("EU_TOKEN", "COPY_OF_US_TOKEN"), True),
        (lambda toml: toml.replace('token = { env = "US_TOKEN" }\n', ""), True),
        (lambda toml: toml.replace('token = { env = "EU_TOKEN" }\n', ""), False),
        (lambda toml: toml.replace('token = { env = "EU_TOKEN" }\n', 'token = { env = "NOT_SET" }\n'), False),
    ],
    ids=["another token", "the same", "the same by value", "us has none", "eu has none", "eu's can't be read"],
)
def test_a_regions_token_goes_to_no_server_that_does_not_have_it(
    tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str], is_read: bool
) -> None:
    monkeypatch.setenv("COPY_OF_US_TOKEN", "us-secret")
    wire.lists = {"http://eu:4646": [HERE]}
    ways = routes(tmp_path, change(TOML))
    if not is_read:
        with pytest.raises(RegionUnreachable):
            ways.list_allocations("us")
        assert "http://eu:4646" not in {at for at, _, _ in wire.asked}
        return
    assert ways.list_allocations("us") == ([HERE], "eu")
    assert ways["us"].region.addresses == ("http://eu:4646",), "everything else is asked there too"
    assert ways["us"].region.nomad_region == "us"
    ways.is_direct("us")
    assert ways["us"].region.addresses == ("http://us:4646", "http://us-2:4646")


def test_a_list_of_its_own_is_preferred(tmp_path: Path, wire: Wire) -> None:
    toml = TOML.replace("EU_TOKEN", "US_TOKEN")
    wire.lists = {"http://us:4646": [HERE], "http://eu:4646": []}
    ways = routes(tmp_path, toml, grace_s=240.0)
    assert ways.list_allocations("us") == ([HERE], "")
    assert {at for at, _, _ in wire.asked} == {"http://us:4646"}, "nobody else is asked where it answers"


def test_a_list_does_not_wait_for_an_address_that_hangs(tmp_path: Path, wire: Wire) -> None:
    end = threading.Event()
    wire.lists = {"http://eu:4646": [HERE]}
    wire.before = lambda address: end.wait(60) and None if "us" in address else None
    answers: list[object] = []
    ways = routes(tmp_path, TOML.replace("EU_TOKEN", "US_TOKEN"), grace_s=8.0)
    try:
        answers.append(ways.list_allocations("us"))
        assert not end.is_set()
        answers.append(ways.list_allocations("us"))
    finally:
        end.set()
    assert answers == [([HERE], "eu")] * 2
    assert [at for at, _, _ in wire.asked].count("http://us:4646") == 1


def test_a_refused_token_is_told_as_that(tmp_path: Path, wire: Wire) -> None:
    wire.lists = {"http://us:4646": PermissionDenied("403", region="us")}
    with pytest.raises(PermissionDenied):
        routes(tmp_path).list_allocations("us")


def test_a_ping_asks_an_address_that_gives_no_answer_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ping comes soon; meanwhile trying again would only hold up the answer that the region is silent."""
    monkeypatch.setenv("US_TOKEN", "us-secret")
    connections: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append("us")
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        toml = TOML.replace('"http://us:4646", "http://us-2:4646"', f'"{address}"').partition("[regions.eu]")[0]
        assert routes(tmp_path, toml, grace_s=240.0).ping("us") == DEAD
    assert connections == ["us"]
