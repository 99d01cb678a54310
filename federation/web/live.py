"""Keeps open pages true by server-sent events: one look for all viewers of an address, and only what changed is sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from federation.web.page import Live
from federation.web.templates import Rendered

QUEUE_MAX = 8
"""Messages that a slow viewer may be behind. It then reloads the page."""
VIEWERS_MAX = 1_000
HEARTBEAT_S = 20.0
PAUSE_AFTER_ERROR_S = 5.0

Message = str


@dataclass(frozen=True, slots=True)
class Looked:
    """A page as it is now. `rendered` is None where nothing has changed since the version that was asked for."""

    live: Live
    rendered: Rendered | None
    is_final: bool = False
    """The page doesn't change any more."""


Look = Callable[[str, object], Awaitable[Looked]]
"""(address, version that is known) → the page as it is now. Raises FedmlError."""


@dataclass
class _Channel:
    """One address, its viewers, and the fragments that they all have."""

    queues: set[asyncio.Queue[Message]] = field(default_factory=set)
    seen: str = ""
    """The version that all pages have which are open before the first look; "" where they differ."""
    fragments: Mapping[str, str] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Broadcast:
    """The open pages. An address is looked at while somebody views it."""

    def __init__(self, look: Look, on_error: Callable[[Exception], str]) -> None:
        self._look, self._on_error = look, on_error
        self._channels: dict[str, _Channel] = {}

    @property
    def viewers(self) -> int:
        """How many pages are open."""
        return sum(len(channel.queues) for channel in self._channels.values())

    async def follow(self, address: str, version: str) -> AsyncGenerator[Message, None]:
        """The events of one address, for one viewer whose page has this version. Ends with the viewer."""
        if self.viewers >= VIEWERS_MAX:
            yield event("problem", f"{VIEWERS_MAX} pages are open already; this one stays as it is")
            return
        channel = self._channels.setdefault(address, _Channel(seen=version))
        queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE_MAX)
        channel.queues.add(queue)
        if channel.task is None:
            channel.task = asyncio.create_task(self._watch(address, channel))
        elif channel.seen != version:
            channel.seen = ""
        if channel.fragments:
            queue.put_nowait(event("fragments", json.dumps(dict(channel.fragments))))
        try:
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    message = ": still here\n\n"
                yield message
                if message in LAST:
                    return
        finally:
            channel.queues.discard(queue)
            if not channel.queues and channel.task is not None:
                channel.task.cancel()
                self._drop(address, channel)

    async def _watch(self, address: str, channel: _Channel) -> None:
        """Looks until the task is cancelled. Sends nothing of a first look that finds what all open pages have."""
        version: object = None
        has_failed = False
        while True:
            pause_s = PAUSE_AFTER_ERROR_S
            try:
                looked = await self._look(address, version)
                is_first, version = version is None, looked.live.version
                pause_s = looked.live.pause_s
                is_seen = is_first and version_text(version) == channel.seen
                if looked.rendered is not None and not is_seen:
                    self._send(channel, looked.rendered.fragments)
                elif has_failed:
                    self._post(channel, event("looked", ""))
                if looked.rendered is not None:
                    channel.fragments = looked.rendered.fragments
                has_failed = False
                if looked.is_final:
                    self._drop(address, channel)
                    self._post(channel, END)
                    return
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - viewers are told; the next look may succeed
                has_failed = True
                self._post(channel, event("problem", self._on_error(error)))
            await asyncio.sleep(pause_s)

    def _send(self, channel: _Channel, fragments: Mapping[str, str]) -> None:
        before = channel.fragments
        changes = {name: html for name, html in fragments.items() if before.get(name) != html}
        gone = [name for name in before if name not in fragments]
        if changes:
            self._post(channel, event("fragments", json.dumps(changes)))
        if gone:
            self._post(channel, event("gone", json.dumps(gone)))
        if not changes and not gone:
            self._post(channel, event("looked", ""))

    def _drop(self, address: str, channel: _Channel) -> None:
        """Forgets the channel, but not one that has taken its place."""
        if self._channels.get(address) is channel:
            del self._channels[address]

    def _post(self, channel: _Channel, message: Message) -> None:
        for queue in channel.queues:
            is_behind = queue.full()
            while is_behind and not queue.empty():
                queue.get_nowait()
            queue.put_nowait(RELOAD if is_behind else message)


def version_text(version: object) -> str:
    """A version as the page carries it."""
    return hashlib.sha256(repr(version).encode()).hexdigest()[:16]


def event(name: str, data: str) -> Message:
    """One server-sent event. `data` may have several lines; what a browser takes for a line's end never begins a field."""
    lines = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", data))
    return f"event: {name}\n{lines}\n"


END = event("end", "")
"""The page doesn't change any more."""
RELOAD = event("reload", "")
"""For a viewer that is too far behind."""
LAST = (END, RELOAD)
