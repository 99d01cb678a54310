"""`fedml index log`, `diff`, `lineage`: who entered what, when and why; and where a result came from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from federation.cli.index.options import JobNameOption, OfflineOption, ResultArgument, as_of, reading
from federation.cli.options.common import ConfigOption, JsonOption

FOLLOW_PAUSE_S = 2.0
LOG_ENTRIES = 20


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (log, diff, lineage):
        app.command()(command)


def log(
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show the newest N revisions.")] = LOG_ENTRIES,
    author: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only what this person entered (NAME or NAME@HOST).")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Show only these changes: commit, run, cancel, tag, rollback, retire, note or storage.",
        ),
    ] = None,
    job: JobNameOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new revisions as they come, until interrupted.")
    ] = False,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the revisions of the index, newest first: who entered what, when and why.

    With --follow the newest revision comes last, and new ones follow it. With --json, each is one object a line.

    Examples:

      fedml index log

      fedml index log --limit 100 --json

      fedml index log --author ann --kind rollback

      fedml index log --follow
    """
    import time

    from federation.cli.session import answer_block, answer_json, answer_json_line, note
    from federation.errors import UsageError
    from federation.ui.index_history import revision_json, revision_text

    is_filtered = any((author, kind, job))
    if follow and is_filtered:
        raise UsageError("--follow shows all revisions", hint="leave out --author, --kind and --job")
    if follow and offline:
        raise UsageError("--follow asks the store, and --offline asks no store", hint="leave out one of them")
    with reading(config, offline=offline) as federation:
        index = federation.index
        found = index.search_log(limit=limit, author=author, kind=kind, job=job)
        entries, revision = found.entries, index.revision
        if follow:
            note(f"revision {revision}; new ones as they come (Ctrl-C ends)")
            for entry in index.follow(max(0, revision - limit), pause=lambda: time.sleep(FOLLOW_PAUSE_S)):
                if as_json:
                    answer_json_line(revision_json(entry))
                else:
                    answer_block(revision_text(entry))
        elif as_json:
            answer_json(
                {
                    "revision": revision,
                    **as_of(index),
                    "revisions": [revision_json(entry) for entry in entries],
                }
            )
        else:
            for entry in entries:
                answer_block(revision_text(entry))
            some = f" (the newest {len(entries)}{' that match' if is_filtered else ''})"
            rest = f"; older ones than revision {found.next} were not searched" if is_filtered and found.next else ""
            note(f"revision {revision}{some if len(entries) < revision else ''}{rest}")


def diff(
    first: Annotated[str, typer.Argument(metavar="REV", help="A revision, or a time with a zone.")],
    last: Annotated[str | None, typer.Argument(metavar="[REV]", help="A later one (default: now).")] = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what changed between two revisions: results, runs, tags, retirements, notes.

    Examples:

      fedml index diff 12 20

      fedml index diff 2026-11-24T00:00:00Z
    """
    from federation.cli.session import answer_block, answer_json, note
    from federation.ui.index_history import difference_json, difference_text

    with reading(config, offline=offline) as federation:
        found = federation.index.diff(first, last)
        told = as_of(federation.index)
        short = federation.index.short_results(row.alloc_id for row in found.results)
    if as_json:
        answer_json(told | difference_json(found))
        return
    text = difference_text(found, short)
    if text:
        answer_block(text)
    note(f"revision {found.first} to {found.last}" + ("" if text else ": nothing changed"))


def lineage(
    result: ResultArgument,
    job: JobNameOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show where a result came from (data, code, jobspec, parents), and which results were made from it.

    It is read from environment.json beside the artifact and from the parameters, by name: data_url, data_sha256, git_commit,
    parent and the like.

    Examples:

      fedml index lineage production

      fedml index lineage 8f14e45f --json
    """
    from federation.cli.session import answer_block, answer_json, opened
    from federation.ui.index_history import lineage_text

    with opened(config) as federation:
        row = federation.index.result(result, job=job)
        found = federation.index.lineage(row)
        record = federation.index.record(row)
    if as_json:
        answer_json({"version": row.version, "job": row.job, "job_id": record.job_id} | asdict(found))
    else:
        answer_block(lineage_text(row, record, found))
