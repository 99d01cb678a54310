"""Send a request to one region, over whichever of its addresses answers, and give the answer within a deadline.

How a request is sent is given from outside (`Send`), so this module knows HTTP and retries but no client library.
What may have happened decides what is repeated: a request that never left, or that Nomad refused before doing anything,
goes to the next address; one that may have been done is repeated only if the caller says that it may be.

Deadlines hold for the whole of an attempt, from connecting to the last byte of the body (`regions.call_limits`). A region
that has begun an answer and doesn't finish it in time is as unreachable as one that says nothing.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from dataclasses import replace
from typing import Any, Final, TypeVar

import requests

from jobs.errors import ForeignTextError
from jobs.foreign import parse_json
from jobs.json_limits import ANSWER_LIMITS
from regions.call_limits import CallLimits
from regions.errors import (
    Conflict,
    InvalidJob,
    NotFound,
    PermissionDenied,
    RegionError,
    RegionSlow,
    RegionUnreachable,
    Throttled,
    UnexpectedAnswer,
)
from regions.model import Region
from regions.nomad.error_mapping import Meaning, Refusal, Silence, no_answer, read_refusal
from regions.nomad.patience import Patience
from regions.nomad.request import Answer, Request, Send
from regions.nomad.sessions import new_session
from regions.nomad.tls_files import tls_problem

E = TypeVar("E", bound=RegionError)
_log = logging.getLogger("fedml.requests")

CONNECT_TIMEOUT_S: Final = 5.0
ROUNDS_WITHOUT_ANSWER: Final = 3
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 2.0

_DEFINITE: Final[dict[Meaning, type[RegionError]]] = {
    Meaning.NOT_FOUND: NotFound,
    Meaning.PERMISSION_DENIED: PermissionDenied,
    Meaning.CONFLICT: Conflict,
    Meaning.INVALID: InvalidJob,
}
_PASSING: Final[dict[Meaning, type[RegionError]]] = {
    Meaning.NO_REGION: RegionUnreachable,
    Meaning.NOT_DONE: Throttled,
    Meaning.UNCERTAIN: Throttled,
    Meaning.NOT_NOMAD: UnexpectedAnswer,
}


class Transport:
    """Requests to one region: addresses, token, connections, retries, errors. Safe to share between threads."""

    def __init__(self, region: Region, send: Send, *, timeout_s: float, deadline_s: float) -> None:
        self._region = region
        self._send = send
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._rounds = ROUNDS_WITHOUT_ANSWER
        self._first = 0  # the address that last answered
        self._token: str | None = None
        self._token_lock = threading.Lock()
        self._patience = {address: Patience() for address in region.addresses}
        self._session = new_session(region.tls.server_name)

    def within(self, deadline_s: float, *, rounds: int = ROUNDS_WITHOUT_ANSWER) -> Transport:
        """The same transport over the same connections. A call takes at most `deadline_s`. `rounds`: how often addresses
        that don't answer are asked."""
        transport = copy.copy(self)
        transport._deadline_s, transport._rounds = min(deadline_s, self._deadline_s), rounds
        return transport

    @property
    def address(self) -> str:
        """The address that answered last."""
        return self._region.addresses[self._first]

    def close(self) -> None:
        """Close the pooled connections of all threads."""
        self._session.close()

    def call(self, request: Request) -> Answer:
        """The answer, after as many attempts as it takes. Raises the errors of `regions.errors`."""
        deadline = time.monotonic() + self._deadline_s
        wait_s = FIRST_WAIT_S
        round_number = 0
        while True:
            round_number += 1
            self._wait(request, deadline)
            outcome = self._round(request, deadline)
            if isinstance(outcome, Answer):
                return outcome
            is_hopeless = (
                isinstance(outcome, UnexpectedAnswer)
                or (isinstance(outcome, RegionUnreachable) and round_number >= self._rounds)
                or (isinstance(outcome, RegionSlow) and request.is_costly)
            )
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            pause_s = random.uniform(wait_s / 2, wait_s)  # noqa: S311 - jitter, no secret
            if is_hopeless or request.is_stream or time.monotonic() + pause_s >= deadline:
                raise outcome
            _log.debug("%s: %s: asked again in %.1f s", self._region.name, outcome.message, pause_s)
            time.sleep(pause_s)

    def _wait(self, request: Request, deadline: float) -> None:
        """Waits until one address may be asked, where all ask for patience (`Retry-After`). Raises Throttled where that is too
        long for the call."""
        left_s = min((patience.left_s for patience in self._patience.values()), default=0.0)
        if not left_s:
            return
        if time.monotonic() + left_s >= deadline:
            raise self.error(Throttled, request, f"its servers ask for {left_s:.0f} s of patience (Retry-After)")
        time.sleep(left_s)

    def _round(self, request: Request, deadline: float) -> Answer | RegionError:
        """Each address once that doesn't ask for patience, beginning with the one that last answered. Definite refusals are
        raised."""
        addresses = self._region.addresses
        first = self._first
        failures: list[RegionError] = []
        for offset in range(len(addresses)):
            number = (first + offset) % len(addresses)
            if self._patience[addresses[number]].left_s:
                patient = f"{addresses[number]}: it asks for patience (Retry-After)"
                failures.append(self.error(Throttled, request, patient))
                continue
            left_s = deadline - time.monotonic()
            if left_s <= 0 and failures:
                break
            # Of what is left, each address has its share: one that drips doesn't use up the time of the others.
            share_s = left_s / (len(addresses) - offset)
            outcome = self._attempt(request, addresses[number], max(share_s, 0.1))
            if isinstance(outcome, Answer):
                self._first = number
                return outcome
            failures.append(outcome)
            if isinstance(outcome, RegionSlow) and request.is_costly:
                break
        # What Nomad said is worth more than silence or strangers at the other addresses.
        worth = (Throttled, RegionSlow, RegionUnreachable, UnexpectedAnswer)
        return min(failures, key=lambda failure: worth.index(type(failure)))

    def _attempt(self, request: Request, address: str, left_s: float) -> Answer | RegionError:
        """One request to one address, or two when the token was refused and has changed since it was read."""
        token = self._read_token()
        timeout_s = min(self._timeout_s, left_s)
        ends_s = request.silence_s if request.is_stream and request.silence_s is not None else timeout_s
        timeout = (min(CONNECT_TIMEOUT_S, timeout_s, ends_s), ends_s)
        answer_bytes_max = None if request.is_stream else request.answer_bytes_max
        while True:
            limits = CallLimits(ends_s, answer_bytes_max=answer_bytes_max)
            began = time.monotonic()
            try:
                with limits.applied():
                    response = self._send(request, address=address, token=token, session=self._session, timeout=timeout)
                    answer = self._read(request, response, limits, address)
                self._log_request(request, address, str(response.status_code), began)
            except (OSError, ValueError, LookupError) as error:  # of requests; or of ssl, for a file that can't be used
                self._check_tls_files(request)
                if not isinstance(error, requests.RequestException):
                    if not isinstance(error, OSError):
                        raise
                    hint = "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE in the environment"
                    raise self.error(RegionUnreachable, request, str(error), hint=hint) from None
                self._log_request(request, address, "no answer", began)
                return self._unanswered(request, address, error, limits)
            if isinstance(answer, Answer):
                return answer
            if answer.meaning is Meaning.PERMISSION_DENIED:
                refused, token = token, self._read_token(anew=True)
                if token != refused:
                    continue
            if answer.meaning in _DEFINITE:
                raise self.error(_DEFINITE[answer.meaning], request, answer.text)
            if answer.meaning is Meaning.UNCERTAIN and not request.is_repeatable:
                raise self._unknown_outcome(request, address, answer.text)
            return self.error(_PASSING[answer.meaning], request, f"{address}: {answer.text}")

    def _log_request(self, request: Request, address: str, end: str, began: float) -> None:
        what = " ".join(filter(None, (request.method.upper(), request.operation, request.about)))
        _log.debug("%s: %s at %s: %s in %.2f s", self._region.name, what, address, end, time.monotonic() - began)

    def _unanswered(
        self, request: Request, address: str, error: requests.RequestException, limits: CallLimits
    ) -> RegionError:
        """The error for an attempt without a whole answer. Raises it where the request may have been done."""
        silence = no_answer(error)
        if limits.problem:
            was_sent = silence.was_sent or limits.sent_bytes > 0
            silence = Silence(limits.problem, was_sent, is_late=was_sent)
        elif limits.received_bytes:
            silence = replace(silence, text=f"{silence.text} ({limits.progress()})")
        if silence.was_sent and not request.is_repeatable:
            raise self._unknown_outcome(request, address, silence.text) from None
        kind: type[RegionError] = RegionSlow if silence.is_late else RegionUnreachable
        if limits.is_too_large:
            kind = UnexpectedAnswer
        return self.error(kind, request, f"{address}: {silence.text}", hint=silence.hint)

    def _check_tls_files(self, request: Request) -> None:
        """Raises RegionUnreachable, with key and file, where a file of the region's TLS settings can't be used."""
        problem, hint = tls_problem(self._region.tls)
        if problem:
            raise self.error(RegionUnreachable, request, f"regions.{self._region.name}.tls.{problem}", hint=hint)

    def _read(
        self, request: Request, response: requests.Response, limits: CallLimits, address: str
    ) -> Answer | Refusal:
        if response.status_code >= 300:
            self._patience[address].read(response.status_code, response.headers)
            return read_refusal(response.status_code, response.text, operation=request.operation)
        if not request.expects_json:
            return Answer(response, limits)
        try:
            return Answer(response, limits, _json(response))
        except ForeignTextError:
            return Refusal(Meaning.NOT_NOMAD, "something that isn't Nomad answers there")

    def _read_token(self, *, anew: bool = False) -> str:
        """The token, "" for none. Raises SecretUnavailable; PermissionDenied for one that is not valid in a header."""
        if self._region.token is None:
            return ""
        with self._token_lock:
            if self._token is None or anew:
                token = self._region.token.read()
                if not (token.isascii() and token.isprintable()):
                    raise PermissionDenied(
                        f"the token from {self._region.token} holds characters that no Nomad token has",
                        region=self._region.name,
                        operation="token",
                    )
                self._token = token
            return self._token

    def _unknown_outcome(self, request: Request, address: str, text: str) -> RegionUnreachable:
        return self.error(
            RegionUnreachable,
            request,
            f"{address}: {text}; whether it took effect is unknown",
            hint="look whether it is there before sending it again",
        )

    def error(self, kind: type[E], request: Request, text: str, *, hint: str = "") -> E:
        """The error of that kind, in one sentence, without the token even where a server repeats it."""
        what = " ".join(filter(None, (request.operation, request.about)))
        sentence = " ".join(f"{what}: {text}".split())
        if self._token:
            sentence, hint = sentence.replace(self._token, "…"), hint.replace(self._token, "…")
        return kind(sentence, region=self._region.name, operation=request.operation, hint=hint)


def _json(response: requests.Response) -> Any:
    """The JSON of an answer, within the limits for what a server says. Raises ForeignTextError."""
    return parse_json(response.content, source="the answer", limits=ANSWER_LIMITS)
