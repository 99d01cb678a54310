"""Reads what a task made: the files of a folder with sizes and sha256, and its metrics.

Reads nothing outside of the folder: a symbolic link to a place outside is refused, and so is anything that isn't a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from federation.errors import PublishError, Unpublishable
from federation.publish.provenance import data_origin, without_secrets
from federation.result import (
    ENVIRONMENT_MAX,
    FILES_MAX,
    METRICS_MAX,
    NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
    MetricValue,
    ResultFile,
    manifest_sha256,
)
from federation.text import counted
from jobs.code_run import CURVES_FILE, METRICS_FILE
from jobs.errors import ForeignTextError
from jobs.foreign import kind_of, parse_json, reason_of
from jobs.json_limits import WHOLE_NUMBER_MAX, Limits, Unusable, is_text
from regions.storage.errors import InvalidStoreURL
from regions.storage.source import opened_source
from regions.storage.store import checked_key

ENVIRONMENT_FILE = "environment.json"
DATA_FILE = "data.json"
_NOTES_MAX = 20
_CURVES_BYTES_MAX = 4 * 1024 * 1024
"""How much of the end of `metrics.jsonl` is read."""
_AS_METRICS = 'write one JSON object, such as {"auc": 0.71}'
NOTE_FILES = (METRICS_FILE, ENVIRONMENT_FILE, DATA_FILE)
"""Files with information for the record."""

_NOTE_LIMITS = Limits(
    size_bytes_max=16 * 1024 * 1024, whole_max=10**4300, is_python=True, mark_unusable=True, items_max=1_000_000
)
"""Limits for JSON that a task wrote with any library. Values that can't be kept are left out one by one."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files to publish, in order of their paths relative to `root`."""

    root: Path
    files: tuple[ResultFile, ...]

    @property
    def manifest_sha256(self) -> str:
        """The hash of all names, sizes and hashes. Equal files have equal hashes on any machine."""
        return manifest_sha256(self.files)


def read_artifact(path: Path, *, ignore: Sequence[str] = ()) -> Artifact:
    """Reads the artifact at `path`. Reads every file once for its hash.

    `ignore` are shell patterns for a file's or folder's name, or for its path in the artifact (`*.tmp`, `logs`,
    `logs/*`). Raises PublishError for what can't be published, StoreError for a file that can't be read or changes.
    """
    if path.is_dir():
        root = path.resolve()
        paths = sorted(_walk(root, "", ignore))
    elif path.is_file():
        root, paths = path.absolute().parent, [path.name]
    elif path.exists():
        raise PublishError(f"{path} is neither a folder nor a file")
    else:
        raise PublishError(
            f"{path} does not exist, so there is nothing to publish", hint="check what the previous task wrote"
        )
    if not paths:
        raise Unpublishable(f"{path} holds no file to publish", hint="check the folder and the --ignore patterns")
    if len(paths) > FILES_MAX:
        raise Unpublishable(
            f"{path} holds {len(paths):,} files; the limit is {FILES_MAX:,}",
            hint="publish an archive of them (tar, zip), or leave some out with --ignore",
        )
    return Artifact(root, tuple(_file(root, file) for file in paths))


def read_metrics(root: Path) -> tuple[dict[str, MetricValue], list[str]]:
    """Reads the metrics of `metrics.json`, if it exists, with notes on what was left out and why. A metric that is only in
    `metrics.jsonl` has its last value there.

    Metrics are numbers (NaN and infinities too), texts and true/false. Names in nested objects are joined by a dot. Lists
    and null are left out, and so is a file that isn't a JSON object. Raises nothing.
    """
    newest, curve_notes = _newest(root / CURVES_FILE)
    metrics: dict[str, MetricValue] = {**newest}
    values, notes = _values(root / METRICS_FILE)
    notes += curve_notes
    for name, value in values.items():
        if isinstance(value, (bool, int, float, str)):
            metrics[name] = value
        else:
            notes.append(f"{METRICS_FILE}: {_shown(name)} is left out: {kind_of(value)} is not a valid metric")
    return metrics, notes


def fitting_metrics(metrics: Mapping[str, MetricValue]) -> tuple[dict[str, MetricValue], list[str]]:
    """The metrics that a record can hold, with notes on what is left out. A metric never makes publishing fail.

    Whole numbers beyond 2^53 become floats, since JSON readers differ on them.
    """
    plain = {
        name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()
    }  # NumPy's scalars
    fitting, notes = _fitting(plain, "metric", METRICS_MAX)
    for name, value in list(fitting.items()):
        if isinstance(value, int) and not -WHOLE_NUMBER_MAX <= value <= WHOLE_NUMBER_MAX:
            if value.bit_length() < 1023:
                fitting[name] = float(value)
            else:
                del fitting[name]
                notes.append(f"metric {_shown(name)} is left out: the number has too many digits")
    return fitting, notes


def fitting_texts(texts: Mapping[str, str], what: str) -> tuple[dict[str, str], list[str]]:
    """The texts (parameters, environment) that a record can hold, with notes on what is left out."""
    return _fitting(texts, what, ENVIRONMENT_MAX)


def _fitting(members: Mapping[str, Any], what: str, count_max: int) -> tuple[dict[str, Any], list[str]]:
    fitting: dict[str, Any] = {}
    notes = []
    for name, value in members.items():
        if not isinstance(value, (bool, int, float, str)):
            notes.append(f"{what} {_shown(name)} is left out: {kind_of(value)} is not a valid {what}")
        elif not is_text(name) or (isinstance(value, str) and not is_text(value)):
            notes.append(f"{what} {_shown(name)} is left out: it is not valid Unicode text")
        elif len(name) > NAME_CHARS_MAX:
            notes.append(f"{what} {_shown(name)} is left out: its name has more than {NAME_CHARS_MAX} characters")
        elif isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
            notes.append(f"{what} {_shown(name)} is left out: it has more than {TEXT_CHARS_MAX:,} characters")
        elif len(fitting) < count_max:
            fitting[name] = value
    if len(fitting) + len(notes) < len(members):
        more = len(members) - len(fitting) - len(notes)
        notes.append(f"{more:,} of {len(members):,} values are left out: a record holds {count_max:,} ({what})")
    if len(notes) > _NOTES_MAX:
        notes = [*notes[:_NOTES_MAX], f"{len(notes) - _NOTES_MAX:,} more values are left out ({what})"]
    return fitting, notes


def _shown(name: str) -> str:
    return name if name.isprintable() and is_text(name) and len(name) <= 80 else ascii(name[:80])


def read_environment(root: Path) -> tuple[dict[str, str], list[str]]:
    """Reads `environment.json`, if it exists, which describes the environment of the training, as texts. Adds notes on what
    was left out. Raises nothing."""
    values, notes = _values(root / ENVIRONMENT_FILE)
    environment = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    if "data_url" in environment:
        environment["data_url"] = without_secrets(environment["data_url"])
    return environment, notes


def read_data(root: Path) -> tuple[dict[str, str], list[str]]:
    """Reads `data_url` and `data_sha256` of the training data from `data.json` (`{"url": …, "sha256": …}`), if it exists.
    Adds notes on what was left out. Raises nothing."""
    values, notes = _values(root / DATA_FILE)
    try:
        return data_origin(*(str(values.get(name) or "") for name in ("url", "sha256"))), notes
    except PublishError as error:
        return {}, [*notes, f"{DATA_FILE} is left out: {error.message}"]


def _walk(root: Path, folder: str, ignore: Sequence[str]) -> Iterator[str]:
    """The paths of the files in `folder` (a path below `root` that ends in a slash, or empty), relative to `root`."""
    try:
        entries = sorted(os.scandir(f"{root}/{folder}"), key=lambda entry: entry.name)
    except OSError as error:
        raise PublishError(f"can't read folder {root / folder}: {error.strerror}") from error
    for entry in entries:
        relative = folder + entry.name
        if any(fnmatchcase(entry.name, pattern) or fnmatchcase(relative, pattern) for pattern in ignore):
            continue
        if entry.is_symlink():
            target = Path(entry.path).resolve()
            if not target.is_relative_to(root):
                raise Unpublishable(
                    f"{relative} is a link that leaves the folder",
                    hint="publish a copy of the file, or --ignore the link",
                )
            if target.is_dir():
                raise Unpublishable(
                    f"{relative} is a link to a folder", hint="--ignore it and publish the folder's files themselves"
                )
        if entry.is_dir():
            yield from _walk(root, f"{relative}/", ignore)
        elif entry.is_file():
            yield relative
        else:
            raise Unpublishable(f"{relative} is not a regular file", hint="remove it or --ignore it")


def _file(root: Path, relative: str) -> ResultFile:
    try:
        checked_key(relative)
    except InvalidStoreURL as error:
        raise Unpublishable(f"file name {relative!r} can't be published: {error}", hint="rename the file") from None
    with opened_source(root / relative) as source:
        return ResultFile(relative, source.size_bytes, source.sha256())


def check_metrics(root: Path) -> None:
    """Raises Unpublishable for a `metrics.json` that is there and isn't a JSON object."""
    _object(root / METRICS_FILE)


def _object(path: Path) -> dict[str, Any]:
    """The members of a file that describes a result; none if it is missing. Raises PublishError."""
    try:
        with path.open("rb") as file:
            parsed = parse_json(file.read(_NOTE_LIMITS.size_bytes_max + 1), source=path.name, limits=_NOTE_LIMITS)
    except FileNotFoundError:
        return {}
    except (IsADirectoryError, PermissionError) as error:
        raise Unpublishable(f"{path.name} can't be read: {error.strerror}") from error
    except OSError as error:  # of this node's disk
        raise PublishError(
            f"{path.name} can't be read: {error.strerror}", hint="look at the disk of the node"
        ) from error
    except ForeignTextError as error:
        raise Unpublishable(f"{path.name} {reason_of(error, path.name)}", hint=_AS_METRICS) from error
    if not isinstance(parsed, dict):
        raise Unpublishable(
            f"{path.name} is {kind_of(parsed)}, not a JSON object of names and values", hint=_AS_METRICS
        )
    return parsed


def _values(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads the names and values of a file that describes a result, with notes on what can't be used. What a task spent hours
    on is published even if such a file is broken."""
    try:
        parsed = _object(path)
    except Unpublishable as error:
        return {}, [f"{path.name} is left out: {error.message.replace(path.name, 'it', 1)}"]
    values: dict[str, Any] = {}
    for name, value in _flat(parsed):
        values[name] = Unusable("its name stands twice") if name in values else value
    unusable = {name: value for name, value in values.items() if isinstance(value, Unusable)}
    notes = [f"{path.name}: {_shown(name)} is left out: {value.reason}" for name, value in unusable.items()]
    return {name: value for name, value in values.items() if name not in unusable}, notes


def _newest(path: Path) -> tuple[dict[str, float], list[str]]:
    """The last value of each curve, with a note on lines that can't be used."""
    try:
        with path.open("rb") as file:
            from federation.curves import LineReader, Newest

            lines, newest = LineReader(), Newest()
            if file.seek(0, os.SEEK_END) > _CURVES_BYTES_MAX:
                file.seek(-_CURVES_BYTES_MAX, os.SEEK_END)
                lines.jump()
            else:
                file.seek(0)
            while data := file.read(1 << 20):
                newest.take(lines.feed(data))
        newest.take(lines.feed(b"", is_end=True))
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path.name} is left out: {error.strerror}"]
    skipped = f"{path.name}: {counted(lines.skipped, 'line')} can't be used (each must be a JSON object with a number as step)"
    return newest.values, [skipped] if lines.skipped else []


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
