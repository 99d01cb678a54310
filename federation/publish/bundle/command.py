"""Command line of the archive for nodes: the options and output of `fedml publish`, with the standard library only.

A test compares the options of both. `federation.publish.bundle.build` makes the archive.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from federation.errors import UsageError
from federation.json_document import versioned
from federation.publish.publish import DISTRIBUTION, publish
from federation.publish.report import as_json, as_lines, checked, given_origin, named, typed_metrics
from federation.streams import screened_streams, write_json, write_line, write_note
from federation.terminal import open_standard_streams
from jobs.errors import FedmlError
from regions.loopback import keep_loopback_from_proxies


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see: {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Parser of the options of `fedml publish`."""
    made = _Parser(
        prog="fedml-publish", description="Publish a task's files and their record into the datacenter's store."
    )
    made.add_argument(
        "path", nargs="?", default="", metavar="PATH|URL", help="a folder, a file, or the URL of objects in a store"
    )
    texts = (
        ("--format", "NAME", "record the model's format (onnx, pickle)"),
        ("--framework", "NAME", "record the framework (scikit-learn 1.5.2)"),
        ("--data-url", "URL", "record the training data's URL (default: as data.json says)"),
        ("--data-sha256", "HEX", "record the training data's sha256 (default: as data.json says)"),
    )
    lists = (
        ("--metric", "NAME=VALUE", "record this metric too, besides those of metrics.json (repeatable)"),
        ("--ignore", "PATTERN", "leave out files with this name or path (repeatable)"),
        ("--parent", "ALLOCATION", "record the allocation ID of a result that this one was made from (repeatable)"),
    )
    for option, value, meaning in texts:
        made.add_argument(option, metavar=value, default="", help=meaning)
    for option, value, meaning in lists:
        made.add_argument(option, metavar=value, action="append", default=[], help=meaning)
    made.add_argument("--check", action="store_true", help="publish nothing: check whether this task could")
    made.add_argument("--json", action="store_true", help="print JSON on standard output")
    made.add_argument("--version", action="version", version=f"fedml-publish {_version()}")
    return made


def main(arguments: Sequence[str], *, stores: Sequence[str]) -> int:
    """Runs the command and returns its exit code. `stores` are the URL schemes that this archive has a backend for."""
    keep_loopback_from_proxies()
    open_standard_streams()
    with screened_streams():
        return _run(arguments, stores)


def _run(arguments: Sequence[str], stores: Sequence[str]) -> int:
    try:
        given = parser().parse_args(arguments)
        if given.check:
            line, is_healthy = checked(os.environ, stores)
            write_line(line)
            return 0 if is_healthy else 1
        outcome = publish(
            named(given.path),
            metrics=typed_metrics(given.metric),
            origin=given_origin(given.format, given.framework, given.data_url, given.data_sha256, given.parent),
            ignore=given.ignore,
        )
    except ModuleNotFoundError as error:
        served = " and ".join(f"{scheme}://" for scheme in stores)
        _complain(
            f"this archive serves {served}, not this store", f"use the archive for this store ({error.name} is missing)"
        )
        return 1
    except FedmlError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted", "run it again: it continues where it stopped")
        return 130
    for note in outcome.notes:
        write_note(f"Note: {note}")
    if given.json:
        write_json(json.dumps(versioned(as_json(outcome)), indent=2, ensure_ascii=False))
    else:
        for line in as_lines(outcome):
            write_line(line)
    return 0


def _complain(message: str, hint: str) -> None:
    write_note(f"Error: {message}")
    for line in hint.splitlines():
        write_note(f"  → {line}")


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
