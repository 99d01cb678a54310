"""Takes credentials out of what a task wrote: others can read what is kept in the home store.

It removes the secrets that this process knows, word for word, and whatever looks like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = b"[redacted]"
KNOWN_CHARS_MIN = 6
"""A known secret shorter than this would blank out ordinary words."""

_LOOKS = (
    re.compile(rb"(?i)(bearer\s+|basic\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        rb"""(?ix) ( (?: secret | password | passwd | token | credential | api_?key | access_?key | account_?key )
        [\w.-]{0,40} ["']? [ \t]? [:=] [ \t]? ["']? ) [^\s"',;&]{6,}"""
    ),
    re.compile(rb"(://[^\s:/@]{0,80}:)[^\s/@]{1,200}(?=@)"),
    re.compile(rb"(?i)([?&](?:sig|x-amz-signature|x-goog-signature|x-amz-credential|x-amz-security-token)=)[^\s&\"']+"),
    re.compile(rb"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(
        rb"()\b(?:gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-|hf_|sk-(?:proj|ant|svcacct)-|[rs]k_live_|npm_|pypi-|hvs\.|AIza)"
        rb"[\w-]{16,}"
    ),
    re.compile(rb"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)
"""Group 1 stays. Every repetition before the match is decided is bounded: a task may write anything."""


class Redactor:
    """Takes credentials out of text. `secrets` are those that are known; short ones are passed over."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= KNOWN_CHARS_MIN}, key=len, reverse=True)
        self._known = re.compile(b"|".join(re.escape(secret.encode()) for secret in known)) if known else None

    def __call__(self, text: bytes) -> bytes:
        """The text, each credential replaced by `[redacted]`."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for look in _LOOKS:
            text = look.sub(rb"\1" + REDACTED, text)
        return text
