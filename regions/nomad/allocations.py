"""Calls about allocations: lists, logs, files, usage, and the stream of events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import nomad.api  # noqa: TID253 - this module is loaded only when a region is really called
import nomad.api.client  # noqa: TID253
import nomad.api.event  # noqa: TID253

from regions.model import Allocation, Event, HeldDevices
from regions.nomad.calls import RegionCalls, checked_as, quoted
from regions.nomad.decode import allocation_from_json, written_streams
from regions.nomad.event_stream import HEARTBEAT_TIMEOUT_S, read_events
from regions.nomad.request import Request
from regions.nomad.resources import Resources, held_devices, used_by_node
from regions.nomad.task_history import AllocationStory, TaskUsage, allocation_story, usage_from_json

FILE_BYTES_MAX = 256 << 20
"""What a log or a file of an allocation may have."""
_SLACK_BYTES = 64 << 10
"""What an answer may have beyond the bytes that were asked for: its headers."""

_NOT_ENDED = 'ClientStatus != "complete" and ClientStatus != "failed" and ClientStatus != "lost"'
"""Leaves out what takes no room: a busy region has many times more of it."""


class AllocationCalls(RegionCalls):
    """The calls of `NomadRegion` about allocations and events."""

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        """All allocations of a job, or of the namespace, and the index up to which the list is complete."""
        if job_id is None:
            stubs, index = self._pages("allocations", nomad.api.Allocations, params={})
        else:
            stubs, index = self._pages("allocations", nomad.api.Job, quoted(job_id), "allocations", params={})
        return self._parse("allocations", lambda: [allocation_from_json(stub) for stub in stubs]), index

    def some_allocation(self) -> Allocation | None:
        """Any allocation of the namespace; None where there is none."""
        request = Request("allocations", nomad.api.Allocations, params={"per_page": 1})
        stubs = self._transport.call(request).value
        return self._parse("allocations", lambda: allocation_from_json(stubs[0]) if stubs else None)

    def used(self) -> dict[str, Resources]:
        """Node ID → what the allocations of all readable namespaces take there."""
        return self.taken()[0]

    def taken(self) -> tuple[dict[str, Resources], list[HeldDevices]]:
        """What `used` says, and which of these allocations holds which devices: one list."""
        params = {"resources": "true", "namespace": "*", "filter": _NOT_ENDED}
        stubs = self._pages("allocations", nomad.api.Allocations, params=params)[0]
        return self._parse("allocations", lambda: (used_by_node(stubs), held_devices(stubs)))

    def allocation(self, alloc_id: str) -> Allocation:
        """One allocation by its whole ID. Raises NotFound."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.Allocation, quoted(alloc_id), about=about)
        return self._parse("allocation", lambda: allocation_from_json(answer))

    def allocation_story(self, alloc_id: str) -> AllocationStory:
        """What happened to an allocation's tasks, by its whole ID. Raises NotFound."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.Allocation, quoted(alloc_id), about=about)
        return self._parse("allocation", lambda: allocation_story(answer))

    def usage(self, alloc_id: str) -> dict[str, TaskUsage]:
        """What each task of a running allocation takes now, asked of its node. Raises NotFound, also when it is over."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.client.allocation, quoted(alloc_id), "stats", about=about)
        return self._parse("usage", lambda: usage_from_json(answer))

    def logs(
        self,
        alloc_id: str,
        task: str,
        *,
        kind: Literal["stdout", "stderr"] = "stdout",
        tail_bytes: int | None = None,
        offset_bytes: int = 0,
    ) -> bytes:
        """What the task has written so far, from `offset_bytes` on, or its last `tail_bytes`. Raises NotFound, also for a
        lost node."""
        params: dict[str, Any] = {"task": task, "type": kind, "plain": "true"}
        if tail_bytes is not None:
            params |= {"origin": "end", "offset": tail_bytes}
        elif offset_bytes:
            params |= {"origin": "start", "offset": offset_bytes}
        about = f"{kind} of task {task} of allocation {alloc_id}"
        bytes_max = FILE_BYTES_MAX if tail_bytes is None else tail_bytes + _SLACK_BYTES
        return self._bytes(nomad.api.client.stream_logs, alloc_id, params, about, bytes_max)

    def written_streams(self, alloc_id: str) -> frozenset[tuple[str, str]]:
        """(task, stdout or stderr) of each stream that holds anything, by one list of its files. It takes `read-fs`, which
        `logs` doesn't. Raises NotFound, also for a lost node."""
        about = f"logs of allocation {alloc_id}"
        path, params = (quoted(alloc_id),), {"path": "alloc/logs"}
        files = self._transport.call(Request("read", nomad.api.client.ls, path, params=params, about=about)).value
        return self._parse("logs", lambda: written_streams(files))

    def read_file(self, alloc_id: str, path: str, *, limit_bytes: int = FILE_BYTES_MAX) -> bytes:
        """A file of the allocation's folder, by its path from there (`alloc/data/x`). Raises NotFound, and UnexpectedAnswer
        for one that has more than `limit_bytes`."""
        about = f"file {path} of allocation {alloc_id}"
        # A missing file would come as 200 with the error's text for content: only `stat` says so by its status.
        self._bytes(nomad.api.client.stat, alloc_id, {"path": path}, about)
        return self._bytes(nomad.api.client.cat, alloc_id, {"path": path}, about, limit_bytes)

    def read_file_from(self, alloc_id: str, path: str, *, offset_bytes: int, limit_bytes: int) -> tuple[bytes, int]:
        """At most `limit_bytes` of a file of the allocation's folder from `offset_bytes` on, and the file's size: one request
        where there is nothing new, else two. Raises NotFound for a file that isn't there (yet)."""
        about = f"file {path} of allocation {alloc_id}"
        told = self._get("read", nomad.api.client.stat, quoted(alloc_id), params={"path": path}, about=about)
        size_bytes = self._parse("read", lambda: checked_as(int, checked_as(dict, told)["Size"]))
        wanted = min(limit_bytes, size_bytes - offset_bytes)
        if wanted <= 0:
            return b"", size_bytes
        params = {"path": path, "offset": offset_bytes, "limit": wanted}
        data = self._bytes(nomad.api.client.read_at, alloc_id, params, about, wanted + _SLACK_BYTES)
        # A file that went away meanwhile comes as 200 with the error's text for content.
        return (data if len(data) == wanted else b""), size_bytes

    def events(
        self, *, topics: Sequence[str], index: int, stop: threading.Event, silence_s: float = HEARTBEAT_TIMEOUT_S
    ) -> Iterator[list[Event]]:
        """The region's events, one list a line of the stream; a heartbeat gives []. Ends when `stop` is set.

        A stream of which no whole line comes for `silence_s` is broken: servers send a heartbeat each 10 or 30 seconds.

        `index` 0: all that the servers still hold, then what comes. To miss nothing: wait for the first line (Nomad
        sends a heartbeat when the subscription stands), then list, then go on with the stream.
        `index` N > 0: the events after N, N being the index of the last line that was received for these topics.
        Raises EventGap when the servers can't prove that nothing lies between, or stepped back: then subscribe from 0
        and list. Raises RegionUnreachable when the stream breaks; reconnecting is the caller's.
        Since 1.11.2 servers answer 200 to a stream that they refuse, and send nothing. Then a list, which needs the same
        right, is asked for the reason.
        """
        params = {"topic": list(topics), "index": index}
        request = Request(
            "events", nomad.api.event.stream, params=params, expects_json=False, is_stream=True, silence_s=silence_s
        )
        is_of_nodes = all(topic.partition(":")[0] == "Node" for topic in topics)
        listed = nomad.api.Nodes if is_of_nodes else nomad.api.Allocations
        same_right = Request("events", listed, params={"per_page": 1})
        return read_events(self._transport, request, same_right, index=index, stop=stop)
