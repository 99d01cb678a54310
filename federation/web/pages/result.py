"""The page of a result: its record, files, copies, signatures, lineage, tags and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from federation.charts.plane import Mark, Series, line
from federation.charts.svg import Chart
from federation.index import Row
from federation.index.catalog.history import TagMove
from federation.index.reader import Reader
from federation.index.rows import REMOVED, RETIRED
from federation.index.signatures import is_signed
from federation.index.stores import shown_store
from federation.result import ResultFile, ResultRecord
from federation.text import size_text
from federation.ui.index_story import results_json
from federation.ui.index_table import number_text, ranked
from federation.ui.lineage_chart import lineage_chart
from federation.web.index_reading import COST, LIVE_PAUSE_S, Reading, reading
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.query import Query, with_query
from federation.web.site import Site
from federation.web.templates import segment
from federation.workflows.run_curves import RunCurves, result_curves
from jobs.code_run import CURVES_FILE
from jobs.errors import FedmlError

FILES_SHOWN = 200
CURVES_MAX = 8
TEXT_NAMES = (
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".md",
    ".log",
    ".yaml",
    ".yml",
    ".toml",
    ".py",
    ".html",
    ".xml",
)
PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
FOREVER_S = float("inf")
UNREAD_S = 30.0
"""What couldn't be read is tried again after this."""


def view(site: Site, request: Request) -> Page | Response:
    """Reads a result. One that is named by a tag, a version or a part of its ID leads to the address of its whole ID."""
    query, ref = Query(request), request.path_params["alloc_id"]
    now = reading(site, query)
    row = result_named(now.index, ref)
    at = {"revision": now.at or None}
    if row.alloc_id != ref:
        return RedirectResponse(with_query(f"/results/{segment(row.alloc_id)}", at), 303)
    record, problem = None, now.problem
    try:
        record = known_record(site, now, row)
    except FedmlError as error:
        problem = problem or f"its record can't be read: {error}"
    notes, moves = now.index.notes(row), now.index.moves_of(row)
    charts = _charts(site, now, row, record)
    view = {
        "row": row,
        "record": record,
        "entered": now.index.provenance(row.revision),
        "metrics": [(name, number_text(row.metrics[name]), row.metrics[name]) for name in ranked(row.metrics)],
        "rivals": now.index.rivals(row),
        "notes": notes,
        "moves": moves,
        "tag_back": _rolls_back(row, moves),
        "files": [_file(row, file) for file in record.files[:FILES_SHOWN]] if record else [],
        "files_left": max(0, len(record.files) - FILES_SHOWN) if record else 0,
        "size": size_text(row.size_bytes),
        "places": now.index.ask_again(lambda catalog: [shown_store(url) for url, _ in catalog.places_of(row)]),
        "signatures": _signatures(now.index, row, record),
        "reading": now,
        "can_act": not site.settings.read_only and not now.at and row.state != REMOVED,
        "is_retired": row.state == RETIRED,
    }
    runs = partial(now.index.runs, run=row.run)
    return Page(
        "result.html",
        f"{row.job} {row.version}, slot {row.slot}",
        view,
        section="Index",
        crumbs=(Link("Index", with_query("/index", at)),),
        document=lambda: results_json(now.index, [row], runs(), with_records=True),
        charts=charts,
        command=f"fedml index show {row.alloc_id[:8]}{now.option}",
        live=None if now.at else Live((repr(row), tuple(notes), tuple(moves), problem), LIVE_PAUSE_S, COST),
        as_of=now.as_of,
        problem=problem,
    )


def result_named(index: Reader, ref: str) -> Row:
    """The result with this allocation ID; else the one that `ref` means. Raises UsageError."""
    return next((row for row in index.find(ref) if row.alloc_id == ref), None) or index.result(ref)


def known_record(site: Site, now: Reading, row: Row) -> ResultRecord:
    """A result's record, which never changes, read once."""
    key = ("record", row.alloc_id, row.revision)
    return site.shared.get(key, lambda: now.index.record(row), max_age_s=FOREVER_S).value


def is_picture(path: str) -> bool:
    """Whether a file may be a picture, by its name."""
    return path.lower().endswith(PICTURE_NAMES)


def file_href(alloc_id: str, path: str, form: str = "") -> str:
    """The address of a file."""
    return with_query(f"/results/{segment(alloc_id)}/files/{quote(path)}", {"as": form})


def _file(row: Row, file: ResultFile) -> Mapping[str, object]:
    is_shown = row.state != REMOVED
    return {
        "path": file.path,
        "size": size_text(file.size_bytes),
        "sha256": file.sha256,
        "href": file_href(row.alloc_id, file.path) if is_shown else "",
        "picture": file_href(row.alloc_id, file.path, "picture") if is_shown and is_picture(file.path) else "",
        "text": file_href(row.alloc_id, file.path, "text")
        if is_shown and file.path.lower().endswith(TEXT_NAMES)
        else "",
    }


def _rolls_back(row: Row, moves: Sequence[TagMove]) -> set[str]:
    """The tags of this result that pointed elsewhere before."""
    return {move.name for move in moves if move.name in row.tags and move.alloc_id == row.alloc_id and move.previous}


def _signatures(index: Reader, row: Row, record: ResultRecord | None) -> list[tuple[str, str]]:
    """(public key, what checking its signature says) for each."""
    found = index.ask_again(lambda catalog: catalog.signatures_of(row.alloc_id))
    if record is None or find_spec("cryptography") is None:
        return [(key, "not checked here") for _, key, _ in found]
    return [
        (key, "good" if is_signed(record, manifest, key, signature) else "wrong") for manifest, key, signature in found
    ]


def _charts(site: Site, now: Reading, row: Row, record: ResultRecord | None) -> dict[str, Chart]:
    """Lineage, and the curves of an artifact that holds some."""
    if record is None:
        return {}
    charts = {}
    try:
        key = ("lineage", row.alloc_id, now.index.revision)
        lineage = site.shared.get(key, lambda: now.index.lineage(row), max_age_s=FOREVER_S).value
        if lineage.data or lineage.code or lineage.parents or lineage.children:
            at = {"revision": now.at or None}
            charts["lineage"] = lineage_chart(
                now.index, row, lineage, lambda name: with_query(f"/results/{segment(name)}", at)
            )
        if row.state != REMOVED and any(file.path.rpartition("/")[2] == CURVES_FILE for file in record.files):
            curves = _curves(site, row)
            metrics = {name: points for task in curves.tasks for name, points in task.metrics.items()}
            for name in sorted(metrics)[:CURVES_MAX]:
                marks = [Mark(step, value) for step, value in metrics[name]]
                charts[f"curve of {name}"] = line([Series(name, marks)], x_label="step", y_label=name)
    except FedmlError:
        return charts
    return charts


def _curves(site: Site, row: Row) -> RunCurves:
    """The curves of an artifact, which never change, once they could be read."""
    return site.shared.get(
        ("curves", row.alloc_id),
        lambda: result_curves(site.app, row),
        max_age_s=lambda found: UNREAD_S if found.problems else FOREVER_S,
    ).value


ROUTES = (PageRoute("/results/{alloc_id}", view),)
