"""Makes foreign text safe to show: no control of the terminal, no forged names. Pure; imports no other module of fedml.

Names, errors, notes and logs come from regions, stores, nodes and other users. A control character in them can move the
cursor, hide a line or set a title. A bidirectional override or a character without width can forge a name. Each is shown
as a visible escape instead: `\\x1b`, `\\u202e`. Backslashes of the text are unchanged. `--json` has the exact text.
"""

from __future__ import annotations

import re

_HIDDEN_RANGES = (
    (0x00, 0x1F),  # C0 controls with ESC
    (0x7F, 0x9F),  # DEL and C1 controls
    (0xAD, 0xAD),  # soft hyphen
    (0x34F, 0x34F),  # combining grapheme joiner
    (0x61C, 0x61C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian selectors and vowel separator
    (0x200B, 0x200F),  # characters without width, directional marks
    (0x2028, 0x202E),  # line and paragraph separators, bidirectional embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidirectional isolates
    (0x2800, 0x2800),  # blank braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xD800, 0xDFFF),  # surrogates, which no encoding takes
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFF0, 0xFFFB),  # ignorable and interlinear characters
    (0xFFFE, 0xFFFF),  # no characters
    (0x1BCA0, 0x1BCA3),  # shorthand format controls
    (0x1D173, 0x1D17A),  # musical format controls
    (0xE0000, 0xE0FFF),  # tags and further variation selectors
)
_CLASS = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _HIDDEN_RANGES)
_HIDDEN = re.compile(f"[{_CLASS}]")
_HIDDEN_IN_LINES = re.compile(f"(?![\\n\\t])[{_CLASS}]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Escapes hidden characters in a text of several lines. Line feeds and tabs stay."""
    return _HIDDEN_IN_LINES.sub(_escape, text)


def visible_line(text: str) -> str:
    """Escapes hidden characters in a field of one line, line feeds and tabs too."""
    return _HIDDEN.sub(_escape, text)


def visible_json(text: str) -> str:
    """Escapes hidden characters of a JSON text as JSON does, so that its value is the same (`json.dumps` escapes few)."""
    return _HIDDEN_IN_LINES.sub(_json_escape, text)


def ascii_json(text: str) -> str:
    """Escapes all characters of a JSON text that aren't ASCII, so that its value is the same."""
    return _NOT_ASCII.sub(_json_escape, text)


def visible_log(text: str) -> str:
    """Escapes a task's output for a terminal. A carriage return, as of a progress bar, ends a line. Colours become escapes."""
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"))


def _escape(hidden: re.Match[str]) -> str:
    char = hidden[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(hidden: re.Match[str]) -> str:
    code = ord(hidden[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
