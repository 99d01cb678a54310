"""Read the bytes of a Nomad event stream and give lists of events; raise `EventGap` where it can't go on without a gap.

Nomad's buffer holds the last 100 changes or so. Asked for index N, a server begins with the line N if it still has it,
else with the nearest: a later one when the buffer has moved on, its last one when N lies ahead of all that it holds. So
a first line up to N proves that nothing is missing, and a later one proves nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import requests
import urllib3.exceptions

from regions.call_limits import in_bytes
from regions.errors import EventGap, PermissionDenied, RegionError, RegionUnreachable, UnexpectedAnswer
from regions.model import Event
from regions.nomad.decode import NOT_OF_NOMADS_SHAPE, events_from_line
from regions.nomad.error_mapping import Meaning, no_answer, read_refusal
from regions.nomad.transport import Answer, Request, Transport

HEARTBEAT_TIMEOUT_S = 75.0
"""Servers send a heartbeat each 10 seconds."""
LINE_BYTES_MAX = 64 << 20
"""What one line may have: the changes of one index, jobs and allocations whole."""
RATE_BYTES_PER_S = 64 << 10
"""Each such number of bytes of one line adds a second to its time: a long line may take long, but it must move."""
STOP_LOOK_S = 0.2
_LOST = re.compile(r"subscription closed|dropped from buffer")
_GAP_HINT = "subscribe from 0, then list"
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


def read_events(
    transport: Transport, request: Request, same_right: Request, *, index: int, stop: threading.Event
) -> Iterator[list[Event]]:
    """See `NomadRegion.events`. The connection is closed when the iterator is, or when `stop` is set. `same_right`: a
    request that is refused for the same reasons as the stream."""
    if stop.is_set():
        return
    answer = transport.call(request)
    response = answer.response
    done = threading.Event()
    threading.Thread(target=_hang_up, args=(response, stop, done), daemon=True).start()
    try:
        yield from _in_order(transport, request, _lines(transport, request, answer, same_right, stop), index)
    finally:
        done.set()
        response.close()


def _hang_up(response: requests.Response, stop: threading.Event, done: threading.Event) -> None:
    """Ends a blocking read when `stop` is set."""
    while not done.is_set():
        if stop.wait(STOP_LOOK_S):
            try:
                response.raw.shutdown()
            except (ValueError, RuntimeError, OSError):  # closed meanwhile
                pass
            return


def _lines(
    transport: Transport, request: Request, answer: Answer, same_right: Request, stop: threading.Event
) -> Iterator[tuple[int, list[Event]]]:
    """Index and events of each line until `stop`. The text of an error that Nomad writes into the stream is raised."""
    is_empty = True
    for line in _whole_lines(transport, request, answer, stop):
        is_empty = False
        try:
            yield events_from_line(line)
        except NOT_OF_NOMADS_SHAPE:
            raise _refused(transport, request, line) from None
    if stop.is_set():
        return
    if is_empty:
        transport.call(same_right)  # raises the reason
        raise transport.error(RegionUnreachable, request, "the server ended the stream without a word")
    raise transport.error(RegionUnreachable, request, "the server ended the stream")


def _whole_lines(transport: Transport, request: Request, answer: Answer, stop: threading.Event) -> Iterator[bytes]:
    """Each whole line that isn't empty, and at the end of the stream also an unfinished one.

    Raises RegionUnreachable where none comes for `request.silence_s`, UnexpectedAnswer for one that is too long.
    """
    silence_s = request.silence_s or HEARTBEAT_TIMEOUT_S
    begun = bytearray()
    answer.limits.restart(silence_s, rate_bytes_per_s=RATE_BYTES_PER_S)
    while not stop.is_set():
        try:
            # read1: what is there, not a whole block.
            block = answer.response.raw.read1(65536)
        except _BROKEN as error:
            if stop.is_set():
                return
            raise transport.error(RegionUnreachable, request, answer.limits.problem or no_answer(error).text) from None
        begun += block
        if len(begun) > LINE_BYTES_MAX:
            raise transport.error(
                UnexpectedAnswer, request, f"a line of the stream has more than {in_bytes(LINE_BYTES_MAX)}"
            )
        if block and b"\n" not in block:
            continue
        *lines, rest = bytes(begun).split(b"\n")
        begun = bytearray(rest)
        whole = [line for line in (lines if block else [*lines, rest]) if line.strip()]
        yield from whole
        if not block:
            return
        if whole:
            answer.limits.restart(silence_s, rate_bytes_per_s=RATE_BYTES_PER_S)


def _refused(transport: Transport, request: Request, line: bytes) -> RegionError:
    """The error for a line that isn't JSON: Nomad's text about why the stream ends."""
    text = line.decode(errors="replace")[:500]
    if _LOST.search(text):
        return transport.error(EventGap, request, text, hint=_GAP_HINT)
    is_permission = read_refusal(500, text, operation=request.operation).meaning is Meaning.PERMISSION_DENIED
    return transport.error(PermissionDenied if is_permission else RegionUnreachable, request, text)


def _in_order(
    transport: Transport, request: Request, lines: Iterator[tuple[int, list[Event]]], index: int
) -> Iterator[list[Event]]:
    """Only what comes after `index`; EventGap where the order can't be trusted."""
    last, is_proven = index, index == 0
    for line_index, events in lines:
        if not events:
            yield []
            continue
        if not is_proven and line_index > index:
            problem = f"events between {index} and {line_index} may be lost"
            raise transport.error(EventGap, request, problem, hint=_GAP_HINT)
        if is_proven and line_index < last:
            raise transport.error(EventGap, request, f"the index fell from {last} to {line_index}", hint=_GAP_HINT)
        is_proven = True
        last = max(last, line_index)
        if line_index > index:
            yield events
