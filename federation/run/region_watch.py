"""Follows a region's event stream for news of a job's children, until it is asked to stop.

One thread a region follows the event stream. At the start, and after every gap or reconnection, the stream is subscribed to
first (its first line says that the subscription stands), then the region's allocations are listed, so that nothing is missed.
News may come twice. Load on a server: one stream, one list a reconnection, and at most one reconnection every
`RECONNECT_S[0]` seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

from federation.run.ports import RegionReader
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.errors import PermissionDenied
from regions.model import Allocation, Event

RECONNECT_S = (0.5, 15.0)
"""Wait before reconnecting: first and longest."""


def watch(
    client: RegionReader,
    job_id: str,
    *,
    on_allocation: Callable[[Allocation], None],
    on_heard: Callable[[bool], None],
    on_listed: Callable[[Collection[str]], None],
    parse: Callable[[Event], Allocation],
    stop: threading.Event,
) -> None:
    """Follow the children of `job_id` until `stop` is set. Raises nothing for what a region does; silence is the sign.

    `on_heard` is called at every line that the region sends, heartbeats included, once its allocations were listed: a stream
    without the list before it isn't complete. Its argument says whether somebody else's work ended there, which makes room.
    `on_listed` is called after every list, with the children that have allocations.
    """
    children = _Children(f"{job_id}/dispatch-", on_allocation, on_heard, on_listed, parse)
    wait_s = RECONNECT_S[0]
    while not stop.is_set():
        try:
            for number, events in enumerate(client.events(topics=["Allocation"], index=0, stop=stop)):
                if number == 0:
                    children.listed(client.allocations()[0])
                    wait_s = RECONNECT_S[0]
                children.heard(events)
        except PermissionDenied:
            wait_s = RECONNECT_S[1]
        except FedmlError:
            pass
        stop.wait(wait_s)
        wait_s = min(wait_s * 2, RECONNECT_S[1])


@frozen
class _Children:
    """Passes on what concerns children of one job, whose IDs begin with `prefix`."""

    prefix: str
    on_allocation: Callable[[Allocation], None]
    on_heard: Callable[[bool], None]
    on_listed: Callable[[Collection[str]], None]
    parse: Callable[[Event], Allocation]

    def listed(self, allocations: Sequence[Allocation]) -> None:
        own = [allocation for allocation in allocations if allocation.job_id.startswith(self.prefix)]
        for allocation in own:
            self.on_allocation(allocation)
        self.on_listed({allocation.job_id for allocation in own})

    def heard(self, events: Sequence[Event]) -> None:
        allocation_events = [event for event in events if event.topic == "Allocation"]
        self.on_heard(any(_is_over(event) for event in allocation_events if not self._is_own(event)))
        for event in filter(self._is_own, allocation_events):
            self.on_allocation(self.parse(event))

    def _is_own(self, event: Event) -> bool:
        return str(event.payload.get("JobID", "")).startswith(self.prefix)


def _is_over(event: Event) -> bool:
    return event.payload.get("ClientStatus") in ("complete", "failed", "lost")
