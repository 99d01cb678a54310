"""What a file of an allocation is, as Nomad's listings say it: name, size, mode, type of its content."""

from __future__ import annotations

import os
import stat as stat_bits
from pathlib import Path

from regions.local.state.snapshot import Record
from regions.local.state.times import format_time


def listed(path: Path) -> list[Record]:
    """What a folder has, by name."""
    with os.scandir(path) as entries:
        found = [info(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
    return sorted(found, key=lambda info: str(info["Name"]))


def info(path: Path, status: os.stat_result, *, with_type: bool = False) -> Record:
    """One file or folder. `with_type`: with the type of its content."""
    is_dir = stat_bits.S_ISDIR(status.st_mode)
    info: Record = {
        "FileMode": _mode(status.st_mode),
        "IsDir": is_dir,
        "ModTime": format_time(status.st_mtime_ns),
        "Name": path.name,
        "Size": status.st_size,
    }
    if with_type:
        info["ContentType"] = "application/octet-stream" if is_dir else _content_type(path)
    return info


def _mode(mode: int) -> str:
    """Writes a mode as Go does: letters for the kind of file and its sticky bits, then the permissions."""
    letters = [letter for is_kind, letter in _KINDS if is_kind(mode)]
    letters += [letter for bit, letter in _STICKY if mode & bit]
    permissions = "".join(letter if mode & (256 >> at) else "-" for at, letter in enumerate("rwxrwxrwx"))
    return ("".join(letters) or "-") + permissions


_KINDS = (
    (stat_bits.S_ISDIR, "d"),
    (stat_bits.S_ISLNK, "L"),
    (stat_bits.S_ISBLK, "D"),
    (stat_bits.S_ISCHR, "Dc"),
    (stat_bits.S_ISFIFO, "p"),
    (stat_bits.S_ISSOCK, "S"),
)
_STICKY = ((stat_bits.S_ISUID, "u"), (stat_bits.S_ISGID, "g"), (stat_bits.S_ISVTX, "t"))


def _content_type(path: Path) -> str:
    """Guesses the type from the first bytes, as far as text and what browsers show are concerned."""
    if path.suffix == ".json":
        return "application/json"
    head = b""
    if path.is_file():
        try:
            with path.open("rb") as file:
                head = file.read(512)
        except OSError:
            pass  # the type is optional
    if not head or any(byte in _BINARY for byte in head):
        return "application/octet-stream"
    if head.lstrip(b"\t\n\x0c\r ").lower().startswith(_HTML):
        return "text/html; charset=utf-8"
    return "text/plain; charset=utf-8"


_BINARY = frozenset((*range(9), 11, *range(14, 27), *range(28, 32)))
_HTML = (
    b"<!doctype html", b"<html", b"<head", b"<script", b"<iframe", b"<h1", b"<div", b"<font", b"<table", b"<a ", b"<style",
    b"<title", b"<body", b"<br", b"<p", b"<!--",
)  # fmt: skip
