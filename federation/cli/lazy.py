"""Command groups that import a command's module only when the command is used.

Otherwise `fedml index list` would import the options of every command, which takes as long as the import of Typer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from typer.main import get_command_name, get_group

from federation.cli.command_app import CommandApp
from federation.cli.help_page import CommandGroup


class Commands(Mapping[str, Any]):
    """A group's commands by name, in the order of its help. `modules` has the module of each, imported when it is needed."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, self._modules[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def lazy_group(modules: Mapping[str, str], *, headings: Mapping[str, str] | None = None) -> type[CommandGroup]:
    """Returns a class for `CommandApp(cls=…)`. A module has an `app` (a group), or `register(app)`, which adds commands.
    `headings` has the heading of each command in the help."""

    class LazyGroup(CommandGroup):
        command_headings = headings or {}

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands: Any = Commands(modules)

    return LazyGroup


def _made(name: str, module_name: str) -> Any:
    module = import_module(module_name)
    holder = CommandApp()
    if hasattr(module, "app"):
        holder.add_typer(module.app, name=name)
    else:
        module.register(holder)
        holder.registered_commands = [info for info in holder.registered_commands if _name(info) == name]
    return get_group(holder).commands[name]


def _name(info: Any) -> str:
    return str(info.name or get_command_name(info.callback.__name__))
