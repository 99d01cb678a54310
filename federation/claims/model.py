"""A record's fields, what is known of them, and the values that both are compared by. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Protocol
from urllib.parse import parse_qs

from jobs.frozen import frozen

_TOLD_CHARS = 80


@frozen
class Known:
    """The values that a field may have. `told` ends the sentence of a refusal: who knows them, and which they are."""

    values: Container[object]
    told: str


Expected = Mapping[str, Known]
"""What is known, by field (see `fields_of`). A field that nothing else tells is left out: there the node is believed."""


@frozen
class Site:
    """One region as fedml.toml has it: its own name first, then the one that Nomad knows; store URL by datacenter."""

    names: tuple[str, ...]
    stores: Mapping[str, str]


@frozen
class Bound:
    """One attempt of a slot, as the run log has it; `job_id` is its child, "" where the log names none; `refused` is why
    its record was refused, "" where none was."""

    number: int
    region: str
    job_id: str = ""
    refused: str = ""


class OpenedRun(Protocol):
    """What the index knows of a run."""

    @property
    def run(self) -> str: ...
    @property
    def job(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def spec_hash(self) -> str: ...
    @property
    def slots(self) -> int: ...


class RunFacts(OpenedRun, Protocol):
    """The part of a run's manifest that records are compared with."""

    @property
    def groups(self) -> Mapping[str, int]: ...
    @property
    def code_sha256(self) -> str:
        """Of a run of `fedml run`: its code; else empty."""


def known(told: str, *values: object) -> Known:
    """Makes a `Known` of these values; `told` says who knows them."""
    return Known(values, f"{told} {' or '.join(map(shown, values)) or 'nothing'}")


def endpoint_of(url: str) -> str:
    """The endpoint that a store's URL names; empty where it names none."""
    return next(iter(parse_qs(url.partition("?")[2]).get("endpoint", ())), "")


def shown(value: object) -> str:
    """The value as a refusal quotes it."""
    text = repr(value)
    return text if len(text) <= _TOLD_CHARS else f"{text[:_TOLD_CHARS]}…"
