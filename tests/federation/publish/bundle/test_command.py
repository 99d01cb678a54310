"""The archive's command line is that of `fedml publish`."""

from __future__ import annotations

import typer
from typer.main import get_command

from federation.cli.publish import register
from federation.publish.bundle.command import parser


def test_its_options_are_those_of_fedml_publish() -> None:
    app = typer.Typer()
    register(app)
    ours = {name for action in parser()._actions for name in action.option_strings or [action.metavar]}
    theirs = {
        name
        for one in get_command(app).params
        for name in (one.opts if one.param_type_name == "option" else [one.metavar])
    }
    assert ours - {"-h", "--help", "--version"} == theirs - {"--help", "--install-completion", "--show-completion"}
