"""Revisions, differences, tags and lineage enter, text or JSON leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from federation.index import Row
from federation.index.catalog.changes import UNREADABLE
from federation.index.catalog.history import Difference, Revision, TagMove, Turn
from federation.index.catalog.lineage import Lineage
from federation.log import Change
from federation.result import ResultRecord
from federation.ui.index_table import aligned, indented, result_json, when_text
from federation.visible import visible_line

_CHANGES_SHOWN = 6
_RESULT_CHANGES = ("add", "supersede", "late")


def revision_text(revision: Revision) -> str:
    """A line with who, when and why, and one for each change."""
    why = f": {revision.reason}" if revision.reason else ""
    head = visible_line(f"revision {revision.number}  {when_text(revision.time)}  {revision.author}{why}")
    lines = [change_text(change) for change in revision.changes]
    if len(lines) > _CHANGES_SHOWN:
        lines = [*lines[: _CHANGES_SHOWN - 1], f"… and {len(lines) - _CHANGES_SHOWN + 1} more changes"]
    return "\n".join([head, *(f"  {visible_line(line)}" for line in lines)])


def without_effect(unknown: Sequence[tuple[int, Change]]) -> list[str]:
    """What of the log has no effect here, and why: (revision, change) in, sentences out."""
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
    """What one change says, in a line."""
    kind, alloc_id = str(change["type"]), str(change.get("alloc_id", ""))[:8]
    match kind:
        case "add" | "supersede" | "late":
            return f"{kind} {alloc_id}  {change['job']} {change['version']}, slot {change['slot']}, {change['region']}"
        case "open":
            return f"open run {change['run']}  {change['job']} {change['version']}"
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


def event_text(told: Mapping[str, Any]) -> str:
    """One event of `fedml index watch`, in a line."""
    short = str(told["alloc_id"])[:8] or "nothing"
    match told["event"]:
        case "index_commit":
            what = f"{short} is {told['state']}: {told['job']} {told['version']}, slot {told['slot']}, {told['region']}"
        case "index_tag":
            was = str(told["previous"])[:8]
            what = f"{told['tag']} points to {short}" + (f" (was {was})" if was else "")
        case _:
            what = f"{short} is {'shown again' if told['is_undone'] else 'retired'}"
    why = f": {told['reason']}" if told["reason"] else ""
    return visible_line(f"revision {told['revision']}  {when_text(told['time'])}  {told['author']}  {what}{why}")


def difference_text(found: Difference) -> str:
    """Sections for what changed; "" when nothing did."""
    parts = []
    if found.results:
        lines = [
            (row.alloc_id[:8], f"{row.job} {row.version}", f"slot {row.slot}", row.region, row.state)
            for row in found.results
        ]
        parts.append(f"results entered ({len(lines)})\n" + indented(aligned(lines)))
    for heading, turns in (("runs", found.runs), ("states", found.states), ("tags", found.tags)):
        if turns:
            parts.append(f"{heading}\n" + indented(aligned([_turn(turn) for turn in turns])))
    if found.others:
        parts.append(
            "other changes\n" + indented("\n".join(visible_line(change_text(change)) for change in found.others))
        )
    return "\n\n".join(parts)


def difference_json(found: Difference) -> dict[str, Any]:
    """The difference as JSON."""
    turns = {name: [asdict(turn) for turn in getattr(found, name)] for name in ("runs", "states", "tags")}
    results = [result_json(row) for row in found.results]
    return {"first": found.first, "last": found.last, "results": results, **turns, "others": list(found.others)}


def tags_text(tags: Sequence[TagMove]) -> str:
    """Where each tag points, since when, by whom and why."""
    heading = ("tag", "allocation", "since", "revision", "by", "reason")
    lines = [
        (one.name, one.alloc_id[:8], when_text(one.time), str(one.revision), one.author, one.reason) for one in tags
    ]
    return aligned([heading, *lines])


def moves_text(moves: Sequence[TagMove]) -> str:
    """A tag's history."""
    heading = ("revision", "when", "what", "allocation", "before", "by", "reason")
    lines = [
        (
            *(str(one.revision), when_text(one.time), one.kind, one.alloc_id[:8] or "-", one.previous[:8] or "-"),
            *(one.author, one.reason),
        )
        for one in moves
    ]
    return aligned([heading, *lines])


def lineage_text(row: Row, record: ResultRecord, found: Lineage) -> str:
    """Where a result came from, and what was made from it."""
    facts = [
        ("result", f"{row.alloc_id}, version {row.version} of {row.job}"),
        ("jobspec", f"{record.job_id}, spec {found.spec_hash}"),
        ("made in", f"region {row.region}, datacenter {row.datacenter}, run {row.run}, slot {row.slot}"),
    ]
    parts = [aligned(facts)]
    for heading, told in (("data", found.data), ("code", found.code)):
        lines = indented(aligned(list(told.items()))) if told else "  the record tells of none"
        parts.append(f"{heading}\n{lines}")
    for heading, ids in (("parents", found.parents), ("children", found.children)):
        parts.append(f"{heading}\n" + indented("\n".join(map(visible_line, ids)) or "none"))
    return "\n\n".join(parts)


def _turn(turn: Turn) -> tuple[str, str]:
    before, after = (text[:8] if len(text) == 36 else text or "-" for text in (turn.before, turn.after))
    return (turn.name, f"{before} → {after}")
