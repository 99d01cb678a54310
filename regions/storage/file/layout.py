"""Maps a key to the file that holds it, and back; lists a folder's keys in order of their bytes.

A key's segments are folders and a file of the same names, so that a person finds everything with `ls`, except:

- `%` is written `%25`, and a segment that starts with `.fedml-meta` starts with `%2E` instead of the dot;
- a segment of more than 200 bytes is cut: each piece but the last is a folder whose name ends in `%~`;
- a file whose name this mapping would not give isn't an object, and a folder behind a symbolic link isn't listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from regions.storage.errors import InvalidStoreURL
from regions.storage.store import checked_key

META_FOLDER = ".fedml-meta"
"""In every folder that holds objects: sidecars and files that are still being written. Never part of a key."""

_PIECE_BYTES = 200
_MORE = "%~"


def file_of(root: Path, key: str) -> Path:
    """The file of a well-formed key."""
    return root.joinpath(*(name for segment in key.split("/") for name in _names(segment)))


def keys_under(root: Path, prefix: str, start_after: str) -> Iterator[tuple[str, Path]]:
    """`(key, file)` of every object whose key starts with `prefix` and is above `start_after`, in order of the key.

    Walks only folders that can hold such keys. Raises OSError for a folder that can't be read; one that vanishes
    meanwhile is empty.
    """
    folder, slash, _ = prefix.rpartition("/")
    yield from _walk(file_of(root, folder) if slash else root, folder + slash, prefix, start_after)


def _walk(folder: Path, above: str, prefix: str, start_after: str) -> Iterator[tuple[str, Path]]:
    # A folder sorts as its name with "/", which is how its keys go on: "a-b" comes before "a/b", and "a.b" too.
    for key, path in sorted(_entries(folder, above)):
        if not key.endswith("/"):
            if key.startswith(prefix) and key > start_after:
                yield key, path
        elif (key.startswith(prefix) or prefix.startswith(key)) and (key > start_after or start_after.startswith(key)):
            yield from _walk(path, key, prefix, start_after)


def _entries(folder: Path, above: str) -> Iterator[tuple[str, Path]]:
    try:
        with os.scandir(folder) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_file()) for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, is_folder, is_file in entries:
        is_cut = is_folder and name.endswith(_MORE)
        segment = _segment(name.removesuffix(_MORE) if is_cut else name)
        if segment is None or name == META_FOLDER or not (is_folder or is_file):
            continue
        if is_cut:
            yield from _entries(folder / name, above + segment)
        else:
            yield above + segment + ("/" if is_folder else ""), folder / name


def _names(segment: str) -> list[str]:
    if len(segment) * 4 < _PIECE_BYTES:
        return [_escaped(segment)]
    names: list[str] = []
    piece = ""
    for char in segment:
        if len(_escaped(piece + char).encode()) > _PIECE_BYTES:
            names.append(_escaped(piece) + _MORE)
            piece = ""
        piece += char
    return [*names, _escaped(piece)]


def _escaped(piece: str) -> str:
    name = piece.replace("%", "%25")
    return "%2E" + name[1:] if name.startswith(META_FOLDER) or name in (".", "..") else name


def _segment(name: str) -> str | None:
    """The segment (or piece of one) that is stored under this name; None for a name that isn't ours."""
    segment = name.replace("%2E", ".").replace("%25", "%")
    try:
        return segment if _escaped(segment) == name and checked_key(f"_{segment}") else None
    except InvalidStoreURL:
        return None
