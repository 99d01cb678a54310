"""One reading of a run for all viewers: nothing of its log is lost by a reading that fails, and problems don't stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from federation.app import App
from federation.config.load import load
from federation.home import run_log
from federation.run.brain.changes import Bind
from federation.web.pages import run as run_page
from federation.web.pages.run import view
from federation.web.run_now import MEMO_MAX, RunFollower, run_meant
from federation.web.shared import FAILED_AGE_MAX_S, Shared
from federation.web.site import Site
from federation.workflows.run_curves import RunCurves
from regions.storage.errors import Unavailable
from tests.federation.web.shop import page
from tests.federation.web.test_run_pages import SLOTS, TOML, opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "fedml.toml").write_text(TOML)
    with closing(App(load(tmp_path / "fedml.toml"))) as app:
        yield Site(app)


def test_entries_that_came_before_a_reading_that_failed_are_not_lost(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path)
    follower = RunFollower(site, run)
    before = follower.look()
    run_log(site.app.home, run, author="ann@laptop").append([Bind(SLOTS - 1, 1, "eu").to_json()])

    def fails(*_: object) -> None:
        raise Unavailable("no answer", operation="list", key="")

    with monkeypatch.context() as patched:
        patched.setattr(site.runs, "times", fails)
        with pytest.raises(Unavailable):
            follower.look()
    after = follower.look()
    assert len(after.story.entries) == len(before.story.entries) + 1
    assert after.version != before.version


def test_what_is_worked_out_once_is_given_though_others_clear_the_memory(site: Site, tmp_path: Path) -> None:
    now = RunFollower(site, opened(tmp_path)).look()

    def make() -> str:
        for number in range(MEMO_MAX):  # what other viewers' pages need meanwhile
            now.once(number, lambda: "theirs")
        return "own"

    assert now.once("key", make) == "own"
    assert now.once("key", lambda: "again") == "own"


def test_curves_that_could_not_be_read_are_read_again_although_the_run_is_over(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path)
    site.app.index.close_run(run, "failed", "3 of 12 slots failed")
    later_s = [0.0]
    site.shared = Shared(lambda: later_s[0])
    answers = [RunCurves((), ("us: no answer",)), RunCurves(())]
    monkeypatch.setattr(run_page, "curves", lambda *_: answers.pop(0))

    def problems() -> object:
        return page(view, site, f"/runs/{run}", "curves=1", run=run).view["curve_problems"]

    assert problems() == ("us: no answer",)
    later_s[0] += FAILED_AGE_MAX_S + run_page.CURVES_EVERY_S
    assert [problems(), problems()] == [(), ()]
    assert answers == []


def test_a_look_that_finds_nothing_new_is_two_requests(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path)
    follower = RunFollower(site, run)
    follower.look()
    asked: list[str] = []

    def noted(real: Any) -> Any:
        def ask(key: str, *rest: object, **named: object) -> Any:
            asked.append(key)
            return real(key, *rest, **named)

        return ask

    for name in ("get_small", "get", "get_range", "stat", "list"):
        monkeypatch.setattr(site.app.home, name, noted(getattr(site.app.home, name)))
    assert follower.look() is follower.look()
    assert [key.partition("/log/")[0] for key in asked] == ["index", f"runs/{run}"] * 2


def test_a_whole_id_is_looked_up_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(tmp_path)
    assert run_meant(site, "last") == run_meant(site, run) == run
    monkeypatch.setattr(site.runs, "find", lambda _: pytest.fail("it was looked up"))
    assert run_meant(site, run) == run
