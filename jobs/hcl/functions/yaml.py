"""The function yamlencode(): block style, with quoted strings, laid out as libyaml does."""

from __future__ import annotations

import re

from jobs.hcl.values import NotComputed, to_string

_LINE_CHARS_MAX = 80
_KEY_BYTES_MAX = 128
_PRINTABLE = re.compile(r"[\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
_ESCAPED = re.compile(r'["\\\x85\u2028\u2029]|[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]')
_SHORT_ESCAPES = dict(
    zip('\0\a\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029', ["\\" + letter for letter in '0abtnvfre"\\NLP'], strict=True)
)


def yaml_text(value: object) -> str:
    """Formats a value as a YAML document."""
    writer = _Writer()
    writer.node(value, -2)
    is_plain = not isinstance(value, (str, list, dict))
    return writer.text() + ("...\n" if is_plain else "")


class _Writer:
    """Collects the text. `indent` is always that of the surrounding collection, -2 at the top."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.column = 0

    def text(self) -> str:
        return "".join(self.pieces) + ("\n" if self.column else "")

    def put(self, piece: str) -> None:
        self.pieces.append(piece)
        self.column += len(piece)

    def new_line(self, indent: int) -> None:
        if self.column:
            self.pieces.append("\n")
        self.pieces.append(" " * indent)
        self.column = indent

    def node(self, value: object, indent: int) -> None:
        """Writes a value at the current position."""
        if isinstance(value, dict) and value:
            self._mapping(value, indent + 2)
        elif isinstance(value, list) and value:
            self._sequence(value, indent + 2)
        elif isinstance(value, str):
            self._string(value, max(indent + 2, 2))
        else:
            self.put(_plain(value))

    def _mapping(self, mapping: dict[str, object], indent: int) -> None:
        for number, key in enumerate(sorted(mapping)):
            if number:
                self.new_line(indent)
            if "\n" in key or len(key.encode()) > _KEY_BYTES_MAX:
                self.put("? ")
                self._string(key, indent + 2)
                self.new_line(indent)
            else:
                self._quoted(key, None)
            self._entry(mapping[key], indent)

    def _entry(self, value: object, indent: int) -> None:
        """Writes the value of a key. A list stands below its key, without further indentation."""
        self.put(":")
        if isinstance(value, dict) and value:
            self.new_line(indent + 2)
            self._mapping(value, indent + 2)
        elif isinstance(value, list) and value:
            self.new_line(indent)
            self._sequence(value, indent)
        else:
            self.put(" ")
            self.node(value, indent)

    def _sequence(self, items: list[object], indent: int) -> None:
        for number, item in enumerate(items):
            if number:
                self.new_line(indent)
            self.put("- ")
            self.node(item, indent)

    def _string(self, value: str, indent: int) -> None:
        if "\n" not in value:
            self._quoted(value, indent)
            return
        if _OTHER_BREAKS.search(value):
            raise NotComputed("fedml can't format a text with newlines and other line breaks")
        if value.endswith(" ") or " \n" in value or not _PRINTABLE.fullmatch(value):
            self._quoted(value, indent)
            return
        chomping = "-" if not value.endswith("\n") else "+" if value == "\n" or value.endswith("\n\n") else ""
        hint = "2" if value[0] in (" ", "\n") else ""
        self.put(f"|{hint}{chomping}")
        for line in value.split("\n"):
            self.pieces.append("\n" + (" " * indent + line if line else ""))
        self.column = 0 if value.endswith("\n") else 1

    def _quoted(self, value: str, indent: int | None) -> None:
        """Writes a string in double quotes. Folds long lines at spaces, unless it is a key (no indent)."""
        self.put('"')
        after_space = False
        for place, character in enumerate(value):
            if _ESCAPED.match(character):
                self.put(_escape(character))
                after_space = False
            elif character != " ":
                self.put(character)
                after_space = False
            else:
                is_inside = 0 < place < len(value) - 1
                if indent is not None and not after_space and self.column > _LINE_CHARS_MAX and is_inside:
                    self.new_line(indent)
                    if value[place + 1] == " ":
                        self.put("\\")
                else:
                    self.put(" ")
                after_space = True
        self.put('"')


def _plain(value: object) -> str:
    """Formats null, a bool, a number, or an empty collection."""
    if isinstance(value, (list, dict)):
        return "[]" if isinstance(value, list) else "{}"
    return "null" if value is None else to_string(value)


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
