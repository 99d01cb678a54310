"""Tell what a refusal means, from its status code and Nomad's text, or a broken connection, from its exception.

Nomad answers 500 to many things that are the caller's doing ("Unknown job", unknown meta keys, a refused modify index),
so the text decides before the code does.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator
from enum import Enum
from typing import Final

import requests
import urllib3.exceptions
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from jobs.frozen import frozen


class Meaning(Enum):
    """What a refusal says about the request."""

    NOT_FOUND = "no such object"
    PERMISSION_DENIED = "the token was refused"
    CONFLICT = "the job's modify index isn't the expected one"
    INVALID = "Nomad refused the request's content"
    NO_REGION = "this server knows no way to the region"
    NOT_DONE = "refused before anything was done; may be sent again"
    UNCERTAIN = "failed on the way; it may have been done"
    NOT_NOMAD = "an answer that Nomad doesn't give"


@frozen
class Refusal:
    """What a refusal means, and Nomad's own sentence, without the RPC prefixes of forwarding servers."""

    meaning: Meaning
    text: str


_WRITES_OF_JOBS: Final = frozenset({"plan", "register", "dispatch", "stop", "evaluate"})

# The order counts: "Enforcing job modify index 5: job does not exist" is a conflict.
_TEXTS: Final[tuple[tuple[Meaning, tuple[str, ...]], ...]] = (
    (Meaning.CONFLICT, ("Enforcing job modify index",)),
    (Meaning.NO_REGION, ("No path to region",)),
    (
        Meaning.PERMISSION_DENIED,
        (
            "Permission denied",
            "ACL token not found",
            "ACL token expired",
            "ACL token is invalid",
            "acl token lookup failed",
            "failed to parse signed token",
            "missing key ID header",
            "Reading secret file prohibited",
            "Reading private file prohibited",
        ),
    ),
    (
        Meaning.NOT_DONE,
        ("No cluster leader", "Not ready to serve consistent reads", "too many requests", "rate limit"),
    ),
    (
        Meaning.NOT_FOUND,
        (
            *(f"Unknown {kind}" for kind in ("job", "allocation", "node", "evaluation", "deployment", "task")),
            "alloc lookup failed",
            "unknown task name",
            "no such file or directory",
            "is a directory",
            "escapes the alloc directory",
            "not started yet",
            "No path to node",
            "Node does not support RPC",
        ),
    ),
    (
        Meaning.UNCERTAIN,
        (
            *("leadership lost", "not the leader", "raft is already shutdown", "timed out enqueuing", "i/o timeout"),
            *("connection refused", "connection reset", "broken pipe", "session shutdown", "failed to get conn"),
            *("context deadline exceeded", "unexpected EOF", "stream closed", "No servers"),
        ),
    ),
)
_KINDS: Final = "job|alloc|allocation|eval|evaluation|deployment|node|task|file|variable"
_NOT_FOUND: Final = rf"\b(?:{_KINDS})\b[^;\n]{{0,300}}? not found\b"
"""Nomad names what it doesn't find: `state for allocation ID not found on client`, `log entry for task … not found`."""
_BY_TEXT: Final = tuple(
    (
        meaning,
        re.compile(
            "|".join(
                [*(rf"\b{re.escape(text)}" for text in texts), *([_NOT_FOUND] if meaning.name == "NOT_FOUND" else ())]
            ),
            re.IGNORECASE,
        ),
    )
    for meaning, texts in _TEXTS
)
_VALIDATION: Final = re.compile(r"^\d+ errors? occurred:")
_MARKUP: Final = re.compile(r"<\s*(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_RPC_PREFIX: Final = re.compile(r"^(?:rpc error: |RPC Error:: (?:\d+,)?)+")


def read_refusal(status: int, text: str, *, operation: str) -> Refusal:
    """What an answer with a status of 300 or more means. Pure."""
    sentence = _RPC_PREFIX.sub("", text.strip())
    if status in (502, 503, 504) and _MARKUP.search(text[:500]):
        return Refusal(Meaning.UNCERTAIN, f"HTTP {status} from a proxy")
    if status < 400 or _MARKUP.search(text[:500]):
        return Refusal(Meaning.NOT_NOMAD, f"HTTP {status} from something that isn't Nomad")
    if status == 400 and "HTTP request to an HTTPS server" in text:
        return Refusal(Meaning.NOT_NOMAD, "it speaks TLS: write https:// instead of http://")
    if _VALIDATION.search(sentence) and operation in _WRITES_OF_JOBS:  # it may quote anything
        return Refusal(Meaning.INVALID, sentence)
    if sentence == "EOF":  # the leader went away while a forwarding server waited for it
        return Refusal(Meaning.UNCERTAIN, sentence)
    for meaning, pattern in _BY_TEXT:
        if pattern.search(sentence):
            return Refusal(meaning, sentence)
    return Refusal(_by_status(status, sentence, operation), sentence or f"HTTP {status}")


def _by_status(status: int, sentence: str, operation: str) -> Meaning:
    if status in (401, 403) or (operation == "acl" and status == 500):  # it can't make sense of the token
        return Meaning.PERMISSION_DENIED
    if status == 429:
        return Meaning.NOT_DONE
    if status in (502, 503, 504):
        return Meaning.UNCERTAIN
    if operation in _WRITES_OF_JOBS and status in (400, 413, 500) and sentence:
        return Meaning.INVALID
    return Meaning.UNCERTAIN if status >= 500 else Meaning.NOT_NOMAD


@frozen
class Silence:
    """Why there was no answer. `was_sent`: the request may have reached a server that acted on it."""

    text: str
    was_sent: bool
    hint: str = ""
    is_late: bool = False
    """It was sent, and its time was over before the whole answer came."""


_CA_HINT = "name the CA: ca_cert in [regions.NAME.tls], or --ca-cert of fedml init"
_CLIENT_CERTIFICATE_HINT = (
    "name yours: client_cert and client_key in [regions.NAME.tls], or --client-cert and --client-key of fedml init"
)


def no_answer(error: BaseException) -> Silence:
    """What an exception of requests means, in words without any of its text that could hold a header. Pure."""
    causes = list(_causes(error))
    for cause in causes:
        match cause:
            case ssl.SSLCertVerificationError():
                why = f"its certificate isn't trusted ({cause.verify_message})"
                return Silence(why, False, _CA_HINT)
            case ssl.SSLError() if "CERTIFICATE_REQUIRED" in str(cause):
                return Silence("it asks for a client certificate", False, _CLIENT_CERTIFICATE_HINT)
            case ssl.SSLError() if "WRONG_VERSION_NUMBER" in str(cause) or "record layer" in str(cause):
                return Silence("it doesn't speak TLS", False, "write http:// instead of https://")
            case ssl.SSLError():
                return Silence(f"TLS failed ({cause.reason or type(cause).__name__})", False)
            case urllib3.exceptions.NameResolutionError():
                return Silence("its name can't be resolved", False)
            case requests.exceptions.ProxyError():
                return Silence("the proxy gave no connection", False, "see HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
            case urllib3.exceptions.NewConnectionError():
                reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no connection")
                return Silence(reason.lower(), False)
            case requests.ConnectTimeout() | urllib3.exceptions.ConnectTimeoutError():
                return Silence("no connection in time", False)
            case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
                return Silence("no answer in time", True, is_late=True)
            case http.client.BadStatusLine() if not isinstance(cause, http.client.RemoteDisconnected):
                return Silence("something that doesn't speak HTTP answers there", True)
            case InvalidURL() | InvalidSchema() | MissingSchema():
                return Silence("that is not a valid http or https address", False)
    return Silence("the connection broke", True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it wraps: requests keeps them in `args`, urllib3 in `reason`."""
    queue, seen = [error], set[int]()
    while queue:
        cause = queue.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args)
        queue += [one for one in inner if isinstance(one, BaseException)]
