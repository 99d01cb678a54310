"""What several commands of `fedml index` take, declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.index import Index
    from federation.index.reader import Reader

JobNameOption = Annotated[str | None, typer.Option("--job", metavar="NAME", help="Only results of this job.")]
ResultArgument = Annotated[
    str,
    typer.Argument(
        metavar="RESULT", help="A tag, a version, JOB@VERSION, JOB@VERSION/SLOT, or the beginning of an allocation id."
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="REVISION|TIME", help="As it was then; a time has a zone: 2026-11-24T10:00:00Z."),
]
ReasonOption = Annotated[str, typer.Option("-m", "--reason", metavar="TEXT", help="Why, for the log.")]
IfCurrentOption = Annotated[
    str | None,
    typer.Option(metavar="RESULT", help="Only if the tag points there now (none: nowhere); else it is left alone."),
]


def reader(index: Index, at: str | None) -> Reader:
    """The index now, or as it was."""
    return index if at is None else index.at(at)
