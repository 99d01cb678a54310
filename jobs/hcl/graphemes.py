"""Splits text into grapheme clusters: what a reader takes for one character (UAX #29).

Nomad counts, cuts and reverses strings by these clusters. The grammar works on one letter for each character's class.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_PICTOGRAPHS = """
a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 231a-231b 2328 2388 23cf 23e9-23f3 23f8-23fa 24c2 25aa-25ab 25b6 25c0
25fb-25fe 2600-2605 2607-2612 2614-2685 2690-2705 2708-2712 2714 2716 271d 2721 2728 2733-2734 2744 2747 274c 274e
2753-2755 2757 2763-2767 2795-2797 27a1 27b0 27bf 2934-2935 2b05-2b07 2b1b-2b1c 2b50 2b55 3030 303d 3297 3299
1f000-1f0ff 1f10d-1f10f 1f12f 1f16c-1f171 1f17e-1f17f 1f18e 1f191-1f19a 1f1ad-1f1e5 1f201-1f20f 1f21a 1f22f
1f232-1f23a 1f23c-1f23f 1f249-1f3fa 1f400-1f53d 1f546-1f64f 1f680-1f6ff 1f774-1f77f 1f7d5-1f7ff 1f80c-1f80f
1f848-1f84f 1f85a-1f85f 1f888-1f88f 1f8ae-1f8ff 1f90c-1f93a 1f93c-1f945 1f947-1faff 1fc00-1fffd
"""
_PREPENDED = """
600-605 6dd 70f 890-891 8e2 d4e 110bd 110cd 111c2-111c3 1193f 11941 11a3a 11a84-11a89 11d46 11f02
"""
_EXTENDING = "e33 eb3 200c ff9e-ff9f 1f3fb-1f3ff e0020-e007f"
_NOT_EXTENDING = "102b-102c 1038 1062-1064 1067-106d 1083 1087-108c 108f 109a-109c 1a61 1a63-1a64 aa7b aa7d"
_CONTROL = "2065 fff0-fff8 fffd e0000-e001f e0080-e00ff e01f0-e0fff"

# Classes: E extends, Z joins, P pictograph, R regional indicator, B prepended, C control, n and r newline characters,
# L V T parts of a Hangul syllable, H and J syllables without and with a final consonant, o any other.
_EXTENSION = "(?:E|Z(?:PE*)?)*"
_HANGUL = "(?:L+(?:(?:H?V+|J)T*|H)?|HV*T*|V+T*|JT*|T+)"
_CLUSTER = re.compile(
    f"rn|[Crn]|B*(?:{_HANGUL}{_EXTENSION}|P{_EXTENSION}|Z[ZE]*|RR?{_EXTENSION}|[oE][EZ]*)|B+", re.DOTALL
)


def graphemes(text: str) -> list[str]:
    """Returns the clusters of a text."""
    if text.isascii() and "\r" not in text:
        return list(text)
    classes = "".join(map(_class, text))
    return [text[found.start() : found.end()] for found in _CLUSTER.finditer(classes)]


@cache
def _listed() -> dict[int, str]:
    """Returns the class of each character that its Unicode category doesn't tell."""
    classes = {0x0A: "n", 0x0D: "r", 0x200D: "Z"}
    for letter, ranges in (
        ("P", _PICTOGRAPHS),
        ("B", _PREPENDED),
        ("E", _EXTENDING),
        ("o", _NOT_EXTENDING),
        ("C", _CONTROL),
        ("R", "1f1e6-1f1ff"),
        ("L", "1100-115f a960-a97c"),
        ("V", "1160-11a7 d7b0-d7c6"),
        ("T", "11a8-11ff d7cb-d7fb"),
    ):
        for item in ranges.split():
            first, _, last = item.partition("-")
            classes.update(dict.fromkeys(range(int(first, 16), int(last or first, 16) + 1), letter))
    return classes


def _class(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return "o"
    listed = _listed().get(code)
    if listed is not None:
        return listed
    if 0xAC00 <= code <= 0xD7A3:
        return "J" if (code - 0xAC00) % 28 else "H"
    category = unicodedata.category(character)
    if category in ("Mn", "Mc", "Me"):
        return "E"
    return "C" if category in ("Cc", "Cf", "Zl", "Zp") else "o"
