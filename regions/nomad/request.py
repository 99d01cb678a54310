"""One request to a region, how it is sent once, and its answer. Values that know no client library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import requests

from jobs.frozen import frozen
from regions.call_limits import CallLimits

ANSWER_BYTES_MAX: Final = 64 << 20
"""What an answer may have, packed and unpacked, unless its request says otherwise."""


@frozen
class Request:
    """One request, ready to be sent to any address of the region: `endpoint` and `path` as the client library wants."""

    operation: str
    endpoint: type
    path: tuple[str, ...] = ()
    method: str = "get"
    params: Mapping[str, Any] | None = None
    json: Mapping[str, Any] | None = None
    about: str = ""
    """What it is about, for messages: `job train`."""
    is_repeatable: bool = True
    is_costly: bool = False
    """A server works for it. It isn't sent again to one that took it and gave no answer in time."""
    expects_json: bool = True
    is_stream: bool = False
    answer_bytes_max: int = ANSWER_BYTES_MAX
    silence_s: float | None = None
    """Of a stream: how long it may take until it begins; None: as long as one attempt."""


class Send(Protocol):
    """Sends a request once, follows no redirect. Returns any HTTP answer; raises requests.RequestException for none."""

    def __call__(
        self,
        request: Request,
        *,
        address: str,
        token: str,
        session: requests.Session,
        timeout: tuple[float, float],
    ) -> requests.Response: ...


@frozen
class Answer:
    """An answer with a status below 300. `value` is its JSON, where JSON was expected."""

    response: requests.Response
    limits: CallLimits
    """A stream is still read under them."""
    value: Any = None
