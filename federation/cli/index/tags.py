"""`fedml index tag`, `untag`, `note`, `retire`: what people decide about results."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.index.options import (
    BestOption,
    IfCurrentOption,
    JobNameOption,
    OfflineOption,
    ReasonOption,
    ResultArgument,
    as_of,
    reading,
)
from federation.cli.options.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from federation.app import App
    from federation.index.tag_rule import TagRule
    from federation.index.tags import TagChange

TagArgument = Annotated[str, typer.Argument(metavar="NAME", help="The tag.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (tag, untag, note, retire):
        app.command()(command)


def tag(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The tag (default: list all tags).")] = None,
    result: Annotated[
        str | None,
        typer.Argument(metavar="[RESULT]", help="The result to point it to (default: show the history of the tag)."),
    ] = None,
    sort: BestOption = None,
    if_current: IfCurrentOption = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Point it back to its previous result. Repeat to go further back.")
    ] = False,
    reason: ReasonOption = "",
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Point a tag to a result. The tag then names the result everywhere: show production, get production.

    With --if-current, one of two people who move the tag at once wins, and the other gets an error. A table [tags.NAME] in
    fedml.toml protects a tag by its conditions.

    Examples:

      fedml index tag production 8f14e45f -m "better on the March data"

      fedml index tag production train@4 --sort metrics.auc:desc

      fedml index tag production 8f14e45f --if-current production-candidate

      fedml index tag production

      fedml index tag --rollback production

      fedml index tag --json
    """
    from federation.errors import UsageError

    if name is None and (if_current is not None or rollback or reason):
        raise UsageError("a tag is missing", hint="fedml index tag NAME RESULT, or fedml index tag --rollback NAME")
    if rollback and result is not None:
        raise UsageError("--rollback points the tag to its previous result, and takes no RESULT")
    with reading(config, offline=offline) as federation:
        index = federation.index
        if name is None:
            _show_tags(federation, as_json=as_json)
        elif rollback:
            rule = _rule(federation, name)
            _tell(federation, index.rollback(name, if_current=if_current, rule=rule, reason=reason), as_json=as_json)
        elif result is not None:
            rule = _rule(federation, name)
            best = result if sort is None else index.result(result, sort=sort).alloc_id
            moved = index.tag(name, best, if_current=if_current, rule=rule, reason=reason)
            _tell(federation, moved, as_json=as_json)
        else:
            _show_history(federation, name, as_json=as_json)


def untag(
    name: TagArgument,
    if_current: IfCurrentOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Point a tag to nothing. Its history stays, and --rollback brings it back.

    Examples:

      fedml index untag staging

      fedml index untag staging --if-current 8f14e45f
    """
    from federation.cli.session import opened

    with opened(config) as federation:
        rule = _rule(federation, name)
        _tell(
            federation, federation.index.untag(name, if_current=if_current, rule=rule, reason=reason), as_json=as_json
        )


def note(
    result: ResultArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Add a note to a result. show prints it.

    Examples:

      fedml index note production "served since Monday"
    """
    from federation.cli.session import answer_json, opened
    from federation.cli.session import note as tell

    with opened(config) as federation:
        row = federation.index.note(result, text)
        revision = federation.index.log(limit=1)[-1].number
    if as_json:
        answer_json({"revision": revision, "alloc_id": row.alloc_id, "text": text.strip()})
    else:
        tell(f"noted on {row.alloc_id[:8]} ({row.job} version {row.version}), revision {revision}")


def retire(
    results: Annotated[list[str], typer.Argument(metavar="RESULT…", help="The results to retire, named as for show.")],
    undo: Annotated[bool, typer.Option("--undo", help="Show them again, in the state that they had.")] = False,
    reason: ReasonOption = "",
    job: JobNameOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Hide results from list and from their version. Artifacts and records stay, and no other result takes their place.

    A result with a tag is refused. list --state retired shows retired results, and get still gets them by allocation id.

    Examples:

      fedml index retire 8f14e45f -m "trained on a broken export"

      fedml index retire 8f14e45f --undo
    """
    from federation.cli.session import answer_json, opened
    from federation.cli.session import note as tell
    from federation.ui.index_table import result_json

    with opened(config) as federation:
        alloc_ids = [federation.index.result(result, job=job).alloc_id for result in results]
        rows = federation.index.retire(alloc_ids, is_undone=undo, reason=reason)
        revision = federation.index.revision
    if as_json:
        answer_json({"revision": revision, "results": [result_json(row) for row in rows]})
    else:
        for row in rows:
            tell(f"{row.alloc_id[:8]} ({row.job} version {row.version}) is {row.state}, revision {revision}")


def _rule(federation: App, name: str) -> TagRule:
    from federation.index.tag_rule import NO_RULE

    return federation.config.tags.get(name, NO_RULE)


def _tell(federation: App, change: TagChange, *, as_json: bool) -> None:
    from federation.cli.session import answer_json
    from federation.cli.session import note as tell

    if as_json:
        answer_json({"revision": change.revision} | asdict(change))
        return
    rows = federation.index.find(change.alloc_id) if change.alloc_id else []
    now = f"{change.alloc_id[:8]}, version {rows[0].version} of {rows[0].job}" if rows else "nothing"
    before = f"it pointed to {change.previous[:8]}" if change.previous else "it pointed to nothing"
    how = "as before" if change.previous == change.alloc_id else before
    tell(f"{change.name} points to {now} ({how}), revision {change.revision}")


def _show_tags(federation: App, *, as_json: bool) -> None:
    from federation.cli.session import answer_block, answer_json
    from federation.cli.session import note as tell
    from federation.ui.index_history import tags_text

    found = federation.index.tags()
    if as_json:
        answer_json(as_of(federation.index) | {"tags": [asdict(one) for one in found]})
    elif found:
        answer_block(tags_text(found, federation.index.short_results(one.alloc_id for one in found)))
    else:
        tell("there is no tag yet: fedml index tag NAME RESULT")


def _show_history(federation: App, name: str, *, as_json: bool) -> None:
    from federation.cli.session import answer_block, answer_json
    from federation.errors import UsageError
    from federation.ui.index_history import moves_text

    moves = federation.index.tag_history(name)
    if not moves:
        known = ", ".join(one.name for one in federation.index.tags())
        raise UsageError(
            f"there is no tag {name!r}", hint=f"tags: {known}" if known else f"fedml index tag {name} RESULT makes it"
        )
    if as_json:
        told = {"name": name, "alloc_id": moves[0].alloc_id, "history": [asdict(one) for one in moves]}
        answer_json(as_of(federation.index) | told)
    else:
        moved = (alloc_id for move in moves for alloc_id in (move.alloc_id, move.previous) if alloc_id)
        answer_block(moves_text(moves, federation.index.short_results(moved)))
