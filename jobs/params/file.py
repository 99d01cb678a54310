"""Reads a file of parameters (CSV, JSON Lines) or a folder of payloads as the rows of a sweep.

What is broken is named by its line. Rows are packed for the home store as gzipped JSON Lines, and read back from there.
"""

from __future__ import annotations

import base64
import codecs
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jobs.dispatch_meta import PAYLOAD_BYTES_MAX, text_problem
from jobs.errors import ForeignTextError, InvalidMeta
from jobs.foreign import Members, parse_json, unpacked
from jobs.params.sweep import SLOTS_MAX, Asks, Kept, Payload, Rows, axes_of
from jobs.params.values import Value, text_of, typed, value_problem

PAYLOADS_BYTES_MAX = 256 * 1024 * 1024
"""All payloads of one run together: a coordinator holds them in memory."""
_UNPACKED_BYTES_MAX = 2 * PAYLOADS_BYTES_MAX
"""Payloads are kept in base64."""
_NOT_TEXT = {
    codecs.BOM_UTF16_LE: ("the file is UTF-16, not UTF-8", "save the file as UTF-8"),
    codecs.BOM_UTF16_BE: ("the file is UTF-16, not UTF-8", "save the file as UTF-8"),
    b"\x1f\x8b": ("the file is compressed (gzip)", "unpack it first"),
    b"PK\x03\x04": ("the file is a zip archive or a spreadsheet", "save it as CSV"),
}
"""How files begin that are no text: what they are, and what to do."""
_QUOTES = "a quoted cell ends at its closing quote; a quote inside it is written twice"
_CELL_CHARS_MAX = 131_072
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_asks(sweep: Sequence[str] = (), params: Path | None = None, payload_dir: Path | None = None) -> Asks:
    """What the command line says (`--sweep`, `--params`, `--payload-dir`). Raises InvalidMeta."""
    return Asks(
        axes_of(sweep),
        read_params(params) if params is not None else None,
        read_payloads(payload_dir) if payload_dir is not None else (),
    )


def read_params(path: Path) -> Rows:
    """The rows of a CSV file with a header, or of a JSON Lines file with one object a line.

    An empty cell and a null leave the key out of that row. White space around a cell is dropped, and so is a row of empty
    cells. Raises InvalidMeta for a row that is broken or comes twice, naming its line.
    """
    if path.suffix.lower() == ".gz":
        raise InvalidMeta(f"--params {path}: the file is compressed", hint=f"unpack it first:  gunzip {path.name}")
    readers = {".csv": _csv_rows, ".tsv": _tsv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    if path.suffix.lower() not in readers:
        raise InvalidMeta(
            f"--params {path}: its name says neither CSV nor JSON Lines", hint="name it .csv, .tsv, .jsonl or .ndjson"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidMeta(f"--params {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        found = next((found for magic, found in _NOT_TEXT.items() if error.object.startswith(magic)), None)
        problem, hint = found or ("this line is not UTF-8 text", "save the file as UTF-8")
        raise InvalidMeta(f"{path.name}:{number}: {problem}", hint=hint) from None
    return rows_of(path.name, readers[path.suffix.lower()](path.name, text))


def rows_of(source: str, numbered: Iterable[tuple[int, Mapping[str, Any]]]) -> Rows:
    """Rows with their numbers as a sweep wants them. Raises InvalidMeta, naming the number, for a value that meta can't hold
    and a row that comes twice; where there is none."""
    lines: list[bytes] = []
    numbers: list[int] = []
    names: dict[str, None] = {}
    seen: dict[bytes, int] = {}
    for number, row in numbered:
        for name, value in row.items():
            problem = text_problem(name) or value_problem(value)
            if problem:
                raise InvalidMeta(f"{source}:{number}: {name!a} {problem}", hint="a parameter is a text or a number")
        line = json.dumps(row, ensure_ascii=False).encode()
        sent = json.dumps({name: text_of(value) for name, value in row.items()}, sort_keys=True).encode()
        first = seen.setdefault(sent, number)
        if first != number:
            raise InvalidMeta(
                f"{source}:{number}: the same row as line {first}",
                hint="give each once; -n gives every row more than one slot",
            )
        names.update(dict.fromkeys(row))
        lines.append(line)
        numbers.append(number)
        if len(lines) > SLOTS_MAX:
            raise InvalidMeta(f"{source} has more than {SLOTS_MAX:,} rows", hint="a run has no more slots than that")
    if not lines:
        raise InvalidMeta(f"{source} has no row", hint="a header and at least one row, or one JSON object a line")
    return Rows(source, tuple(lines), tuple(numbers), tuple(names))


def read_payloads(folder: Path) -> tuple[Payload, ...]:
    """Each file of a folder, by name; hidden ones and folders are passed over. Raises InvalidMeta."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        sizes = {file.name: file.stat().st_size for file in files}
        for name, size in sizes.items():
            if size > PAYLOAD_BYTES_MAX:
                raise InvalidMeta(
                    f"{name}: the payload has {size} bytes, more than Nomad's {PAYLOAD_BYTES_MAX}",
                    hint="put it in an object store and send the URL as meta",
                )
        if sum(sizes.values()) > PAYLOADS_BYTES_MAX or len(files) > SLOTS_MAX:
            raise InvalidMeta(f"--payload-dir {folder} has {len(files)} files, {sum(sizes.values())} bytes: too many")
        payloads = tuple(Payload(file.name, file.read_bytes()) for file in files)
    except OSError as error:
        raise InvalidMeta(f"--payload-dir {folder}: {error.strerror}") from error
    if not payloads:
        raise InvalidMeta(f"--payload-dir {folder} has no file", hint="one file a slot, its name without a dot first")
    return payloads


def payload_lines(payloads: Sequence[Payload]) -> list[bytes]:
    """Payloads as lines of JSON: the file's name, and its bytes in base64."""
    return [
        json.dumps({"name": one.name, "payload": base64.b64encode(one.data).decode()}, ensure_ascii=False).encode()
        for one in payloads
    ]


def payload_of(line: bytes) -> Payload:
    """The payload again. Raises ForeignTextError or ValueError."""
    source = "a row of payloads"
    members = Members(parse_json(line, source=source), source=source)
    return Payload(members.text("name"), base64.b64decode(members.text("payload", chars_max=1 << 24)))


def pack(name: str, lines: Sequence[bytes]) -> tuple[Kept, bytes]:
    """Lines as the object `name` holds them."""
    text = b"\n".join(lines)
    return Kept(name, hashlib.sha256(text).hexdigest(), len(lines)), gzip.compress(text, 6, mtime=0)


def unpack(kept: Kept, data: bytes) -> list[bytes]:
    """The lines again. Raises ValueError where they aren't those that were packed."""
    try:
        text = unpacked(data, source=kept.object, size_bytes_max=_UNPACKED_BYTES_MAX)
    except ForeignTextError as error:
        raise ValueError(error.message) from error
    if hashlib.sha256(text).hexdigest() != kept.sha256:
        raise ValueError("its sha256 isn't the manifest's")
    return text.split(b"\n")


def _tsv_rows(source: str, text: str) -> Iterator[tuple[int, dict[str, Value]]]:
    return _csv_rows(source, text, "\t")


def _csv_rows(source: str, text: str, separator: str = ",") -> Iterator[tuple[int, dict[str, Value]]]:
    csv.field_size_limit(_CELL_CHARS_MAX)  # of the whole process: another reader may have set its own
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=separator)
    header: list[str] = []
    before = 0
    try:
        for cells in reader:
            number, before = before + 1, reader.line_num
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not header:
                header = cells
                _check_header(source, number, header, separator)
            elif len(cells) != len(header):
                raise InvalidMeta(
                    f"{source}:{number}: {len(cells)} cell{'s' if len(cells) != 1 else ''}, and the header has "
                    f"{len(header)}",
                    hint="a cell that holds a comma stands in double quotes",
                )
            elif cells == header:
                raise InvalidMeta(f"{source}:{number}: this line is the header again", hint="remove the line")
            else:
                yield number, {name: typed(cell) for name, cell in zip(header, cells, strict=True) if cell}
    except csv.Error as error:
        is_long = "field limit" in str(error)
        hint = "put large parameters in an object store and send the URL" if is_long else _QUOTES
        raise InvalidMeta(
            f"{source}:{before + 1}: {'a cell is too long' if is_long else f'broken CSV: {error}'}", hint=hint
        ) from None


def _check_header(source: str, number: int, header: Sequence[str], separator: str) -> None:
    other = next((sign for sign in _SEPARATORS if any(sign in name for name in header)), None)
    if other is not None and len(header) == 1:
        wanted = "commas (and 0.1 for a number, not 0,1)" if separator == "," else "tabs"
        hint = f"save the file with {wanted}" + (", or name it .tsv" if other == "\t" else "")
        raise InvalidMeta(f"{source}:{number}: its cells are separated by {_SEPARATORS[other]}", hint=hint)
    if separator == "\t" and len(header) == 1 and "," in header[0]:
        raise InvalidMeta(f"{source}:{number}: its cells are separated by commas", hint="name it .csv")
    if "" in header:
        raise InvalidMeta(f"{source}:{number}: column {header.index('') + 1} has no name")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InvalidMeta(f"{source}:{number}: two columns are named {twice!r}")


def _json_rows(source: str, text: str) -> Iterator[tuple[int, dict[str, Value]]]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue

        def broken(why: str, number: int = number) -> NoReturn:
            raise InvalidMeta(f"{source}:{number}: {why}", hint='one JSON object a line: {"lr": 0.1, "depth": 3}')

        if line.lstrip().startswith("["):
            broken("a list begins here, and the file is to have one JSON object a line")
        try:
            # Numbers as they are written, where writing them again wouldn't give the same text (1e-5).
            row: Any = json.loads(
                line,
                parse_float=typed,
                parse_int=typed,
                parse_constant=lambda text: broken(f"{text} is no number of JSON's"),
                object_pairs_hook=_pairs,
            )
        except json.JSONDecodeError as error:
            broken(f"broken JSON: {error.msg} (column {error.colno})")
        except _Twice as error:
            broken(f"key {str(error)!r} comes twice")
        except (ValueError, RecursionError):
            broken("a number too long, or nested too deep")
        if not isinstance(row, dict):
            broken("no JSON object")
        given = {name: value for name, value in row.items() if value is not None}
        if not given:
            raise InvalidMeta(
                f"{source}:{number}: the row has no parameter", hint="remove the line, or give one of the keys a value"
            )
        yield number, given


class _Twice(Exception):
    """A JSON object has a key twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return row
