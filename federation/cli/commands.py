"""The commands of `fedml`, as Typer parses them. Imported by the first command line that needs Typer."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.command_app import CommandApp, QuietOption, VerboseOption, choose_verbosity
from federation.cli.help_page import SETTINGS
from federation.cli.lazy import lazy_group
from federation.output.streams import write_line

HELP = """Run machine-learning batch jobs over several HashiCorp Nomad regions as if they were one place.

`fedml init` makes a project folder. `fedml help COMMAND` shows a command's options and examples.

Examples:

  fedml dev up                                 start three small regions here
  fedml run train.py --sweep lr=0.1,0.01       train your own script in all regions
  fedml plan                                   see how it would spread
  fedml dispatch --regions us,eu --version 4   train, wait for all results
  fedml index list                             see all model versions
  fedml ui                                     look at all of it in a browser
"""

COMMANDS = (
    "init",
    "doctor",
    "run",
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
    "ui",
    "help",
)
"""Commands in the order of the help. Each is a module of that name in this package, but for
`run`: the package has a function of that name."""

app = CommandApp(
    name="fedml",
    cls=lazy_group({name: f"federation.cli.{'run_code' if name == 'run' else name}" for name in COMMANDS}),
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings=SETTINGS,
)


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
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Declares the options of `fedml` itself."""
    choose_verbosity(verbose=verbose, quiet=quiet)
