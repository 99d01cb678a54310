"""Reads a file of parameters (CSV, JSON Lines) or a folder of payloads as the rows of a sweep.

What is broken is named by its line. Rows are packed for the home store as gzipped JSON Lines, and read back from there.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import ForeignTextError, InvalidMeta
from jobs.foreign import Members, parse_json, unpacked
from jobs.params.sweep import SLOTS_MAX, Asks, Kept, Payload, Rows, Value, axes_of, typed
from jobs.spec import PAYLOAD_BYTES_MAX

PAYLOADS_BYTES_MAX = 256 * 1024 * 1024
_UNPACKED_BYTES_MAX = 2 * PAYLOADS_BYTES_MAX
"""Payloads are kept in base64."""
"""All payloads of one run together: a coordinator holds them in memory."""


def read_asks(sweep: Sequence[str] = (), params: Path | None = None, payload_dir: Path | None = None) -> Asks:
    """What the command line says (`--sweep`, `--params`, `--payload-dir`). Raises InvalidMeta."""
    return Asks(
        axes_of(sweep),
        read_params(params) if params is not None else None,
        read_payloads(payload_dir) if payload_dir is not None else (),
    )


def read_params(path: Path) -> Rows:
    """The rows of a CSV file with a header, or of a JSON Lines file with one object a line.

    An empty cell and a null leave the key out of that row. Raises InvalidMeta for a row that is broken or comes twice,
    naming its line.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    if path.suffix.lower() not in readers:
        raise InvalidMeta(
            f"--params {path}: its name says neither CSV nor JSON Lines", hint="name it .csv, .jsonl or .ndjson"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidMeta(f"--params {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidMeta(f"{path.name}:{number}: no UTF-8 text", hint="save the file as UTF-8") from None
    return rows_of(path.name, readers[path.suffix.lower()](path.name, text))


def rows_of(source: str, numbered: Iterable[tuple[int, Mapping[str, object]]]) -> Rows:
    """Rows with their numbers as a sweep wants them. Raises InvalidMeta, naming the number, for a value that meta can't hold
    and a row that comes twice; where there is none."""
    lines: list[bytes] = []
    numbers: list[int] = []
    names: dict[str, None] = {}
    seen: dict[bytes, int] = {}
    for number, row in numbered:
        for name, value in row.items():
            if not isinstance(value, (str, int, float, bool)) or value != value:
                what = "no number" if value != value else f"a {type(value).__name__}"
                raise InvalidMeta(f"{source}:{number}: {name!r} is {what}: meta holds texts and numbers")
        try:
            line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode()
        except UnicodeEncodeError:
            raise InvalidMeta(f"{source}:{number}: half of a surrogate pair is no text") from None
        first = seen.setdefault(line, number)
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


def payload_of(line: bytes) -> bytes:
    """The bytes again. Raises ForeignTextError or ValueError."""
    source = "a row of payloads"
    return base64.b64decode(Members(parse_json(line, source=source), source=source).text("payload", chars_max=1 << 24))


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


def _csv_rows(source: str, text: str) -> Iterator[tuple[int, dict[str, Value]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    before = 0
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(source, header)
        before = reader.line_num
        for cells in reader:
            number, before = before + 1, reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                raise InvalidMeta(
                    f"{source}:{number}: {len(cells)} cell{'s' if len(cells) != 1 else ''}, and the header has "
                    f"{len(header)}",
                    hint="a cell that holds a comma stands in double quotes",
                )
            yield number, {name: typed(cell) for name, cell in zip(header, cells, strict=True) if cell}
    except csv.Error as error:
        raise InvalidMeta(f"{source}:{before + 1}: broken CSV: {error}") from None


def _check_header(source: str, header: Sequence[str]) -> None:
    if not header:
        raise InvalidMeta(f"{source}:1: no header", hint="the first line names the meta keys: lr,depth")
    if "" in header:
        raise InvalidMeta(f"{source}:1: column {header.index('') + 1} has no name")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InvalidMeta(f"{source}:1: two columns are named {twice!r}")


def _json_rows(source: str, text: str) -> Iterator[tuple[int, dict[str, Value]]]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue

        def broken(why: str, number: int = number) -> NoReturn:
            raise InvalidMeta(f"{source}:{number}: {why}", hint='one JSON object a line: {"lr": 0.1, "depth": 3}')

        try:
            # Numbers as they are written, where writing them again wouldn't give the same text (1e-5).
            row: Any = json.loads(
                line,
                parse_float=typed,
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
        yield number, {name: value for name, value in row.items() if value is not None}


class _Twice(Exception):
    """A JSON object has a key twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return row
