"""Command line of the archive for nodes: the options and output of `fedml publish`, with the standard library only.

`federation.publish.bundle.build` makes the archive.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from federation.errors import UsageError
from federation.output.streams import screened_streams, write_error
from federation.output.terminal import open_standard_streams
from federation.publish.options import CHECK, LISTS, PATH, TEXTS, Given
from federation.publish.publish import DISTRIBUTION
from federation.publish.report import carry_out
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
    made.add_argument("path", nargs="?", default="", metavar=PATH[0], help=PATH[1])
    for option, (value, meaning) in TEXTS.items():
        made.add_argument(option, metavar=value, default="", help=meaning)
    for option, (value, meaning) in LISTS.items():
        made.add_argument(option, metavar=value, action="append", default=[], help=meaning)
    made.add_argument("--check", action="store_true", help=CHECK)
    made.add_argument("--json", action="store_true", help="Print JSON on standard output.")
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
        return carry_out(Given(**vars(parser().parse_args(arguments))), archive=stores)
    except ModuleNotFoundError as error:
        served = " and ".join(f"{scheme}://" for scheme in stores)
        write_error(
            f"this archive serves {served}, not this store", f"use the archive for this store ({error.name} is missing)"
        )
        return 1
    except FedmlError as error:
        write_error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        write_error("interrupted", "run it again: it continues where it stopped")
        return 130


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
