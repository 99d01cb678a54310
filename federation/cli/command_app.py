"""Makes commands of functions: with their groups of options, `-v` and `-q`, and help pages in groups."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer
from typer.models import OptionInfo

from federation.cli.help_page import GENERAL, Command, CommandGroup
from federation.output.streams import Verbosity, set_verbosity
from jobs.frozen import defaults_of

VerboseOption = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Also print each request to a region or bucket, and each retry.",
        rich_help_panel=GENERAL,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Print only the result and errors.", rich_help_panel=GENERAL),
]


class CommandApp(typer.Typer):
    """A group of commands, whose functions may have frozen classes of options among their parameters."""

    def __init__(self, **settings: Any) -> None:
        defaults: dict[str, Any] = {"cls": CommandGroup, "add_completion": False, "rich_markup_mode": None}
        super().__init__(**(defaults | settings))

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Registers a function as a command and returns it."""
        register = super().command(name, cls=Command, **settings)

        def registered(function: Callable[..., None]) -> Callable[..., None]:
            register(grouped(function))
            return function

        return registered


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with one option for each field of the frozen classes among its parameters, and `-v` and `-q`.

    Such a class may name the `HEADING` under which the help shows its options.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if defaults_of(kind)}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        flat += [_keyword(parameter.name, hints[parameter.name], parameter.default)] if kind is None else _fields(kind)
    flat += [_keyword("verbose", VerboseOption, False), _keyword("quiet", QuietOption, False)]

    @functools.wraps(command)
    def flattened(*, verbose: bool, quiet: bool, **values: Any) -> None:
        choose_verbosity(verbose=verbose, quiet=quiet)
        for name, kind in groups.items():
            values[name] = kind(**{field: values.pop(field) for field in defaults_of(kind)})
        command(**values)

    flattened.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    del flattened.__wrapped__  # or Typer would look through to the function with the groups
    return flattened


def choose_verbosity(*, verbose: bool, quiet: bool) -> None:
    """Sets what the command says on standard error. Without an option what was set before stays. Raises UsageError."""
    if verbose and quiet:
        from federation.errors import UsageError

        raise UsageError("-v and -q exclude each other", hint="leave out one")
    if quiet:
        set_verbosity(Verbosity.QUIET)
    elif verbose:
        from federation.cli.request_log import print_requests

        set_verbosity(Verbosity.VERBOSE)
        print_requests()


def _fields(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    heading = getattr(group, "HEADING", "")
    return [_keyword(name, _under(heading, hints[name]), default) for name, default in defaults_of(group).items()]


def _under(heading: str, annotation: Any) -> Any:
    """Returns the annotation of an option with its heading."""
    infos = [copy.copy(info) for info in annotation.__metadata__]
    for info in infos:
        if isinstance(info, OptionInfo) and heading and not info.rich_help_panel:
            info.rich_help_panel = heading
    return Annotated[(annotation.__origin__, *infos)]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
