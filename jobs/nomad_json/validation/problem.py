"""One reason for which a server refuses a job: Nomad's words, and the place in the jobspec."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

Record = dict[str, Any]
Version = tuple[int, ...]
REFERENCE = re.compile(r"\$\{[a-zA-Z0-9_\-.]+\}", re.ASCII)
"""A reference to a variable in a text."""
Step = tuple[str, str | int | None]
"""Name of a block or argument, and the label of the block, or its number from 1 among those of its name."""


@dataclass(frozen=True)
class Problem:
    """A sentence of Nomad, or the heading of the problems `inner`. `place`: the steps from the block around it."""

    text: str
    place: tuple[Step, ...] = ()
    inner: tuple[Problem, ...] = ()
    quoted_inner: bool = False

    @property
    def message(self) -> str:
        """The whole error as Nomad nests it."""
        if not self.inner:
            return self.text
        inner = joined(self.inner)
        return f'{self.text}"{inner}"' if self.quoted_inner else self.text + inner

    def at(self, *place: Step) -> Problem:
        """Returns the problem as seen from the block around `place`."""
        return replace(self, place=place + self.place)

    def sentences(self) -> Iterator[Problem]:
        """Yields the innermost problems with their whole places."""
        if not self.inner:
            yield self
        for problem in self.inner:
            yield from problem.at(*self.place).sentences()


def joined(problems: Iterable[Problem]) -> str:
    """Joins several problems as Nomad does in one error."""
    messages = [problem.message for problem in problems]
    points = "\n\t".join("* " + message for message in messages)
    return f"{len(messages)} error{'' if len(messages) == 1 else 's'} occurred:\n\t{points}\n\n"


def nested(problems: Iterable[Problem], *place: Step, heading: str = "") -> list[Problem]:
    """Puts the problems of a block under one problem. Returns no problem if there is none."""
    inner = tuple(problems)
    return [Problem(heading, place, inner)] if inner else []


def numbered(
    blocks: list[Record] | None, check: Callable[[Record], Iterable[Problem]], name: str, heading: str
) -> list[Problem]:
    """Checks each block of a list. `name` is the jobspec's, `heading` Nomad's ("Template {} validation failed: ")."""
    found: list[Problem] = []
    for number, block in enumerate(blocks or (), 1):
        found += nested(check(block), (name, number), heading=heading.format(number))
    return found


def quoted(text: Any) -> str:
    """Quotes a text as Go does."""
    return json.dumps(str(text), ensure_ascii=False)


def one_of(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def place_text(place: Iterable[Step]) -> str:
    """Formats a place with the jobspec's words: `group "g" / template 2 / perms`."""
    return " / ".join(
        name if key is None else f"{name} {quoted(key)}" if isinstance(key, str) else f"{name} {key}"
        for name, key in place
    )


def services_of(group: Record) -> Iterator[tuple[Record | None, tuple[Step, ...], Record]]:
    """Yields the services of a group and of its tasks: the task, the place in the group, and the service."""
    for number, service in enumerate(group["Services"] or (), 1):
        yield None, (("service", number),), service
    for task in group["Tasks"] or ():
        for number, service in enumerate(task["Services"] or (), 1):
            yield task, (("task", task["Name"]), ("service", number)), service
