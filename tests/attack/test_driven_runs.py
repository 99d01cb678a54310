"""What a region answers while a run is driven, cancelled, tried again or read live: nothing of the others is lost by it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.result import Key
from tests.attack.region import CHILD, SPOILABLE, FakeRegion
from tests.attack.scene import NODE_ALLOC, OPEN_RUN, Done, Scene, record_of
from tests.attack.shapes import EXAMPLES, attacked
from tests.attack.test_logs import RUN_CHANGES, open_run
from tests.attack.test_regions import replies
from tests.regions.conftest import Reply

DRIVEN_S = 4.0
"""A run is driven for so long; nothing depends on how far it comes."""
EXAMPLES_MAX = 400
"""Of this property, in a soak too: an example takes seconds."""
COMMANDS = (
    ("runs", "resume", OPEN_RUN),
    ("runs", "resume", OPEN_RUN, "--json"),
    ("runs", "retry", OPEN_RUN),
    ("runs", "retry", OPEN_RUN, "0"),
    ("runs", "rebind", OPEN_RUN, "us"),
    ("runs", "cancel", OPEN_RUN, "--yes"),
    ("runs", "watch", OPEN_RUN),
    ("runs", "logs", OPEN_RUN),
    ("runs", "logs", OPEN_RUN, "--follow"),
    ("runs", "logs", OPEN_RUN, "--json"),
    ("runs", "show", OPEN_RUN),
    ("dispatch", "-n", "2", "--version", "9"),
)


@pytest.fixture(scope="module")
def scene(two_regions: Scene) -> Scene:
    """An open run of two slots, of which us has the first."""
    made = two_regions
    open_run(made)
    for change in (RUN_CHANGES[0], RUN_CHANGES[1] | {"job_id": CHILD}):
        made.append([change], prefix=f"runs/{OPEN_RUN}/log/")
    made.remember()
    return made


def assert_safe(scene: Scene) -> None:
    """Whatever us answered."""
    scene.assert_nothing_lost()
    scene.assert_nothing_escaped()
    scene.assert_index_goes_on()


def driven(scene: Scene, *command: str) -> Done:
    """The command, interrupted after a while, which ended as documented."""
    (done,) = scene.attack([command], limit_s=DRIVEN_S)
    return done


@settings(attacked, max_examples=min(EXAMPLES, EXAMPLES_MAX))
@given(st.data())
def test_an_answer_while_a_run_is_driven(scene: Scene, us: FakeRegion, data: st.DataObject) -> None:
    scene.reset()
    routes = data.draw(st.lists(st.sampled_from(SPOILABLE), min_size=1, max_size=3, unique=True))
    us.spoilt = {route: data.draw(replies(route)) for route in routes}
    try:
        driven(scene, *data.draw(st.sampled_from(COMMANDS)))
    finally:
        us.spoilt = {}
    assert_safe(scene)


@pytest.mark.parametrize("route", SPOILABLE)
def test_every_answer_is_read_while_a_run_is_driven(scene: Scene, us: FakeRegion, route: str) -> None:
    """Each route once with something that isn't JSON of Nomad's shape, whatever the property draws."""
    us.spoilt = {route: Reply(body=b'[{"ID": "\\u001b[2J", "Events": {}, "Index": -1}, null]')}
    try:
        driven(scene, "runs", "resume", OPEN_RUN)
        driven(scene, "runs", "logs", OPEN_RUN)
    finally:
        us.spoilt = {}
    assert_safe(scene)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_here_takes_right_answers(scene: Scene, command: tuple[str, ...]) -> None:
    done = driven(scene, *command)
    assert "usage" not in done.err.lower(), done.err
    if command[:2] == ("runs", "logs"):
        assert "epoch 1" in done.out, done.err
    assert_safe(scene)


def test_a_forged_record_of_an_open_slot_is_not_taken_by_resume(scene: Scene) -> None:
    """Whoever asks for it, another version than the run has is not entered."""
    for slot in (0, 1):
        forged = record_of(scene.us.url, key=Key(OPEN_RUN, slot, "train", 0), version="99", spec_hash="5pec")
        scene.put_record(forged.to_json(), key=forged.key.record_key(NODE_ALLOC))
    driven(scene, "runs", "resume", OPEN_RUN)
    rows = json.loads(scene.run("index", "list", "--job", "sales", "--json").out)["results"]
    assert {row["version"] for row in rows} == {"1", "2"}
    assert_safe(scene)
