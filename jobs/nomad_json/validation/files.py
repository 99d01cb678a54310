"""Checks the files that a task gets: artifacts and templates."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from jobs.durations import format_duration
from jobs.nomad_json.validation.problem import REFERENCE, Problem, Record, nested, quoted

_CHECKSUM_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}


def _at(text: str, name: str) -> Problem:
    return Problem(text, ((name, None),))


def escapes(prefix: str, path: str) -> bool:
    """Returns whether a path leaves the allocation's folder."""
    joined = posixpath.normpath(posixpath.join("/alloc-dir/alloc-id", prefix, path.lstrip("/")))
    return not (joined + "/").startswith("/alloc-dir/alloc-id/")


def artifact(block: Record) -> Iterator[Problem]:
    if not block["GetterSource"]:
        yield _at("source must be specified", "source")
    mode = block["GetterMode"] or "any"
    if mode not in ("any", "file", "dir"):
        yield _at(f"invalid artifact mode {quoted(mode)}; must be one of: any, file, dir", "mode")
    if escapes("task", block["RelativeDest"] or "local/"):
        yield _at("destination escapes allocation directory", "destination")
    checksum = (block["GetterOptions"] or {}).get("checksum")
    if checksum is not None and not REFERENCE.search(checksum) and (wrong := _checksum(checksum.strip())):
        yield Problem(wrong, (("options", None), ("checksum", None)))


def _checksum(text: str) -> str:
    if not text:
        return "checksum value cannot be empty"
    parts = text.split(":")
    if len(parts) != 2:
        return f'checksum must be given as "type:value"; got {quoted(text)}'
    kind, value = parts
    data = value.encode()
    for byte in data[: len(data) // 2 * 2 or 1]:
        if chr(byte) not in "0123456789abcdefABCDEF":
            return f"invalid checksum: encoding/hex: invalid byte: U+{byte:04X} {_shown(byte)}"
    if len(data) % 2:
        last = data[-1]
        if chr(last) not in "0123456789abcdefABCDEF":
            return f"invalid checksum: encoding/hex: invalid byte: U+{last:04X} {_shown(last)}"
        return "invalid checksum: encoding/hex: odd length hex string"
    if kind not in _CHECKSUM_BYTES:
        return f"unsupported checksum type: {kind}"
    return "" if len(data) // 2 == _CHECKSUM_BYTES[kind] else f"invalid {kind} checksum: {value}"


def _shown(byte: int) -> str:
    return f"'{chr(byte)}'"


def templates(templates: list[Record]) -> Iterator[Problem]:
    taken: dict[str, int] = {}
    for number, block in enumerate(templates, 1):
        yield from nested(_template(block), ("template", number), heading=f"Template {number} validation failed: ")
        destination = block["DestPath"] or ""
        if destination in taken:
            text = f"Template {number} has same destination as {taken[destination]}"
            yield Problem(text, (("template", number), ("destination", None)))
        taken.setdefault(destination, number)


def _template(block: Record) -> Iterator[Problem]:
    if not block["SourcePath"] and not block["EmbeddedTmpl"]:
        yield Problem("Must specify a source path or have an embedded template")
    if not block["DestPath"]:
        yield _at("Must specify a destination for the template", "destination")
    if escapes("task", block["DestPath"] or ""):
        yield _at("destination escapes allocation directory", "destination")
    yield from _change(block)
    if (block["Splay"] or 0) < 0:
        yield _at("Must specify positive splay value", "splay")
    if (perms := block["Perms"] or "") and (wrong := _octal_problem(perms)):
        parsing = f"strconv.ParseUint: parsing {quoted(perms)}: {wrong}"
        yield _at(f"Failed to parse {quoted(perms)} as octal: {parsing}", "perms")
    wait = block["Wait"]
    if wait and wait["Min"] is not None and wait["Max"] is not None and wait["Min"] > wait["Max"]:
        least, most = format_duration(wait["Min"]), format_duration(wait["Max"])
        yield _at(f"wait min {least} is greater than max {most}", "wait")


def _change(block: Record) -> Iterator[Problem]:
    mode, script = block["ChangeMode"], block["ChangeScript"]
    if mode == "signal":
        if not block["ChangeSignal"]:
            yield _at("Must specify signal value when change mode is signal", "change_signal")
        if block["Envvars"]:
            yield _at("cannot use signals with env var templates", "env")
    elif mode == "script":
        if script is None:
            text = "must specify change script configuration value when change mode is script"
            yield _at(text, "change_script")
        elif not script["Command"]:
            yield _at("must specify script path value when change mode is script", "change_script")
    elif mode not in ("noop", "restart"):
        known = "noop, signal, script, restart"
        yield _at(f"Invalid change mode. Must be one of the following: {known}", "change_mode")


def _octal_problem(text: str) -> str:
    if not re.fullmatch(r"[0-7]+", text):
        return "invalid syntax"
    return "" if len(text) < 40 and int(text, 8) < 2**12 else "value out of range"
