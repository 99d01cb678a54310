"""A region client enters; news of the job's children leaves, through callbacks, until told to stop.

One thread a region follows the event stream. At the start, and after every gap or reconnection, the stream is subscribed to
first (its first line says that it stands), then the region's allocations are listed, so that nothing is missed; news may
come twice, and whoever hears it must not mind. Load on a server: one stream, one list a reconnection,
and at most one reconnection every `RECONNECT_S[0]` seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from jobs.errors import FedmlError
from regions.errors import PermissionDenied
from regions.model import Allocation, Event

RECONNECT_S = (0.5, 15.0)
"""Wait before reconnecting: first and longest."""


class Watchable(Protocol):
    """The part of a region client that a watch asks."""

    @property
    def name(self) -> str: ...
    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]: ...
    def events(self, *, topics: Sequence[str], index: int, stop: threading.Event) -> Iterator[list[Event]]: ...


def watch(
    client: Watchable,
    job_id: str,
    *,
    on_allocation: Callable[[Allocation], None],
    on_heard: Callable[[bool], None],
    on_listed: Callable[[Collection[str]], None],
    parse: Callable[[Event], Allocation],
    stop: threading.Event,
) -> None:
    """Follow the children of `job_id` until `stop` is set. Never raises for what a region does; silence is the sign.

    `on_heard` is called at every line that the region sends, heartbeats included, once its allocations were listed: a stream
    without the list before it doesn't tell all. It says whether somebody else's work ended there, which makes room.
    `on_listed` is called after every list, with the children that have allocations.
    """
    prefix = f"{job_id}/dispatch-"
    wait_s = RECONNECT_S[0]

    def tell(allocations: Sequence[Allocation]) -> None:
        own = [allocation for allocation in allocations if allocation.job_id.startswith(prefix)]
        for allocation in own:
            on_allocation(allocation)
        on_listed({allocation.job_id for allocation in own})

    while not stop.is_set():
        try:
            is_listed = False
            for events in client.events(topics=["Allocation"], index=0, stop=stop):
                if not is_listed:
                    is_listed = True
                    tell(client.allocations()[0])
                    wait_s = RECONNECT_S[0]
                on_heard(any(_ends_others(event, prefix) for event in events))
                for event in events:
                    if event.topic == "Allocation" and str(event.payload.get("JobID", "")).startswith(prefix):
                        on_allocation(parse(event))
        except PermissionDenied:
            wait_s = RECONNECT_S[1]
        except FedmlError:
            pass
        stop.wait(wait_s)
        wait_s = min(wait_s * 2, RECONNECT_S[1])


def _ends_others(event: Event, prefix: str) -> bool:
    is_over = event.payload.get("ClientStatus") in ("complete", "failed", "lost")
    return event.topic == "Allocation" and is_over and not str(event.payload.get("JobID", "")).startswith(prefix)
