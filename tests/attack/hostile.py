"""Hostile text, and what may never reach a terminal."""

from __future__ import annotations

import unicodedata

ESCAPES = (
    "\x1b[2J",  # clears the screen
    "\x1b]0;owned\x07",  # sets the title
    "\x1b]8;;http://stranger/\x1b\\click\x1b]8;;\x1b\\",  # a link
    "\x9b31m",  # a control sequence in one C1 character
    "\x7f\x08\x08\x00",
    "\u202egnp.\u202c",
    "\u2066x\u2069",
    "\u200b\u200d\ufeff",
    "line\u2028separator\u2029",
    "\r\nError: forged",
    "\ud800",
    "\U000e0041",
)
MARKUP = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "[red]red[/red]",
    "[link=http://stranger/]click[/link]",
    "[/]",
    "[bold",
    ":smiley:",
    "{task}",
    "%s%n",
)
FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1")
PATHS = (
    "../../etc/passwd",
    "/etc/passwd",
    "artifacts/",
    "",
    ".",
    "..",
    "a//b",
    "a\\..\\b",
    "a/./b",
    "C:\\x",
    "x" * 300,
)
TEXTS = (*ESCAPES, *MARKUP, *FORMULAS, *PATHS)

_FORBIDDEN = frozenset("\u00ad\u061c\u180e\ufeff\u2028\u2029")


def forbidden(text: str) -> set[str]:
    """The characters of the text that may not reach a terminal, as `U+001B`. Line feeds and tabs may."""
    return {
        f"U+{ord(char):04X}"
        for char in set(text)
        if char not in "\n\t"
        and (
            char in _FORBIDDEN
            or unicodedata.category(char) in ("Cc", "Cs")
            or 0x200B <= ord(char) <= 0x200F
            or 0x202A <= ord(char) <= 0x202E
            or 0x2060 <= ord(char) <= 0x206F
            or 0xE0000 <= ord(char) <= 0xE007F
        )
    }
