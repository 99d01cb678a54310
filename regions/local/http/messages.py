"""HTTP requests and replies as values."""

from __future__ import annotations

import json
import math
import re
import socket
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from regions.local.http.rights import NOTHING, Rights

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


Value = TypeVar("Value", int, str, dict[str, Any])
_GO_TYPES: dict[type, str] = {bool: "bool", dict: "object", list: "array", str: "string"}


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


class Failure(Exception):
    """An error answer. `message` is the whole body."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = TEXT if headers is None else headers


class Request:
    """One request. `path` is decoded, as Go's servers do; `raw` is the target as it came in the request line.

    `body_parts`: the body, which may still be on its way.
    """

    __slots__ = ("_body", "_json", "body_parts", "headers", "method", "name", "path", "query", "raw", "rights", "token")

    def __init__(self, method: str, raw: str, headers: dict[str, str], body_parts: Iterable[bytes] = ()) -> None:
        self.method = method
        self.raw = raw
        path, _, query = raw.partition("?")
        self.path = unquote(path)
        self.query = parse_qs(query, keep_blank_values=True) if query else {}
        self.headers = headers
        self.body_parts = body_parts
        self._body: bytes | None = None
        self._json: dict[str, Any] | None = None
        self.name = ""
        """Name of the object in the path, set when the route is known."""
        self.rights: Rights = NOTHING
        """Rights of the token, and its record. Set by authentication."""
        self.token: dict[str, Any] = {}

    @property
    def body(self) -> bytes:
        """The whole body. Reads it the first time."""
        if self._body is None:
            self._body = b"".join(self.body_parts)
            self.body_parts = (self._body,)
        return self._body

    def get(self, name: str, default: str = "") -> str:
        """Returns the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def only(self, *methods: str) -> None:
        """Raises Failure when the request has another method."""
        if self.method not in methods:
            raise Failure(405, "Invalid method")

    def flag(self, name: str) -> bool:
        """Reads a query parameter as a bool in Go's spellings. Raises Failure."""
        text = self.get(name)
        if text in ("", "0", "f", "F", "false", "FALSE", "False"):
            return False
        if text in ("1", "t", "T", "true", "TRUE", "True"):
            return True
        raise Failure(
            500,
            f'Failed to parse value of "{name}" ({text}) as a bool: strconv.ParseBool: parsing "{text}": invalid syntax',
        )

    def whole(self, name: str, refused_with: int = 500) -> int:
        """Reads a query parameter as an integer of 64 bits. Raises Failure."""
        text = self.get(name)
        digits = text[1:] if text[:1] in ("-", "+") else text
        if not (digits.isascii() and digits.isdigit()):
            raise Failure(refused_with, f'error parsing {name}: strconv.ParseInt: parsing "{text}": invalid syntax')
        if len(digits.lstrip("0")) > 19 or not -(2**63) <= int(text) < 2**63:
            raise Failure(refused_with, f'error parsing {name}: strconv.ParseInt: parsing "{text}": value out of range')
        return int(text)

    def field(self, name: str, kind: type[Value], default: Value) -> Value:
        """Reads a field of the body, or `default` where it is null or missing. Raises Failure (400) for another
        type."""
        value = self.json().get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or not -(2**63) <= value < 2**63)):
            raise Failure(
                400, f"json: cannot unmarshal {_GO_TYPES.get(type(value), 'number')} into Go struct field {name}"
            )
        return value

    def json(self) -> dict[str, Any]:
        """Parses the body as a JSON object. Raises Failure in Nomad's words."""
        if self._json is not None:
            return self._json
        if not self.body:
            raise Failure(400, "Request body is empty")
        try:
            value = json.loads(self.body, parse_constant=_no_number, parse_float=_finite)
            if _SURROGATE.search(self.body):
                # Go puts U+FFFD for half a character.
                whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
                value = json.loads(whole.decode("utf-16", "replace"))
        except ValueError as error:
            raise Failure(400, f"invalid JSON in the request body: {error}") from error
        except RecursionError as error:
            raise Failure(400, "invalid JSON in the request body: it is nested too deeply") from error
        if not isinstance(value, dict):
            raise Failure(400, f"json: cannot unmarshal {type(value).__name__} into the request")
        self._json = value
        return value


class Reply:
    """A handler's answer: a value for JSON, bytes as they are, or chunks that are streamed."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, body: Any, *, index: int | None = None, headers: dict[str, str] | None = None) -> None:
        self.status = 200
        self.body = body
        self.headers = headers or {}
        if index is not None:
            self.headers = {
                **self.headers,
                "X-Nomad-Index": str(index),
                "X-Nomad-KnownLeader": "true",
                "X-Nomad-LastContact": "0",
            }


class Relay:
    """A handler's answer that relays another region's bytes."""

    def __init__(self, source: socket.socket) -> None:
        self.source = source


class Stream:
    """Chunks that are sent as they come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks

    def close(self) -> None:
        close = getattr(self.chunks, "close", None)
        if close:
            close()


def stream(chunks: Iterable[bytes], headers: dict[str, str]) -> Reply:
    """Makes a reply whose chunks are sent as they come. Closes a generator when the client goes away."""
    return Reply(Stream(chunks), headers=headers)
