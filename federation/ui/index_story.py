"""Tells one result, or one version, in detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from federation.index import Row, RunRow
from federation.index.reader import Reader
from federation.index.rows import Note
from federation.output.visible import visible_line
from federation.result import ResultRecord
from federation.text import size_text
from federation.ui.index_table import (
    IN_FULL,
    Short,
    aligned,
    columns_of,
    indented,
    number_text,
    ranked,
    result_json,
    run_json,
    when_text,
)


def result_story(
    row: Row,
    record: ResultRecord | None,
    provenance: tuple[str, str, str],
    others: Sequence[Row],
    notes: Sequence[Note] = (),
    *,
    short: Short = IN_FULL,
) -> str:
    """One result in detail. `others` are further results of the same key. Without the record, which is in the log and not
    in the catalog, files and environment are missing."""
    time, author, reason = provenance
    facts = [
        ("result", row.alloc_id),
        ("version", f"{row.version} of {row.job}"),
        (
            "state",
            (f"{row.state}; entered" if row.state in ("retired", "removed") else row.state)
            + f" in revision {row.revision}, {when_text(time)} by {author}"
            + (f": {reason}" if reason else ""),
        ),
        *([("tags", ", ".join(row.tags))] if row.tags else []),
        ("run", f"{row.run}, slot {row.slot}, group {row.group}[{row.index}], attempt {row.attempt}"),
        ("place", f"region {row.region}, datacenter {row.datacenter}, node {row.node or '-'}"),
        *([("job", f"{record.job_id}, spec {record.spec_hash}")] if record else []),
        ("published", when_text(row.created)),
        ("artifact", row.url),
    ]
    parts = [aligned(facts)]
    for heading, pairs in (
        ("metrics", [(name, number_text(row.metrics[name])) for name in ranked(row.metrics)]),
        ("parameters", sorted(row.params.items())),
        ("environment", sorted(record.environment.items()) if record else []),
    ):
        if pairs:
            parts.append(f"{heading}\n" + indented(aligned(pairs)))
    if record:
        files = [(file.path, size_text(file.size_bytes), f"sha256 {file.sha256}") for file in record.files]
        heading = f"files ({len(files)}, {size_text(row.size_bytes)})"
        parts.append(f"{heading}\n" + indented(aligned(files) if files else "none"))
    if others:
        same = [(other.alloc_id, other.state, f"attempt {other.attempt}", other.region) for other in others]
        parts.append("other results of the same slot\n" + indented(aligned(same)))
    if notes:
        lines = [(when_text(note.time), note.author, note.text) for note in notes]
        parts.append("notes\n" + indented(aligned(lines)))
    is_gone = row.state == "removed"
    parts.append(
        "its files are gone" if is_gone else f"get it:  fedml index get {short.get(row.alloc_id, row.alloc_id)}"
    )
    return "\n\n".join(parts)


def results_json(index: Reader, rows: Sequence[Row], runs: Sequence[RunRow], *, with_records: bool) -> dict[str, Any]:
    """Results of one name with their runs, records and notes. `with_records` False: without those, which lie in the home."""
    results = [
        result_json(row)
        | ({"record": index.record(row).to_dict()} if with_records else {})
        | {"notes": [asdict(note) for note in index.notes(row)]}
        for row in rows
    ]
    return {"revision": index.revision, "runs": [run_json(run) for run in runs], "results": results}


def version_story(version: str, rows: Sequence[Row], runs: Sequence[RunRow], *, short: Short = IN_FULL) -> str:
    """A version with several results or none: its runs, its results, the command that shows one."""
    parts = []
    if runs:
        lines = [("run", "job", "state", "results", "opened", "spec")]
        for run in runs:
            results = run.results.replace("/", " of ")
            lines.append((run.run, run.job, run.state, results, when_text(run.opened), run.spec_hash[:12]))
        parts.append(f"version {visible_line(version)}\n" + indented(aligned(lines)))
    if rows:
        columns = [column for column in columns_of(rows, IN_FULL) if column.heading not in ("version", "run", "url")]
        cells = [[column.cell(row) for column in columns] for row in rows]
        parts.append("results\n" + indented(aligned([[column.heading for column in columns], *cells])))
        parts.append(f"one of them in full:  fedml index show {short.get(rows[0].alloc_id, rows[0].alloc_id)}")
    return "\n\n".join(parts)
