"""The command `fedml`. Each command parses its arguments, calls a workflow and prints the result.

Exit codes: 0 done, 1 any error (wrong usage too), 2 some slots failed or had no place, 130 interrupted. `plan` exits with
1 if something would change and 255 for errors, as `nomad plan` does. `job diff` exits with 1 for drift and 2 for errors,
as `diff` does.

Modules here import nothing heavy at their top, so that `fedml --help` is fast. This one doesn't even import Typer: a plain
`fedml publish`, which runs in thousands of tasks, does without (`federation.publish.options`). A test checks which modules
are loaded.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence

from federation.errors import OutputLost
from federation.output.streams import Verbosity, screened_streams, set_verbosity, write_block, write_notes
from federation.output.terminal import open_standard_streams
from federation.publish.options import plain
from jobs.errors import FedmlError
from regions.loopback import keep_loopback_from_proxies

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its code. Prints no traceback unless FEDML_TRACEBACK=1."""
    signal.signal(signal.SIGTERM, _interrupt)
    open_standard_streams()
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:  # the reader of the output has closed it
        code = 1
    if code == INTERRUPTED or _is_held_up():
        os._exit(code)
    gc.freeze()  # the end of the process frees everything: Python need not search it for cycles before
    sys.exit(code)


def _is_held_up() -> bool:
    """Whether a thread is in the middle of a request whose answer nobody waits for: all state is kept already."""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


def _interrupt(*_: object) -> None:
    """Handles SIGTERM like Ctrl-C: the command keeps all state and prints how to continue."""
    raise KeyboardInterrupt


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code. All output is screened (`federation.output.streams`)."""
    keep_loopback_from_proxies()
    with screened_streams():
        code = _run(arguments)
        try:
            sys.stdout.flush()
        except OutputLost as error:
            _complain(error.message, error.hint)
            return code or 1
        finally:
            sys.stderr.flush()
        return code


def _run(arguments: Sequence[str]) -> int:
    set_verbosity(Verbosity.NORMAL)
    if not arguments:
        arguments = ["--help"]
    words = [word for word in arguments if not word.startswith("-")]
    error_code = 255 if words[:1] == ["plan"] else 2 if words[:2] == ["job", "diff"] else 1
    try:
        if arguments[0] == "publish" and (given := plain(arguments[1:])) is not None:
            from federation.publish.report import carry_out
            from federation.ui.transfer import transfer

            return carry_out(given, transfer=transfer)
        from federation.cli.commands import app

        return int(app(list(arguments), prog_name="fedml", standalone_mode=False) or 0)
    except FedmlError as error:
        _complain(str(error), error.hint)
        return error.exit_code if error.exit_code == INTERRUPTED else max(error.exit_code, error_code)
    except KeyboardInterrupt:
        _complain("interrupted", "")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the user sees one line
        surroundings = None if os.environ.get("FEDML_TRACEBACK") else _surroundings(error)
        if surroundings is not None:
            _complain(*surroundings)
            return error_code
        return 0 if _explained(error) else error_code


def _surroundings(error: Exception) -> tuple[str, str] | None:
    """Returns message and hint where the shell's surroundings caused the error: the folder was deleted in which the command
    was started, or its locale has no names for files."""
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()  # noqa: PTH109 - Path.cwd() says the same
        except OSError:
            return "the working folder does not exist any more", "cd to a folder that exists, and run the command again"
    encoding = sys.getfilesystemencoding()
    if isinstance(error, UnicodeEncodeError) and encoding != "utf-8":
        name = ascii(error.object[:200])
        return f"this locale has no file names in UTF-8 ({encoding}): {name} can't be used", "export LC_ALL=C.UTF-8"
    return None


def _explained(error: Exception) -> bool:
    """Prints an error of Click or a bug. Returns whether it was a request for help."""
    message = getattr(error, "format_message", None)  # a usage error of Click, wherever Typer keeps its Click
    if os.environ.get("FEDML_TRACEBACK"):
        import traceback

        write_notes("".join(traceback.format_exception(error)).rstrip())
    elif type(error).__name__ == "NoArgsIsHelpError" and message is not None:
        write_block(message())
        return True
    elif message is not None:
        context = getattr(error, "ctx", None)
        hint = f"see: {context.command_path} --help" if context else ""
        if type(error).__name__ == "NoSuchOption" and context is not None and context.command_path == "fedml run":
            hint += "; arguments of the script stand after --:  fedml run train.py -- --epochs 20"
        _complain(message(), hint)
    elif type(error).__name__ == "Abort":
        _complain("aborted", "")
    else:
        _complain(
            f"unexpected {type(error).__name__}: {error}", "this is a bug in fedml: FEDML_TRACEBACK=1 shows its place"
        )
    return False


def _complain(message: str, hint: str) -> None:
    """Prints an error and its hint. Indents further lines of the error, so that none looks like an error or a hint."""
    first, *rest = f"Error: {message}".split("\n")
    further = [line if line.startswith("  ") and line.lstrip()[:1] != "→" else f"    {line}" for line in rest]
    write_notes("\n".join([first, *further, *(f"  → {line}" for line in hint.splitlines())]))
