"""The function csvdecode(): RFC 4180, as strict as Go's reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.hcl.values import ListValue, ValueProblem, to_string


def csv_decode(value: object) -> list[Any]:
    """Returns an object for each row, with the names of the header line."""
    header, *rows = list(_records(to_string(value))) or [[]]
    if not header:
        raise ValueProblem("the header line is missing")
    if len(set(header)) != len(header):
        raise ValueProblem("two columns have the same name")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueProblem(f"row {number} has {len(row)} columns instead of {len(header)}")
    return ListValue(dict(zip(header, row, strict=True)) for row in rows)


def _records(text: str) -> Iterator[list[str]]:
    """Yields the fields of each record. Skips empty lines."""
    lines = _lines(text)
    for number, line in lines:
        if line != "\n":
            yield _fields(number, line, lines)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines with their numbers and newlines. CRLF counts as a newline."""
    at, number = 0, 0
    while at < len(text):
        number += 1
        end = text.find("\n", at) + 1
        line = text[at : end or len(text)]
        at += len(line)
        if line.endswith("\r\n"):
            line = line[:-2] + "\n"
        elif not end:
            line = line.removesuffix("\r")
        if line:
            yield number, line


def _fields(number: int, line: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    """Returns the fields of the record that starts with a line. Takes further lines for a newline within quotes."""
    fields: list[str] = []
    while True:
        if not line.startswith('"'):
            field, comma, line = line.partition(",")
            if '"' in field:
                raise ValueProblem(f"this is not valid CSV: a quotation mark inside a field on line {number}")
            fields.append(field if comma else field.removesuffix("\n"))
        else:
            field, comma, line = _quoted(number, line[1:], lines)
            fields.append(field)
        if not comma:
            return fields


def _quoted(number: int, line: str, lines: Iterator[tuple[int, str]]) -> tuple[str, str, str]:
    """Reads a field after its opening quotation mark: the field, the comma after it if there is one, and the rest."""
    pieces: list[str] = []
    while True:
        before, quote, rest = line.partition('"')
        pieces.append(before)
        if not quote:
            following = next(lines, None)
            if following is None:
                raise ValueProblem(f"this is not valid CSV: a quoted field on line {number} is never closed")
            line = following[1]
        elif rest.startswith('"'):
            pieces.append('"')
            line = rest[1:]
        elif rest.startswith(","):
            return "".join(pieces), ",", rest[1:]
        elif rest in ("", "\n"):
            return "".join(pieces), "", ""
        else:
            raise ValueProblem(f"this is not valid CSV: text after a quoted field on line {number}")
