"""How far regions can be reached: alive, followed, silent, lost, back; and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from federation.result import Key, ResultRecord
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.region_state import Reach
from federation.run.brain.timing import Limits
from tests.federation.run.brain.test_brain import sent
from tests.federation.run.brain.test_endings import changes, of
from tests.federation.run.brain.world import LIMITS, MANIFEST, World


class Hours:
    """A brain whose regions answer as `answers` says, asked every quarter of a second; what it told, and when."""

    def __init__(self, brain: Brain, answers: Callable[[str, float], Sequence[ev.Event]]) -> None:
        self.brain, self.answers = brain, answers
        self.now_s = 1.0
        self.tells: list[tuple[float, cmd.Tell]] = []
        self.commands: list[cmd.Command] = []

    def until(self, end_s: float) -> Hours:
        while self.now_s <= end_s:
            events: list[ev.Event] = [ev.Tick(self.now_s)]
            events += [one for name in self.brain.regions for one in self.answers(name, self.now_s)]
            for event in events:
                out = self.brain.step(event)
                self.commands += out
                self.tells += [(self.now_s, one) for one in out if isinstance(one, cmd.Tell)]
            self.now_s += 0.25
        return self

    def said(self, region: str) -> list[str]:
        return [
            tell.detail for _, tell in self.tells if tell.region == region and tell.kind in ("region", "lost", "back")
        ]


def well_but_us(us: Callable[[float], Sequence[ev.Event]]) -> Callable[[str, float], Sequence[ev.Event]]:
    return lambda name, now_s: us(now_s) if name == "us" else [ev.RegionHeard(name)]


def run_of_one(**limits: float) -> Brain:
    brain = Brain(replace(MANIFEST, slots=1), Limits(**{"grace_s": 12.0, **limits}))  # type: ignore[arg-type]
    sent(brain)
    return brain


def test_one_that_is_read_through_another_region_is_not_lost_and_gets_nothing_new() -> None:
    answers = well_but_us(lambda _: [ev.Pinged("us", is_alive=True, via="eu"), ev.Listed("us", frozenset(), "eu")])
    told = Hours(run_of_one(), answers).until(60.0)
    assert told.said("us") == ["answers only through region eu, and gets no new slots"]
    us = told.brain.regions["us"]
    assert (us.reach, us.is_usable) == (Reach.RELAYED, False)
    polls = [command for command in told.commands if command == cmd.List("us")]
    assert len(polls) >= 10, "its children are polled as long as no stream brings news"
    told.answers = well_but_us(lambda _: [ev.RegionHeard("us")])
    told.until(80.0)
    assert us.is_usable
    assert told.said("us")[1:] == ["answers at its own addresses again"]


@pytest.mark.parametrize("via", ["", "eu"])
def test_one_that_answers_pings_and_gives_no_news_is_lost_after_the_grace(via: str) -> None:
    answers = well_but_us(lambda _: [ev.Pinged("us", is_alive=True, via=via), ev.NotListed("us")])
    told = Hours(run_of_one(), answers).until(20.0)
    through = " through region eu" if via else ""
    first, lost = told.said("us")
    assert first == f"answers pings{through}, and gives no news of the run's children"
    assert lost.startswith("after 12 s without news of the run's children, though it answers pings")
    assert "1 attempt open there (slot 0)" in lost
    fails = [change for change in changes(told.commands) if change["type"] == "fail"]
    assert [fail["cause"] for fail in fails] == ["region lost"]
    assert told.brain.regions["us"].reach is Reach.LOST, "pings alone don't bring it back"


def test_after_our_own_network_was_down_each_region_has_a_whole_grace_to_be_heard() -> None:
    def answers(name: str, now_s: float) -> Sequence[ev.Event]:
        heard_again_s = {"us": 42.0, "eu": 40.0}.get(name, 40.0)
        return [] if 5.0 < now_s < heard_again_s else [ev.RegionHeard(name)]

    told = Hours(run_of_one(), answers).until(70.0)
    assert [tell.kind for _, tell in told.tells if tell.kind in ("lost", "back")] == []
    said = [tell.detail for _, tell in told.tells if tell.kind == "run"]
    assert len(said) == 2
    assert said[1] == "most regions are heard again"
    assert told.brain.slots[0].attempts[0].is_open

    told.answers = lambda name, now_s: [ev.RegionHeard(name)] if name != "us" else []
    told.until(100.0)
    assert told.brain.regions["us"].is_lost, "later it is lost as ever"


def test_one_that_answers_again_is_asked_for_news_before_it_is_said_to_give_none() -> None:
    """The list that was under way while it was silent says nothing of it."""

    def us(now_s: float) -> Sequence[ev.Event]:
        if now_s < 12.0:
            return [ev.Pinged("us", is_alive=now_s >= 11.0), ev.NotListed("us")]
        return [ev.RegionHeard("us")]

    told = Hours(run_of_one(), well_but_us(us)).until(40.0)
    first, again = told.said("us")
    assert first.startswith("no answer for")
    assert again == "answers at its own addresses again"


def test_a_ping_that_fails_late_says_nothing_against_news_that_came_since() -> None:
    def us(now_s: float) -> Sequence[ev.Event]:
        if now_s < 8.0:  # its ping, sent at 5 s, is under way
            return []
        return [ev.Listed("us", frozenset(), "")] if now_s == 8.0 else [ev.Pinged("us", is_alive=False)]

    told = Hours(run_of_one(), well_but_us(us)).until(8.25)
    us_ = told.brain.regions["us"]
    assert us_.pinged_s < us_.heard_s
    assert not us_.is_deaf


def test_a_ping_under_way_says_nothing_of_a_region_that_was_heard_since() -> None:
    """Its ping is never answered; what else it answers is no news of the children."""
    alive = well_but_us(lambda _: [ev.ParentChecked("us", MANIFEST.spec_hash), ev.RegionProbed("us", 1)])
    told = Hours(run_of_one(), alive).until(12.0)
    assert told.brain.regions["us"].is_pinged
    assert [detail for detail in told.said("us") if detail.startswith("no answer")] == []


def test_a_region_that_is_back_is_said_to_be_so_once() -> None:
    told = Hours(run_of_one(), well_but_us(lambda _: [])).until(20.0)
    told.answers = well_but_us(lambda _: [ev.RegionHeard("us")])
    told.until(60.0)
    assert [tell.kind for _, tell in told.tells if tell.region == "us" and tell.kind in ("region", "lost", "back")][
        -2:
    ] == [
        "lost",
        "back",
    ]


def test_a_lost_region_whose_news_come_is_back_and_its_stale_attempt_is_stopped() -> None:
    told = Hours(run_of_one(), well_but_us(lambda _: [])).until(20.0)
    told.answers = well_but_us(lambda _: [ev.Listed("us", frozenset(), "eu")])
    told.until(30.0)
    assert told.said("us")[-1] == "answers only through region eu"
    child = told.brain.slots[0].attempts[0].job_id
    assert of(told.commands, cmd.Stop) == [cmd.Stop("us", child)]


def test_the_stores_are_searched_for_results_of_a_region_that_gives_no_news() -> None:
    told = Hours(run_of_one(), well_but_us(lambda _: [ev.Pinged("us", is_alive=True), ev.NotListed("us")])).until(11.0)
    assert of(told.commands, cmd.Look) == [cmd.Look(0, 1, "us", None)], "before it is lost, and one at a time"
    record = ResultRecord(
        key=Key("0193-run", 0, "model", 0), attempt=1, job="train", version="4", spec_hash=MANIFEST.spec_hash, region="us",
        datacenter="dc1", node="n-1", alloc_id="a", job_id="train/dispatch-1", store="file:///x", manifest_sha256="0" * 64,
        files=(), created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    told.commands = told.brain.step(ev.Looked(0, 1, "", (record,)))
    assert of(told.commands, cmd.Commit) == [cmd.Commit((record,))]
    told.brain.step(ev.Committed(((record, "added"),)))
    assert told.brain.slots[0].state == "done"


def test_that_results_can_not_be_read_is_said_once_and_that_they_are_again() -> None:
    brain = run_of_one()
    out = [
        *brain.step(ev.Looked(0, 1, "", (), "store s3://us: no answer")),
        *brain.step(ev.Looked(0, 1, "", (), "store s3://us: no answer")),
        *brain.step(ev.Looked(0, 1, "", ())),
        *brain.step(ev.Looked(0, 1, "", ())),
    ]
    assert [(tell.region, tell.detail) for tell in of(out, cmd.Tell)] == [
        ("us", "its results can't be read, and its slots wait for them: store s3://us: no answer"),
        ("us", "its results are read again"),
    ]
    assert brain.slots[0].attempts[0].is_open


def test_a_search_that_finds_nothing_decides_nothing_and_is_repeated() -> None:
    told = Hours(run_of_one(), well_but_us(lambda _: [ev.Pinged("us", is_alive=True), ev.NotListed("us")])).until(11.0)
    assert not told.brain.step(ev.Looked(0, 1, "", ()))
    assert told.brain.slots[0].attempts[0].is_open
    told.until(25.0)
    assert len(of(told.commands, cmd.Look)) == 2, "the attempt that was given up may still publish"


def test_a_flapping_region_is_told_once_however_often_it_changes() -> None:
    def flaps(now_s: float) -> Sequence[ev.Event]:
        turn = int(now_s // 5) % 3
        if turn == 0:
            return [ev.Pinged("us", is_alive=True, via="eu"), ev.Listed("us", frozenset(), "eu")]
        if turn == 1:
            return [ev.RegionProbed("us", 0, f"unreachable: no connection in time, {now_s:.0f}"), ev.NotListed("us")]
        return [ev.RegionHeard("us")]

    told = Hours(run_of_one(), well_but_us(flaps)).until(100.0)
    said = told.said("us")
    assert len(said) == len(set(said)) == 2, said
    told.answers = well_but_us(lambda _: [ev.RegionHeard("us")])
    told.until(130.0)
    assert told.said("us")[2:] == ["answers at its own addresses again"]


def test_probes_that_keep_failing_under_a_standing_stream_are_told_once() -> None:
    def us(now_s: float) -> Sequence[ev.Event]:
        return [ev.RegionHeard("us"), ev.RegionProbed("us", 0, f"unreachable: HTTP 500, request {now_s}")]

    told = Hours(run_of_one(), well_but_us(us)).until(100.0)
    assert told.said("us") == ["unreachable: HTTP 500, request 1.0"]
    told.answers = well_but_us(lambda _: [ev.RegionHeard("us"), ev.RegionProbed("us", 1)])
    told.until(130.0)
    assert told.said("us")[1:] == ["answers at its own addresses again"]


@pytest.mark.parametrize("results", ["adopt", "none"])
def test_what_a_job_writes_itself_is_not_taken_while_it_may_still_write(results: str) -> None:
    brain = Brain(replace(MANIFEST, slots=1, results=results), Limits(grace_s=12.0))
    sent(brain)
    told = Hours(brain, well_but_us(lambda _: [ev.Pinged("us", is_alive=True), ev.NotListed("us")])).until(11.0)
    assert told.brain.regions["us"].reach is Reach.UNFOLLOWED
    assert not of(told.commands, cmd.Look)


def test_a_probe_or_a_dispatch_that_is_answered_does_not_make_up_for_news() -> None:
    answers = well_but_us(lambda _: [ev.RegionProbed("us", 1), ev.ParentChecked("us", MANIFEST.spec_hash)])
    told = Hours(run_of_one(), answers).until(20.0)
    assert told.brain.regions["us"].is_lost


@pytest.mark.parametrize("grace_s", [3.0, 12.0, 60.0])
def test_a_loss_tells_how_long_the_silence_was_in_truth(grace_s: float) -> None:
    """Its last sign of life was an answer to a ping, a third of the grace after its last news."""

    def us(now_s: float) -> Sequence[ev.Event]:
        return [ev.Pinged("us", is_alive=now_s < 1 + grace_s / 3)]

    told = Hours(run_of_one(grace_s=grace_s), well_but_us(us)).until(1 + 2 * grace_s)
    ((at_s, tell),) = [(at_s, tell) for at_s, tell in told.tells if tell.kind == "lost"]
    assert at_s - 1 <= 1.5 * grace_s
    silence_s = float(tell.detail.split()[1])
    assert tell.detail.startswith(f"after {silence_s:.0f} s of silence")
    assert abs(silence_s - (at_s - 1 - grace_s / 3)) <= 1.0


# ── in the virtual world ──────────────────────────────────────────────────────────────────────────────────────────────

CUT_AT_S = 20.0


def cut(how: str, count: int = 3, until_s: float = 300.0, **changes: Any) -> World:
    """A run over `count` regions, of which the first is cut like this while it has slots that take long; nothing else goes
    wrong."""
    names = tuple(f"r{number}" for number in range(count))
    world = World(sizes=dict.fromkeys(names, 2))

    def begin() -> None:
        world._cut(world.regions["r0"], how, until_s)
        for child in world.regions["r0"].children.values():
            child.ends_at = world.now + 150.0

    world.script(3.0, lambda: [setattr(region, "durations", lambda _: 60.0) for region in world.regions.values()])
    world.script(CUT_AT_S, begin)
    assert world.run(replace(MANIFEST, slots=4 * count, regions=names, **changes)).state == "done"
    return world


def loss_in_graces(world: World) -> float:
    """After how many graces without news the region was lost."""
    (lost_at,) = [at for tell, at in zip(world.told, world.told_at, strict=True) if tell.kind == "lost"][:1]
    return (lost_at - CUT_AT_S) / LIMITS.grace_s


@pytest.mark.parametrize("count", [2, 5, 20])
@pytest.mark.parametrize("how", ["all", "answers", "direct", "pings", "drip"])
def test_a_region_that_can_not_be_followed_is_lost_within_one_and_a_half_graces(how: str, count: int) -> None:
    world = cut(how, count)
    assert 0.8 <= loss_in_graces(world) <= 1.5
    assert len(world.index) == 4 * count
    assert [tell.region for tell in world.told if tell.kind == "lost"] == ["r0"]


@pytest.mark.parametrize("how", ["stream", "relay", "slow", "flap"])
def test_a_region_whose_news_come_somehow_is_not_lost(how: str) -> None:
    world = cut(how)
    assert not [tell for tell in world.told if tell.kind in ("lost", "retry")]
    assert max(attempt for _, attempt, _ in world.dispatched) == 1, "nothing was done twice"


def test_results_are_found_in_the_stores_while_their_region_gives_no_news() -> None:
    """Those of a region whose loss is waited for are in the index long before it is back."""
    world = cut("pings", until_s=2000.0, on_region_lost="wait")
    assert world.now < 600.0
    assert max(attempt for _, attempt, _ in world.dispatched) == 1
