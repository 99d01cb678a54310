"""What all parts of building a `Config` share: the file, its errors, and how a table becomes a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from federation.config.dev_state import DevState
from federation.config.schema import Document
from federation.config.schema_places import SecretTable, Table
from federation.errors import ConfigError
from jobs.frozen import frozen
from regions.credentials import SecretRef

T = TypeVar("T")
DEV_PREFIX = "dev:"


@frozen
class Source:
    """A checked document, the file that it is from, and the state of the project's development federation."""

    path: Path
    document: Document
    dev_state: DevState | None

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent

    def error(self, key: str, text: str, hint: str = "") -> ConfigError:
        """What to raise for a key."""
        return ConfigError(f"{self.path}: {key}: {text}", hint=hint)

    def value(self, target: type[T], table: Table, **made: Any) -> T:
        """Builds a `target` from the table's keys that have the names of its fields. `made` holds the fields that need more
        than the table's own key."""
        names = {*target.__match_args__} & type(table).model_fields.keys() - made.keys()  # type: ignore[attr-defined]
        return target(**{name: self.plain(getattr(table, name)) for name in names}, **made)

    def plain(self, value: Any, key: str = "") -> Any:
        """A table's value as values have it: references for secrets (`key`: for their errors), tuples for lists."""
        if isinstance(value, SecretTable):
            file = None if value.file is None else self.file(value.file)
            command = tuple(value.command) if value.command else None
            return SecretRef(env=value.env, file=file, command=command, key=key, config_file=self.path.absolute())
        return tuple(value) if isinstance(value, list) else value

    def file(self, text: str) -> Path:
        """A path as the file names it; a relative one counts from the project's folder."""
        return self.root.absolute() / Path(text).expanduser()

    def checked_name(self, key: str, name: str) -> str:
        """The name itself. Raises ConfigError where it holds other characters than names may."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
            hint = "use letters, digits, '.', '_' and '-', with a letter or digit first, at most 128 in all"
            raise self.error(key, f"{name!r} is not a valid name", hint)
        return name

    def check_declared(self, key: str, name: str, what: str, declared: Mapping[str, object]) -> None:
        """Raises ConfigError where `dev:NAME` names no table of [dev.regions] or [dev.stores]."""
        if name not in declared:
            known = ", ".join(f"{DEV_PREFIX}{each}" for each in declared)
            hint = f"known here: {known}" if known else f"add [dev.{what}.{name}]"
            raise self.error(key, f"there is no [dev.{what}.{name}] in the file", hint)
