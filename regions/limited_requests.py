"""Sessions of requests under the limits of the current call.

`LimitedAdapter` reads the body itself, so that neither a packed nor an endless one fills the memory.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from regions.call_limits import CallLimits, current_limits
from regions.limited_http import limited_pools

ERROR_BYTES_MAX = 64 << 10
"""What is read of the body of a refusal."""
_READ_BYTES = 64 << 10


def read_environment_once(session: requests.Session) -> None:
    """Make the session read proxies and certificates from the environment once for each host, and never `~/.netrc`.

    requests reads all three with each request, which takes a tenth of the time of a small one. What `~/.netrc` holds would
    also replace the credentials that an SDK has set.
    """
    merge = session.merge_environment_settings
    settings_of: dict[tuple[str, str], dict[str, Any]] = {}

    def merged(url: str, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        place = urlsplit(url)[:2]
        if place not in settings_of:
            settings_of[place] = dict(merge(url, {}, None, None, None))
        found = settings_of[place]
        return {
            "proxies": {**found["proxies"], **(proxies or {})},
            "stream": session.stream if stream is None else stream,
            "verify": found["verify"] if verify in (True, None) else verify,
            "cert": found["cert"] if cert is None else cert,
        }

    session.merge_environment_settings = merged  # type: ignore[method-assign]
    session.auth = lambda request: request


class BodyTooLarge(requests.RequestException):
    """The answer's body, unpacked, has more bytes than it may."""


class LimitedAdapter(HTTPAdapter):
    """An adapter for sessions of requests whose calls keep the current limits."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools limited."""
        super().init_poolmanager(*args, **kwargs)
        limited_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools of a proxy limited too."""
        manager = super().proxy_manager_for(*args, **kwargs)
        limited_pools(manager)
        return manager

    def send(self, request: Any, stream: bool = False, *args: Any, **kwargs: Any) -> requests.Response:
        """Send the request; read the body within the limits unless it is streamed and not refused. Raises BodyTooLarge."""
        response = super().send(request, stream, *args, **kwargs)
        limits = current_limits()
        if limits is None:
            return response
        if response.status_code < 300 and request.method != "HEAD":
            _refuse_declared(response, limits)
        if not stream or response.status_code >= 300:
            _read_body(response, limits)
        else:
            # A stream is given as it comes: unpacked, a few bytes could become any number.
            response.raw.headers.pop("Content-Encoding", None)
        return response


def _refuse_declared(response: requests.Response, limits: CallLimits) -> None:
    """Refuse a body that is too large by its own length. Raises BodyTooLarge."""
    declared = response.headers.get("Content-Length", "")
    if limits.answer_bytes_max is None or not (declared.isascii() and declared.isdigit()):
        return
    if len(declared) > 18 or int(declared) > limits.answer_bytes_max:
        response.close()
        raise BodyTooLarge(str(limits.too_large()))


def _read_body(response: requests.Response, limits: CallLimits) -> None:
    """Read the body up to its limit; of a refusal only the beginning is kept."""
    is_refusal = response.status_code >= 300
    size_max = ERROR_BYTES_MAX if is_refusal else limits.answer_bytes_max
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in response.iter_content(_READ_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size_max is not None and size > size_max:
                if not is_refusal:
                    raise BodyTooLarge(str(limits.too_large()))
                response.close()
                break
    except BaseException:
        response.close()
        raise
    response._content = b"".join(pieces)[:size_max]
    response._content_consumed = True
