"""Pages that stay true: one look for all viewers of an address, and only what changed is sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing

import pytest

from federation.web import live
from federation.web.live import Broadcast, Looked, event, version_text
from federation.web.page import Live
from federation.web.templates import Rendered
from jobs.errors import FedmlError

PATIENCE_S = 60.0


class Pages:
    """Pages whose fragments a test changes. A look waits until the test lets it go on."""

    def __init__(self) -> None:
        self.fragments = {"a": "<p id=a>1</p>", "b": "<p id=b>1</p>"}
        self.version = 1
        self.looks: list[str] = []
        self.error: Exception | None = None
        self.is_final = False
        self.go_on = asyncio.Semaphore(0)
        self.broadcast = Broadcast(self.look, lambda error: f"said: {error}")

    async def look(self, address: str, version: object) -> Looked:
        self.looks.append(address)
        await self.go_on.acquire()
        if self.error is not None:
            raise self.error
        rendered = None if version == self.version else Rendered("", dict(self.fragments))
        return Looked(Live(self.version, pause_s=0.0), rendered, self.is_final)

    def change(self, **fragments: str) -> None:
        """Changes parts of the page. An empty one goes away."""
        self.version += 1
        self.fragments = {name: html for name, html in (self.fragments | fragments).items() if html}
        self.go_on.release()


async def heard(messages: AsyncIterator[str]) -> tuple[str, object]:
    """Name and data of the next event."""
    message = await asyncio.wait_for(anext(messages), PATIENCE_S)
    name, data = message.removeprefix("event: ").rstrip("\n").split("\ndata: ", 1)
    return name, json.loads(data) if data.startswith(("{", "[")) else data


def run(story: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(story, PATIENCE_S))


def test_only_what_changed_is_sent() -> None:
    async def story() -> None:
        pages = Pages()
        async with aclosing(pages.broadcast.follow("/x", version_text(1))) as viewer:
            pages.go_on.release()  # the first look finds what the page has: nothing is sent
            told = asyncio.create_task(heard(viewer))
            while len(pages.looks) < 2:
                await asyncio.sleep(0)
            pages.change(a="<p id=a>2</p>")
            assert await told == ("fragments", {"a": "<p id=a>2</p>"})
            pages.change(b="", c="<p id=c>1</p>")
            assert await heard(viewer) == ("fragments", {"c": "<p id=c>1</p>"})
            assert await heard(viewer) == ("gone", ["b"])
        assert pages.broadcast.viewers == 0

    run(story())


def test_a_page_that_is_older_than_the_first_look_gets_all() -> None:
    async def story() -> None:
        pages = Pages()
        async with aclosing(pages.broadcast.follow("/x", "older")) as viewer:
            pages.go_on.release()
            assert await heard(viewer) == ("fragments", pages.fragments)

    run(story())


def test_two_viewers_of_an_address_share_its_looks() -> None:
    async def story() -> None:
        pages = Pages()
        one = pages.broadcast.follow("/x", version_text(1))
        other = pages.broadcast.follow("/x", "older")
        async with aclosing(one), aclosing(other):
            first, second = asyncio.create_task(heard(one)), asyncio.create_task(heard(other))
            while pages.broadcast.viewers < 2 or not pages.looks:
                await asyncio.sleep(0)
            pages.go_on.release()
            assert await second == ("fragments", pages.fragments)  # its page is older than that of the first
            assert await first == ("fragments", pages.fragments)
            pages.change(a="<p id=a>2</p>")
            assert await heard(one) == await heard(other) == ("fragments", {"a": "<p id=a>2</p>"})
            looks = len(pages.looks)
            assert looks <= 3
            async with aclosing(pages.broadcast.follow("/x", version_text(1))) as late:
                assert await heard(late) == ("fragments", pages.fragments)
                assert len(pages.looks) == looks

    run(story())


def test_a_page_that_is_over_says_so_and_ends_only_its_own_viewers() -> None:
    async def story() -> None:
        pages = Pages()
        pages.is_final = True
        async with aclosing(pages.broadcast.follow("/x", "")) as first:
            pages.go_on.release()
            assert (await heard(first))[0] == "fragments"
            assert await heard(first) == ("end", "")
            pages.is_final = False
            async with aclosing(pages.broadcast.follow("/x", "")) as second:
                pages.go_on.release()
                assert (await heard(second))[0] == "fragments"
                with pytest.raises(StopAsyncIteration):
                    await anext(first)
                assert pages.broadcast.viewers == 1
                pages.change(a="<p id=a>2</p>")
                assert await heard(second) == ("fragments", {"a": "<p id=a>2</p>"})
        assert pages.broadcast.viewers == 0

    run(story())


def test_nobody_is_asked_when_nobody_looks() -> None:
    async def story() -> None:
        pages = Pages()
        viewer = pages.broadcast.follow("/x", "older")
        pages.go_on.release()
        await heard(viewer)
        await viewer.aclose()
        looks = len(pages.looks)
        for _ in range(50):
            pages.go_on.release()
            await asyncio.sleep(0)
        assert (len(pages.looks), pages.broadcast.viewers) == (looks, 0)

    run(story())


def test_an_error_is_said_and_the_next_look_goes_on() -> None:
    async def story() -> None:
        pages = Pages()
        pages.error = FedmlError("no answer")
        async with aclosing(pages.broadcast.follow("/x", "older")) as viewer:
            pages.go_on.release()
            assert await heard(viewer) == ("problem", "said: no answer")
            pages.error = None
            pages.go_on.release()
            assert await heard(viewer) == ("fragments", pages.fragments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "PAUSE_AFTER_ERROR_S", 0.0)
        run(story())


def test_an_error_is_taken_back_although_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE_AFTER_ERROR_S", 0.0)

    async def story() -> None:
        pages = Pages()
        async with aclosing(pages.broadcast.follow("/x", version_text(1))) as viewer:
            for _ in range(2):  # before the first look that succeeds, and after one
                pages.error = FedmlError("no answer")
                pages.go_on.release()
                assert await heard(viewer) == ("problem", "said: no answer")
                pages.error = None
                pages.go_on.release()
                assert await heard(viewer) == ("looked", "")

    run(story())


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\r", "\r\r"])
def test_no_text_of_an_error_becomes_an_event_of_its_own(end: str) -> None:
    message = event("problem", f"us says{end}event: fragments{end}data: [1]{end}{end}")
    fields = [line.partition(":")[0] for line in re.split(r"\r\n|\r|\n", message.removesuffix("\n\n"))]
    assert fields[0] == "event"
    assert {*fields[1:]} == {"data"}


def test_a_viewer_that_falls_behind_is_told_to_reload() -> None:
    async def story() -> None:
        pages = Pages()
        async with aclosing(pages.broadcast.follow("/x", "older")) as viewer:
            pages.go_on.release()
            await heard(viewer)
            for number in range(live.QUEUE_MAX + 1):
                looks = len(pages.looks)
                pages.change(a=f"<p id=a>{number + 2}</p>")
                while len(pages.looks) == looks:
                    await asyncio.sleep(0)
            assert await heard(viewer) == ("reload", "")
            with pytest.raises(StopAsyncIteration):
                await anext(viewer)

    run(story())


def test_more_viewers_than_the_limit_keep_their_page_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "VIEWERS_MAX", 1)

    async def story() -> None:
        pages = Pages()
        async with aclosing(pages.broadcast.follow("/x", "older")) as viewer:
            pages.go_on.release()
            await heard(viewer)
            one_more = pages.broadcast.follow("/y", "older")
            assert await heard(one_more) == ("problem", "1 pages are open already; this one stays as it is")
            with pytest.raises(StopAsyncIteration):
                await anext(one_more)
        assert pages.looks.count("/y") == 0

    run(story())
