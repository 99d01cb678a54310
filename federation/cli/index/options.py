"""Options and arguments that several commands of `fedml index` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

if TYPE_CHECKING:
    from federation.app import App
    from federation.index import Index
    from federation.index.reader import Reader

JobNameOption = Annotated[str | None, typer.Option("--job", metavar="NAME", help="Consider only results of this job.")]
ResultArgument = Annotated[
    str,
    typer.Argument(
        metavar="RESULT", help="A tag, a version, JOB@VERSION, JOB@VERSION/SLOT, or the beginning of an allocation id."
    ),
]
BestOption = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="FIELD[:desc],…", help="Of several results, take the first by these fields. Default: refuse."
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="REVISION|TIME",
        help="Show the index as it was then (a time with a zone: 2026-11-24T10:00:00Z).",
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Answer from the local catalog without asking a store, and print its time.")
]
ReasonOption = Annotated[str, typer.Option("-m", "--reason", metavar="TEXT", help="The reason, for the log.")]
IfCurrentOption = Annotated[
    str | None,
    typer.Option(metavar="RESULT", help="Change the tag only if it points to this result now (none: to nothing)."),
]


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Which results are listed."""

    HEADING: ClassVar[str] = "Filters"

    job: JobNameOption = None
    version: Annotated[str | None, typer.Option(metavar="V", help="List only this version.")] = None
    region: Annotated[str | None, typer.Option(metavar="NAME", help="List only results made in this region.")] = None
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="List only results of this run: its ID or a part of it, its name, or last."),
    ] = None
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE", help="List only results that are committed, superseded, late, retired or removed."
        ),
    ] = None
    tag: Annotated[str | None, typer.Option(metavar="NAME", help="List only the result that this tag points to.")] = (
        None
    )
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="List only results that meet this condition (see the examples)."),
    ] = None


def reader(index: Index, at: str | None) -> Reader:
    """The index now, or as it was."""
    return index if at is None else index.at(at)


@contextmanager
def reading(config: Path | None, *, offline: bool) -> Iterator[App]:
    """Opens the project for a command that only reads the index. Offline, a note tells the time of the answer. An error of a
    home store that doesn't answer suggests --offline."""
    from federation.cli.session import note, opened
    from regions.storage.errors import Unavailable

    with opened(config) as federation:
        if offline:
            note(f"offline: as of {federation.index.go_offline()[:16].replace('T', ' ')}Z")
        try:
            yield federation
        except Unavailable as error:
            error.hint = "\n".join(filter(None, (error.hint, "to see what this machine knew last, add --offline")))
            raise


def as_of(index: Index) -> dict[str, str]:
    """The member `as_of` of a JSON document that was answered offline."""
    return {"as_of": index.as_of} if index.as_of else {}
