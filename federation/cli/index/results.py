"""`fedml index list`, `show`, `get`, `compare`: find results, look at them and download them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.index.options import (
    AtOption,
    BestOption,
    FilterOptions,
    JobNameOption,
    OfflineOption,
    ResultArgument,
    as_of,
    reader,
    reading,
)
from federation.cli.options.common import AllowStoreOption, ConfigOption, JsonOption, OpenOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation.index import Row
    from federation.index.query.fields import Field
    from federation.workflows.index_list import Listed

TERMINAL_ROWS = 100

PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Also draw these results by their parameters and metrics into this .svg file."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    app.command("list")(list_results)
    for command in (show, get, compare):
        app.command()(command)


def list_results(
    which: FilterOptions,
    sort: Annotated[
        str | None, typer.Option(metavar="FIELD[:desc],…", help="Sort by these fields (default: newest first).")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="FIELD,…", help="Show these fields (--json always shows all).")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"List at most N (default: {TERMINAL_ROWS} on a terminal, else all)."),
    ] = None,
    at: AtOption = None,
    offline: OfflineOption = False,
    plot: PlotOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List results, newest first: where each was made, what it measured, where its artifact lies.

    The first committed result of each slot wins for ever. A later one is kept as superseded, one of a cancelled run as late.
    Retired and removed results are hidden. --where compares metrics.NAME, params.NAME, tag, version, run, region,
    datacenter, node, state, slot, size_bytes, created, committed and more by = != < <= > >=, in, like, between, is null,
    joined by and, or, not. Texts and times stand in single quotes.

    Examples:

      fedml index list

      fedml index list --version 4 --region us

      fedml index list --where "metrics.auc > 0.75 and params.lr in (0.1, 0.01) and region != 'us'"

      fedml index list --sort metrics.auc:desc --limit 5 --columns version,region,metrics.auc,params.lr,tags

      fedml index list --where "tag is not null or committed > '2026-11-24T10:00:00Z'" --json

      fedml index list --at 2026-11-01T00:00:00Z

      fedml index list --columns params.lr,metrics.auc --plot auc.svg
    """
    from federation.cli.session import answer_json_rows, note
    from federation.ui.index_history import without_effect
    from federation.ui.index_table import result_json
    from federation.ui.picture import require_svg
    from federation.workflows import index_list

    if plot is not None:
        require_svg(plot)
    filters = asdict(which)
    is_terminal = sys.stdout.isatty() and not as_json
    at_most = limit or (TERMINAL_ROWS if is_terminal else None)
    with reading(config, offline=offline) as federation:
        index = reader(federation.index, at)
        found = index_list.list_results(federation, index, filters, sort=sort, columns=columns, limit=at_most)
        short = {} if as_json and plot is None else index_list.short_ids(index, found.rows)
        answered = as_of(federation.index)
    if as_json:
        head = {"revision": found.revision, **answered}
        answer_json_rows(head, "results", [result_json(row) for row in found.rows])
    else:
        if found.rows:
            _show(found, short, is_terminal=is_terminal)
        note(_summary(found, is_sorted=sort is not None, is_filtered=any(filters.values())))
    if plot is not None:
        _draw(found.rows, plot, short, found.fields)
    for line in without_effect(found.unknown) if found.unknown else ():
        note(line)


def show(
    result: ResultArgument,
    job: JobNameOption = None,
    at: AtOption = None,
    offline: OfflineOption = False,
    open_page: OpenOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show all about one result or one version: its runs, metrics, files, where it lies, how to get it.

    Examples:

      fedml index show 4

      fedml index show 8f14e45f

      fedml index show production

      fedml index show production --open

      fedml index show sales-close-prediction@4/0 --json
    """
    from urllib.parse import quote

    from federation.cli.session import answer_block, answer_json
    from federation.cli.ui import show_page
    from federation.ui.index_story import result_story, results_json, version_story
    from federation.workflows import index_list

    with reading(config, offline=offline) as federation:
        index = reader(federation.index, at)
        if open_page:
            revision = f"?revision={quote(at, safe='')}" if at else ""
            show_page(federation, f"/results/{quote(index.result(result, job=job).alloc_id, safe='')}{revision}")
            return
        rows, runs = index_list.find_version(index, result, job)
        if as_json:
            told = as_of(federation.index)
            answer_json(results_json(index, rows, runs, with_records=not offline) | told)
        elif len(rows) == 1:
            story = result_story(
                rows[0],
                None if offline else index.record(rows[0]),
                index.provenance(rows[0].revision),
                index.rivals(rows[0]),
                index.notes(rows[0]),
                short=index_list.short_ids(index, rows),
            )
            answer_block(story)
        else:
            answer_block(version_story(result, rows, runs, short=index_list.short_ids(index, rows[:1])))


def get(
    result: ResultArgument,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to make (default: JOB-VERSION-ALLOCATION here)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    sort: BestOption = None,
    signed_by: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Refuse a result that none of these public keys signed.")
    ] = None,
    allow_store: AllowStoreOption = None,
    job: JobNameOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Download the files of a result, verified against the sha256 in the index, and print the folder.

    A store that fedml.toml doesn't have for the region of the result is refused (see further_stores there).

    A version is enough if it has one committed result. If it has several, they are listed, to name one. With --sort, the
    first one is taken: the best by a metric.

    Examples:

      fedml index get 4

      fedml index get train@4 --sort metrics.auc:desc --to model

      fedml index get production --to model

      cd "$(fedml index get sales-close-prediction@4/0)"
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.text import size_text
    from federation.ui.transfer import transfer
    from federation.workflows.index_copy import get_result, require_signer

    with opened(config) as federation:
        row = federation.index.result(result, job=job, sort=sort)
        if signed_by:
            require_signer(federation, row, signed_by)
        with transfer("fetching", row.size_bytes) as progress:
            fetched = get_result(federation, row, to, force=force, allow=allow_store or (), progress=progress)
    how = f"from {fetched.store}" if fetched.is_new else "there already"
    note(f"{row.job} version {row.version}: {fetched.files} files, {size_text(fetched.size_bytes)}, {how}, verified")
    if as_json:
        size = {"files": fetched.files, "size_bytes": fetched.size_bytes, "is_new": fetched.is_new}
        answer_json({"alloc_id": row.alloc_id, "version": row.version, "path": str(fetched.path), **size})
    else:
        answer(str(fetched.path))


def compare(
    results: Annotated[
        list[str], typer.Argument(metavar="RESULT RESULT…", help="Two or more results, named as for show.")
    ],
    job: JobNameOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Compare results side by side: metrics, parameters, environment, place. Differences come first.

    Examples:

      fedml index compare production 8f14e45f

      fedml index compare 3 4 5 --json

      fedml index compare 3 4 5 --plot compared.svg
    """
    from federation.cli.session import answer_block, answer_json, opened
    from federation.errors import UsageError
    from federation.index.compare import compare as compared
    from federation.ui.index_compare import comparison_json, comparison_text
    from federation.ui.picture import require_svg

    if len(results) < 2:
        raise UsageError("compare takes two results or more", hint="fedml index compare production 8f14e45f")
    if plot is not None:
        require_svg(plot)
    with opened(config) as federation:
        rows = [federation.index.result(result, job=job) for result in results]
        records = [federation.index.record(row) for row in rows]
        revision = federation.index.revision
        short = federation.index.short_results(row.alloc_id for row in rows)
    lines = compared(rows, records)
    if as_json:
        answer_json({"revision": revision} | comparison_json(rows, lines))
    else:
        answer_block(comparison_text(results, rows, lines, short))
    if plot is not None:
        _draw(rows, plot, short)


def _draw(rows: Sequence[Row], plot: Path, short: Mapping[str, str], fields: Sequence[Field] | None = None) -> None:
    from federation.cli.session import note
    from federation.ui.index_chart import picture
    from federation.ui.picture import write_picture

    note(write_picture(picture(rows, fields, short=short), plot))


def _show(found: Listed, short: Mapping[str, str], *, is_terminal: bool) -> None:
    from federation.cli.session import answer_block, note
    from federation.ui import index_table

    if not is_terminal:
        answer_block(index_table.plain_table(found.rows, found.fields, short=short, sorted_by=found.sorted_by))
        return
    from federation.ui.console import out

    hidden = index_table.print_table(found.rows, out(), found.fields, short=short, sorted_by=found.sorted_by)
    if hidden:
        note(f"no room for: {', '.join(hidden)} (a wider terminal, fedml index show, or --json has them)")


def _summary(found: Listed, *, is_sorted: bool, is_filtered: bool) -> str:
    count, revision = len(found.rows), found.revision
    if count:
        some = "1 result" if count == 1 else f"{count} results"
        more = f" (the {'first' if is_sorted else 'newest'}: --limit N shows more)" if found.has_more else ""
        return f"{some}, revision {revision}{more}"
    if is_filtered and revision:
        return f"nothing in the index matches (revision {revision})"
    return "the index is empty: results of `fedml run` and `fedml dispatch` appear here"
