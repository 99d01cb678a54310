"""The command line of the archive for nodes: what `fedml publish` takes enters, what it prints and its exit code leave.

The same options and the same output (a test compares them), on nothing but the standard library. Runs from the archive
that `federation.publish.bundle.build` makes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from federation.errors import UsageError
from federation.publish.publish import DISTRIBUTION, publish
from federation.publish.report import as_json, as_lines, checked, named, told_origin, typed_metrics
from federation.streams import write_block, write_line, write_note
from federation.visible import visible_json
from jobs.errors import FedmlError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see: {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Its options: those of `fedml publish`."""
    made = _Parser(prog="fedml-publish", description="Publish what a task made, into its datacenter's store.")
    made.add_argument(
        "path",
        nargs="?",
        default="",
        metavar="PATH|URL",
        help="a folder or a file; or the URL of what is in a store already",
    )
    made.add_argument("--metric", metavar="NAME=VALUE", action="append", default=[], help="a metric; may be repeated")
    made.add_argument("--ignore", metavar="PATTERN", action="append", default=[], help="names or paths to leave out")
    made.add_argument("--format", metavar="NAME", default="", help="the model's format, for the record")
    made.add_argument("--framework", metavar="NAME", default="", help="what it was trained with")
    made.add_argument("--data-url", metavar="URL", default="", help="the data it was trained on")
    made.add_argument("--data-sha256", metavar="HEX", default="", help="that data's sha256")
    made.add_argument("--parent", metavar="ALLOCATION", action="append", default=[], help="what it was made from")
    made.add_argument("--check", action="store_true", help="publish nothing: only look whether this task could")
    made.add_argument("--json", action="store_true", help="one JSON document on stdout; everything else on stderr")
    made.add_argument("--version", action="version", version=f"fedml-publish {_version()}")
    return made


def main(arguments: Sequence[str], *, stores: Sequence[str]) -> int:
    """Run it; the exit code. `stores`: the URL schemes that this archive has a backend for."""
    try:
        given = parser().parse_args(arguments)
        if given.check:
            line, is_healthy = checked(os.environ, stores)
            write_line(line)
            return 0 if is_healthy else 1
        outcome = publish(
            named(given.path),
            metrics=typed_metrics(given.metric),
            told=told_origin(given.format, given.framework, given.data_url, given.data_sha256, given.parent),
            ignore=given.ignore,
        )
    except ModuleNotFoundError as error:
        served = " and ".join(f"{scheme}://" for scheme in stores)
        _complain(f"this archive serves {served}, not this store", f"take the one that does ({error.name} is missing)")
        return 1
    except FedmlError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted", "run it again: it goes on where it was")
        return 130
    for note in outcome.notes:
        write_note(f"Note: {note}")
    if given.json:
        write_block(visible_json(json.dumps(as_json(outcome), indent=2, ensure_ascii=False)))
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
