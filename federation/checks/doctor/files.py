"""Checks the files and programs of this machine that fedml.toml names, apart from those of a region or a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from federation.check import Check, Outcome
from federation.config.model import Config
from federation.index.signatures import read_public_keys
from jobs.errors import FedmlError


def check_files(config: Config) -> list[Check]:
    """Finds programs of hooks that can't be run and files with public keys that can't be used."""
    return [*_hooks(config), *_public_keys(config)]


def _hooks(config: Config) -> Iterator[Check]:
    for event, command in config.hooks.items():
        program = config.root / command[0] if "/" in command[0] else shutil.which(command[0])
        if program is None or not os.path.lexists(program):
            problem, advice = "not found", "correct the path; a relative one counts from fedml.toml"
        elif not (Path(program).is_file() and os.access(program, os.X_OK)):
            problem, advice = "not a program that this user can run", f"chmod +x {program}"
        else:
            continue
        yield Check("hooks", f"hooks.{event}", Outcome.FAILED, f"{command[0]}: {problem}", advice)


def _public_keys(config: Config) -> Iterator[Check]:
    for name, rule in config.tags.items():
        if rule.signed_by is None:
            continue
        try:
            read_public_keys(rule.signed_by)
        except FedmlError as error:
            yield Check("tags", f"tags.{name}.signed_by", Outcome.FAILED, error.message, error.hint)
