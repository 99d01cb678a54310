"""Finds the fields of a job that an older server would drop silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from jobs.hcl.schema import BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES


class NewerField(NamedTuple):
    """A field and its first Nomad version. `path` uses the jobspec's words (`group "web" / task "train" /
    identity`)."""

    path: str
    since: str


def newer_fields(job: Mapping[str, Any], version: str) -> list[NewerField]:
    """Returns the fields set in `job` (Nomad's API JSON) that came with a later Nomad than `version`, such as "1.6.3".

    Nomad ignores what it doesn't know, so each of these would be lost silently.
    """
    return list(_newer(BLOCK_TYPES["job"], job, version_key(version), ""))


def _newer(kind: BlockType, block: Mapping[str, Any], version: tuple[int, ...], path: str) -> Iterator[NewerField]:
    for field in kind.fields:
        value = block.get(field.api)
        if value == field.kind.absent or (not value and type(value) is not int):
            continue
        place = f"{path}{field.name}"
        if field.since and version_key(field.since) > version:
            yield NewerField(place, field.since)
        elif field.block:
            for inner in _blocks(field, value):
                yield from _newer(BLOCK_TYPES[field.block], inner, version, f"{place}{_label(field, inner)} / ")


def _blocks(field: Field, value: Any) -> list[Mapping[str, Any]]:
    how = field.kind.how
    blocks = value.values() if how == "by_label" else [value] if how == "one" else value
    return [block for block in blocks if isinstance(block, Mapping)]


def _label(field: Field, block: Mapping[str, Any]) -> str:
    label = BLOCK_TYPES[field.block].label
    return f' "{block.get(label.api)}"' if label is not None and block.get(label.api) else ""


@lru_cache(maxsize=256)
def version_key(version: str) -> tuple[int, ...]:
    """Parses a version to numbers. 1.6.3-dev+ent counts as 1.6.3."""
    numbers = version.lstrip("v").split("-")[0].split("+")[0].split(".")
    return tuple(int(part) for part in numbers if part.isdigit())
