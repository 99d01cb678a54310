"""Converts what is known of an object to the few text fields that every vendor can keep, and back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from jobs.frozen import field, frozen

SHA256 = "fedml-sha256"
NONCE = "fedml-nonce"
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


@frozen
class Noted:
    """`nonce` tells one put of an object from every other."""

    sha256: str
    nonce: str
    content_type: str
    metadata: Mapping[str, str] = field(factory=dict)

    def fields(self) -> dict[str, str]:
        """As metadata whose values are printable ASCII: everything else percent-encoded."""
        return {name: encoded(value) for name, value in self.metadata.items()} | {
            SHA256: self.sha256,
            NONCE: self.nonce,
        }


def read_fields(fields: Mapping[str, str]) -> tuple[str | None, str | None, dict[str, str]]:
    """(sha256, nonce, metadata) of an object; what others wrote is left as it is."""
    metadata = dict(fields)
    sha256, nonce = metadata.pop(SHA256, None), metadata.pop(NONCE, None)
    return sha256, nonce, {name: unquote(value) for name, value in metadata.items()} if sha256 else metadata


def encoded(value: str) -> str:
    """The text in printable ASCII, without spaces: those at the ends of a header get lost."""
    return quote(value, safe=_PLAIN)
