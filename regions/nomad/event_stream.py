"""Read the bytes of a Nomad event stream and give lists of events; raise `EventGap` where it can't go on without a gap.

Nomad's buffer holds the last 100 changes or so. Asked for index N, a server begins with the line N if it still has it,
else with the nearest: a later one when the buffer has moved on, its last one when N lies ahead of all that it holds. So
a first line up to N proves that nothing is missing, and a later one proves nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress

import requests
import urllib3.exceptions

from jobs.errors import FedmlError
from regions.call_limits import in_bytes
from regions.errors import EventGap, PermissionDenied, RegionError, RegionSlow, RegionUnreachable, UnexpectedAnswer
from regions.model import Event
from regions.nomad.decode import events_from_line
from regions.nomad.error_mapping import Meaning, no_answer, read_refusal
from regions.nomad.json_types import NOT_OF_NOMADS_SHAPE
from regions.nomad.request import Answer, Request
from regions.nomad.transport import Transport

HEARTBEAT_TIMEOUT_S = 75.0
"""Servers send a heartbeat each 10 seconds, since 1.11 each 30."""
FIRST_LINE_S = 2.0
"""The first heartbeat comes at once. After this time the servers are asked whether they refuse the stream."""
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
    done, refusal = threading.Event(), _Refusal(transport, same_right)
    threading.Thread(target=_hang_up, args=(response, stop, done), daemon=True).start()
    threading.Thread(target=refusal.find_out, args=(response,), daemon=True).start()
    try:
        yield from _in_order(transport, request, _lines(transport, request, answer, refusal, stop), index)
    finally:
        done.set()
        refusal.is_over.set()
        response.close()


class _Refusal:
    """Why servers refuse a stream: since 1.11.2 they answer 200, say nothing, and end it half a minute later. A stream that
    they accept begins with a heartbeat. So where none comes, a request that needs the same right tells the reason."""

    def __init__(self, transport: Transport, same_right: Request) -> None:
        self.is_over = threading.Event()
        """The first line came, or the stream was left."""
        self.error: FedmlError | None = None
        self._transport = transport
        self._same_right = same_right

    def find_out(self, response: requests.Response) -> None:
        """Waits for the first line. Where it doesn't come soon, asks for the reason, and ends the stream if there is one."""
        if self.is_over.wait(FIRST_LINE_S):
            return
        try:
            self._transport.call(self._same_right)
        except RegionSlow:
            return
        except FedmlError as error:
            if not self.is_over.is_set():
                self.error = error
                _shut(response)

    def raise_reason(self) -> None:
        """Asks for the reason, unless it is known."""
        if self.error is None:
            self._transport.call(self._same_right)
        else:
            raise self.error


def _hang_up(response: requests.Response, stop: threading.Event, done: threading.Event) -> None:
    """Ends a blocking read when `stop` is set."""
    while not done.is_set():
        if stop.wait(STOP_LOOK_S):
            _shut(response)
            return


def _shut(response: requests.Response) -> None:
    with suppress(ValueError, RuntimeError, OSError):  # closed meanwhile
        response.raw.shutdown()


def _lines(
    transport: Transport, request: Request, answer: Answer, refusal: _Refusal, stop: threading.Event
) -> Iterator[tuple[int, list[Event]]]:
    """Index and events of each line until `stop`. The text of an error that Nomad writes into the stream is raised."""
    try:
        for line in _whole_lines(transport, request, answer, stop):
            refusal.is_over.set()
            try:
                yield events_from_line(line)
            except NOT_OF_NOMADS_SHAPE:
                raise _refused(transport, request, line) from None
    except RegionUnreachable:
        if refusal.error is None:
            raise
    if stop.is_set():
        return
    if not refusal.is_over.is_set():
        refusal.raise_reason()
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
