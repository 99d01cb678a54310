"""Formats revisions, differences, tags and lineage of the index as text or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from federation.index import Row
from federation.index.catalog.changes import UNREADABLE
from federation.index.catalog.history import Difference, Revision, TagMove, Turn
from federation.index.catalog.lineage import Lineage
from federation.log import Change
from federation.output.visible import visible_line
from federation.result import ResultRecord
from federation.ui.index_table import Short, aligned, indented, result_json, when_text

_CHANGES_SHOWN = 6
_RESULT_CHANGES = ("add", "supersede", "late")


def revision_text(revision: Revision) -> str:
    """One line with author, time and reason, then one for each change."""
    why = f": {revision.reason}" if revision.reason else ""
    head = visible_line(f"revision {revision.number}  {when_text(revision.time)}  {revision.author}{why}")
    shown, more = first_changes(revision)
    lines = [*map(change_text, shown), *([more] if more else [])]
    return "\n".join([head, *(f"  {visible_line(line)}" for line in lines)])


def first_changes(revision: Revision) -> tuple[Sequence[Change], str]:
    """The changes that are shown, and how many more there are, in words."""
    changes = revision.changes
    if len(changes) <= _CHANGES_SHOWN:
        return changes, ""
    return changes[: _CHANGES_SHOWN - 1], f"… and {len(changes) - _CHANGES_SHOWN + 1} more changes"


def without_effect(unknown: Sequence[tuple[int, Change]]) -> list[str]:
    """Sentences about (revision, change) pairs that have no effect in this version of fedml."""
    newer = [str(change["type"]) for _, change in unknown if change["type"] != UNREADABLE]
    lines = []
    if newer:
        kinds = ", ".join(sorted(set(newer)))
        lines.append(f"changes that a newer fedml wrote have no effect here: {len(newer)} ({kinds})")
    revisions = sorted({revision for revision, change in unknown if change["type"] == UNREADABLE})
    if revisions:
        numbers = ", ".join(map(str, revisions[:5])) + (" …" if len(revisions) > 5 else "")
        lines.append(f"changes that can't be used have no effect: revision {numbers} (see fedml index log)")
    return lines


def change_text(change: Change) -> str:
    """One change in one line."""
    kind, alloc_id = str(change["type"]), str(change.get("alloc_id", ""))[:8]
    match kind:
        case "add" | "supersede" | "late":
            return f"{kind} {alloc_id}  {change['job']} {change['version']}, slot {change['slot']}, {change['region']}"
        case "open":
            name = f" ({change['name']})" if change.get("name") else ""
            return f"open run {change['run']}{name}  {change['job']} {change['version']}"
        case "close":
            return f"close run {change['run']}  {change['state']}"
        case "tag":
            previous = str(change.get("previous", ""))[:8]
            was = f" (was {previous})" if previous else ""
            return f"{'rollback' if change.get('rollback') else 'tag'} {change['name']} → {alloc_id}{was}"
        case "untag":
            return f"untag {change['name']} (was {str(change.get('previous', ''))[:8]})"
        case "retire":
            return f"{'unretire' if change.get('undo') else 'retire'} {alloc_id}"
        case "note":
            return f"note on {alloc_id}: {change['text']}"
        case "unreadable":
            return f"{change.get('kind', '?')} without effect: {change.get('problem', '')}"
    rest = ", ".join(f"{name} {value}" for name, value in change.items() if name not in ("type", "alloc_id"))
    return f"{kind} {alloc_id}  {rest[:100]}".strip()


def event_text(event: Mapping[str, Any]) -> str:
    """One event of `fedml index watch` in one line."""
    short = str(event["alloc_id"])[:8] or "nothing"
    match event["event"]:
        case "index_commit":
            what = f"{short} is {event['state']}: {event['job']} {event['version']}, slot {event['slot']}, {event['region']}"
        case "index_tag":
            was = str(event["previous"])[:8]
            what = f"{event['tag']} points to {short}" + (f" (was {was})" if was else "")
        case _:
            what = f"{short} is {'shown again' if event['is_undone'] else 'retired'}"
    why = f": {event['reason']}" if event["reason"] else ""
    return visible_line(f"revision {event['revision']}  {when_text(event['time'])}  {event['author']}  {what}{why}")


def difference_text(difference: Difference, short: Short) -> str:
    """One section for each kind of change. Empty without changes."""
    parts = []
    if difference.results:
        lines = [
            (short[row.alloc_id], f"{row.job} {row.version}", f"slot {row.slot}", row.region, row.state)
            for row in difference.results
        ]
        parts.append(f"results entered ({len(lines)})\n" + indented(aligned(lines)))
    for heading, turns in (("runs", difference.runs), ("states", difference.states), ("tags", difference.tags)):
        if turns:
            parts.append(f"{heading}\n" + indented(aligned([_turn(turn) for turn in turns])))
    if difference.others:
        parts.append(
            "other changes\n" + indented("\n".join(visible_line(change_text(change)) for change in difference.others))
        )
    return "\n\n".join(parts)


def revision_json(entry: Revision) -> dict[str, Any]:
    """The revision as a JSON document."""
    data = asdict(entry)
    return {"revision": data.pop("number"), **data}


def difference_json(difference: Difference) -> dict[str, Any]:
    """The difference as a JSON document."""
    turns = {name: [asdict(turn) for turn in getattr(difference, name)] for name in ("runs", "states", "tags")}
    results = [result_json(row) for row in difference.results]
    return {
        "first": difference.first,
        "last": difference.last,
        "results": results,
        **turns,
        "others": list(difference.others),
    }


def tags_text(tags: Sequence[TagMove], short: Short) -> str:
    """A table of the tags: result, time, author, reason."""
    heading = ("tag", "allocation", "since", "revision", "by", "reason")
    lines = [
        (tag.name, short[tag.alloc_id], when_text(tag.time), str(tag.revision), tag.author, tag.reason) for tag in tags
    ]
    return aligned([heading, *lines])


def moves_text(moves: Sequence[TagMove], short: Short) -> str:
    """A table of a tag's history."""
    heading = ("revision", "when", "what", "allocation", "before", "by", "reason")
    lines = [
        (
            *(str(move.revision), when_text(move.time), move.kind),
            *(short.get(alloc_id, alloc_id) or "-" for alloc_id in (move.alloc_id, move.previous)),
            *(move.author, move.reason),
        )
        for move in moves
    ]
    return aligned([heading, *lines])


def lineage_text(row: Row, record: ResultRecord, lineage: Lineage) -> str:
    """Where a result came from and what was made from it."""
    facts = [
        ("result", f"{row.alloc_id}, version {row.version} of {row.job}"),
        ("jobspec", f"{record.job_id}, spec {lineage.spec_hash}"),
        ("made in", f"region {row.region}, datacenter {row.datacenter}, run {row.run}, slot {row.slot}"),
    ]
    parts = [aligned(facts)]
    for heading, fields in (("data", lineage.data), ("code", lineage.code)):
        lines = indented(aligned(list(fields.items()))) if fields else "  the record names none"
        parts.append(f"{heading}\n{lines}")
    for heading, ids in (("parents", lineage.parents), ("children", lineage.children)):
        parts.append(f"{heading}\n" + indented("\n".join(map(visible_line, ids)) or "none"))
    return "\n\n".join(parts)


def _turn(turn: Turn) -> tuple[str, str]:
    before, after = (text[:8] if len(text) == 36 else text or "-" for text in (turn.before, turn.after))
    return (turn.name, f"{before} → {after}")
