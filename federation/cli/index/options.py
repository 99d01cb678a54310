"""What several commands of `fedml index` take, declared once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.app import App
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
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Ask no store: answer from the local catalog, and say as of when.")
]
ReasonOption = Annotated[str, typer.Option("-m", "--reason", metavar="TEXT", help="Why, for the log.")]
IfCurrentOption = Annotated[
    str | None,
    typer.Option(metavar="RESULT", help="Only if the tag points there now (none: nowhere); else it is left alone."),
]


def reader(index: Index, at: str | None) -> Reader:
    """The index now, or as it was."""
    return index if at is None else index.at(at)


@contextmanager
def reading(config: Path | None, *, offline: bool) -> Iterator[App]:
    """The project for a command that only reads the index. Offline it says as of when; where the home store doesn't answer,
    that this would be possible."""
    from federation.cli.session import note, opened
    from regions.storage.errors import Unavailable

    with opened(config) as federation:
        if offline:
            note(f"offline: as of {federation.index.go_offline()[:16].replace('T', ' ')}Z")
        try:
            yield federation
        except Unavailable as error:
            error.hint = "\n".join(filter(None, (error.hint, "what this machine knew last: the same with --offline")))
            raise


def as_of(index: Index) -> dict[str, str]:
    """What a JSON document tells beside `revision` where it was answered offline."""
    return {"as_of": index.as_of} if index.as_of else {}
