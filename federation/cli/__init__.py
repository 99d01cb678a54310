"""The command `fedml`: arguments enter, printed results and an exit code leave. Thin: parse → app → print.

Exit codes: 0 done; 1 any error, wrong usage included; 2 some slots failed or had no place; 130 interrupted. `plan` has 1
for "something would change" and 255 for errors, as `nomad plan` has; `job diff` 1 for drift and 2 for errors, as `diff` has.
Modules here import nothing heavy at their top, so that `fedml --help` stays fast; a subprocess test looks at what got
loaded.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from federation.cli.lazy import lazy_group
from federation.streams import screened_streams, write_block, write_line, write_notes
from jobs.errors import FedmlError

HELP = """Run machine-learning batch jobs over several HashiCorp Nomad regions as if they were one place.

\b
In a project folder (fedml init):
  fedml dev up                                 three small regions on this machine
  fedml plan                                   how dispatches would spread, and why
  fedml dispatch --regions us,eu --version 4   deploy, dispatch, watch until all is in the index
  fedml index list                             every model version of every region
"""

COMMANDS = (
    "init",
    "doctor",
    "plan",
    "deploy",
    "dispatch",
    "publish",
    "dev",
    "regions",
    "job",
    "runs",
    "index",
    "stores",
)
"""In the order of the help; each is a module here of that name."""
INTERRUPTED = 130

app = typer.Typer(
    name="fedml",
    cls=lazy_group({name: f"federation.cli.{name}" for name in COMMANDS}),
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. No traceback reaches a user (`FEDML_TRACEBACK=1` shows one)."""
    signal.signal(signal.SIGTERM, _interrupt)
    gc.set_threshold(200_000)  # a start makes many objects and no garbage: looking for it there is a tenth of the start
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    if code == INTERRUPTED or _is_held_up():
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _is_held_up() -> bool:
    """Whether a thread is in the middle of a request whose answer nobody waits for: all state is kept already."""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


def _interrupt(*_: object) -> None:
    """SIGTERM ends a command as Ctrl-C does: state is kept, and the command that goes on is named."""
    raise KeyboardInterrupt


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        write_line(f"fedml {version('fedml-nomad')}")
        raise typer.Exit


@app.callback()
def fedml(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def run(arguments: Sequence[str]) -> int:
    """The exit code of one command line. Everything that it prints is screened (`federation.streams`)."""
    with screened_streams():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    if not arguments:
        arguments = ["--help"]
    words = [word for word in arguments if not word.startswith("-")]
    error_code = 255 if words[:1] == ["plan"] else 2 if words[:2] == ["job", "diff"] else 1
    try:
        return int(app(list(arguments), prog_name="fedml", standalone_mode=False) or 0)
    except FedmlError as error:
        _complain(str(error), error.hint)
        return error.exit_code if error.exit_code == INTERRUPTED else max(error.exit_code, error_code)
    except KeyboardInterrupt:
        _complain("interrupted", "")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the last net: whatever it is, one line
        if os.environ.get("FEDML_TRACEBACK"):
            write_notes("".join(traceback.format_exception(error)).rstrip())
            return error_code
        tell = getattr(error, "format_message", None)  # a usage error of Click, wherever this Typer keeps its Click
        if type(error).__name__ == "NoArgsIsHelpError" and tell is not None:
            write_block(tell())
            return 0
        if tell is not None:
            context = getattr(error, "ctx", None)
            _complain(tell(), f"see: {context.command_path} --help" if context else "")
        elif type(error).__name__ == "Abort":
            _complain("aborted", "")
        else:
            _complain(f"unexpected {type(error).__name__}: {error}", "a bug in fedml: FEDML_TRACEBACK=1 shows where")
        return error_code


def _complain(message: str, hint: str) -> None:
    """Print an error and what to do. Further lines of it are indented, so that none looks like an error or a hint."""
    first, *rest = f"Error: {message}".split("\n")
    further = [line if line.startswith("  ") and line.lstrip()[:1] != "→" else f"    {line}" for line in rest]
    write_notes("\n".join([first, *further, *(f"  → {line}" for line in hint.splitlines())]))
