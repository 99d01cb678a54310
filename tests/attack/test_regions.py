"""What a region's server answers: any status, any headers, any body, against every command that asks regions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attack.hostile import TEXTS
from tests.attack.region import RIGHT, SPOILABLE, FakeRegion
from tests.attack.scene import Done, Scene
from tests.attack.shapes import BYTES, EXAMPLES, attacked, json_bytes, spoilt
from tests.emulators.hostile import DRIPPING, hostile_server, never
from tests.regions.conftest import Reply

ASKS = (
    ("regions", "list"),
    ("regions", "list", "--json"),
    ("regions", "show", "us"),
    ("plan",),
    ("plan", "--json"),
    ("plan", "-n", "5", "--explain", "2"),
    ("doctor",),
    ("doctor", "--json"),
    ("job", "diff"),
    ("index", "sync"),
    ("deploy",),
)
DRIVES = (("dispatch", "-n", "2", "--version", "9"),)
DRIVEN_S = 3.0
"""A run is followed for so long; nothing depends on how far it comes."""


@pytest.fixture(scope="module")
def scene(two_regions: Scene) -> Scene:
    """Of the two regions us is the attacker's."""
    return two_regions


@st.composite
def replies(draw: st.DrawFn, route: str) -> Reply:
    """An answer: a spoilt one, any bytes, any status with hostile text, or a connection that ends."""
    kind = draw(st.sampled_from(["spoilt", "spoilt", "spoilt", "bytes", "refusal", "headers", "hangs up"]))
    right = RIGHT[route]() if route in RIGHT else {}
    text = draw(st.sampled_from(TEXTS))
    match kind:
        case "spoilt":
            return Reply(body=json_bytes(draw(spoilt(right))))
        case "bytes":
            return Reply(body=draw(BYTES))
        case "refusal":
            status = draw(st.sampled_from([201, 204, 301, 400, 401, 403, 404, 405, 409, 418, 429, 500, 502, 503]))
            return Reply(
                status,
                draw(st.sampled_from([text, f"rpc error: {text}", f"Permission denied {text}", "<html>"])).encode(
                    errors="replace"
                ),
            )
        case "headers":
            latin = text.encode("latin-1", "replace").decode("latin-1").replace("\n", " ").replace("\r", " ")
            name = draw(
                st.sampled_from(
                    ["X-Nomad-Index", "X-Nomad-NextToken", "Location", "Content-Type", "Content-Encoding", "Date"]
                )
            )
            return Reply(
                body=json.dumps(right).encode(),
                headers={name: draw(st.sampled_from([latin, "-1", "9" * 30, "gzip", "http://127.0.0.1:1/"]))},
            )
    return Reply(hangs_up=True)


def assert_eu_is_ready(done: Done) -> None:
    """Whatever us answers, eu is shown as it is."""
    if "--json" in done.arguments:
        states = {one["region"]: one["problem"] for one in json.loads(done.out)["regions"]}
        assert states["eu"] is None, done.out
    else:
        assert any(line.split()[:2] == ["eu", "ready"] for line in done.out.splitlines()), done.out + done.err


@attacked
@given(st.data())
def test_an_answer_of_a_region(scene: Scene, us: FakeRegion, data: st.DataObject) -> None:
    scene.reset()
    route = data.draw(st.sampled_from(SPOILABLE))
    us.spoilt = {route: data.draw(replies(route))}
    try:
        done = scene.attack([data.draw(st.sampled_from(ASKS[:2])), data.draw(st.sampled_from(ASKS))], limit_s=40)
        assert_eu_is_ready(done[0])
    finally:
        us.spoilt = {}
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_all_answers_of_a_region_are_the_same(scene: Scene, us: FakeRegion, data: st.DataObject) -> None:
    scene.reset()
    reply = data.draw(replies("*"))
    us.spoilt = dict.fromkeys([*RIGHT, "*"], reply)
    try:
        done = scene.attack([("regions", "list"), data.draw(st.sampled_from(ASKS))], limit_s=40)
        assert_eu_is_ready(done[0])
    finally:
        us.spoilt = {}
    scene.assert_nothing_lost()


@pytest.mark.parametrize("number", range(min(30, max(2, EXAMPLES // 6))))
def test_a_run_that_a_region_answers(scene: Scene, us: FakeRegion, number: int) -> None:
    route = SPOILABLE[(number * 7 + 4) % len(SPOILABLE)]
    us.spoilt = {
        route: Reply(body=json_bytes([None, {"ID": "\x1b[2J", "EvalID": [], "DispatchedJobID": {}}][number % 2]))
    }
    try:
        scene.attack(DRIVES, limit_s=DRIVEN_S)
    finally:
        us.spoilt = {}
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@pytest.mark.parametrize("command", ASKS, ids=" ".join)
def test_every_command_here_takes_right_answers(scene: Scene, command: tuple[str, ...]) -> None:
    (done,) = scene.attack([command], limit_s=40)
    if command[:2] == ("regions", "list"):
        assert_eu_is_ready(done)
    assert done.code in (0, 1), done.err + done.out
    assert "Error" not in done.err, done.err


MORE = """
[regions.{name}]
addresses = ["{address}"]
store = "file://./{name}"
[regions.{name}.datacenters.dc1]
"""


@pytest.mark.parametrize("dripping", sorted(DRIPPING))
@pytest.mark.parametrize("command", ASKS[:2], ids=" ".join)
def test_one_region_that_drips_and_one_that_is_mute_end_with_the_deadline(
    tmp_path: Path, eu: FakeRegion, dripping: str, command: tuple[str, ...]
) -> None:
    """The command ends by itself: each of the two has its own deadline, and all are asked at once."""
    with hostile_server(DRIPPING[dripping]) as drips, hostile_server(never) as mute:
        more = MORE.format(name="mute", address=mute.address)
        made = Scene.made(tmp_path / "project", address=drips.address, eu_address=eu.address, more=more)
        (done,) = made.attack([command], limit_s=80)
    assert done.code == 0, "it wasn't interrupted"
    assert_eu_is_ready(done)
    if "--json" in command:
        problems = {one["region"]: one["problem"] for one in json.loads(done.out)["regions"]}
        assert problems == {"eu": None, "us": "unreachable", "mute": "unreachable"}
