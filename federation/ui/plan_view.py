"""A Preview enters, what a person (or `--json`) reads of it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

from federation.app import Preview
from federation.config import Config
from federation.ui.console import out, table
from jobs.errors import FedmlError
from jobs.hcl import newer_fields

CHANGES = {"Added": "register", "Edited": "update", "None": "none", "": "?"}


def show_plan(preview: Preview, config: Config) -> None:
    """Print the plan: one line a region, then why."""
    console = out()
    plan, shape = preview.plan, preview.prepared.shape
    console.print(
        f"[bold]{escape(shape.id)}[/] version [bold]{escape(preview.version)}[/]: {plan.slots} slots, "
        f"{shape.keys_a_slot} result{'s' if shape.keys_a_slot != 1 else ''} a slot, "
        f"spec {preview.prepared.spec_hash[:12]}"
    )
    if preview.existing_results:
        console.print(
            f"Version {escape(preview.version)} has {preview.existing_results} results: these would be added to it."
        )
    placed = {placement.region: placement for placement in plan.placements}
    rows = []
    for name, one in preview.snapshot.regions.items():
        place = placed.get(name)
        stores = {datacenter.store.url for datacenter in config.regions[name].datacenters.values()}
        free = f"~{one.free}" if one.exactness != "exact" else str(one.free)
        rows.append(
            (
                name,
                one.version or "-",
                one.nodes,
                "-" if one.problem else free,
                one.queued,
                place.now if place else 0,
                place.later if place else 0,
                place.waves if place else "-",
                "-" if one.problem else CHANGES[one.change],
                ", ".join(sorted(stores)),
            )
        )
    columns = ("region", "nomad", "nodes", "free", "queued", "now", "later", "waves", "job", "results go to")
    console.print(table(columns, rows, numbers=("nodes", "free", "queued", "now", "later", "waves")))
    for line in why(preview):
        console.print(f"  {escape(line)}")
    for name, one in preview.snapshot.regions.items():
        if one.change == "Edited" and one.diff:
            console.print(f"\n[bold]{escape(name)}[/]: the registered job would change")
            for line in diff_lines(one.diff):
                console.print(f"  {escape(line)}")


def why(preview: Preview) -> list[str]:
    """Every exclusion, overflow and unplaced slot, with its reason."""
    lines = list(preview.plan.why)
    lines.extend(
        f"{room.region}: left out, {room.excluded}{f': {room.detail}' if room.detail else ''}"
        for room in preview.plan.excluded
    )
    lines.extend(
        f"{name}: {one.detail}" for name, one in preview.snapshot.regions.items() if one.detail and not one.problem
    )
    lines.extend(
        f"{one.slots} slot{'s have' if one.slots != 1 else ' has'} no place: {one.reason}"
        for one in preview.plan.unplaced
    )
    for name, version in ((name, one.version) for name, one in preview.snapshot.regions.items()):
        rendered = preview.prepared.rendered[name]
        newer = newer_fields(rendered, version) if version and not isinstance(rendered, FedmlError) else []
        lines.extend(f"{name}: Nomad {version} ignores {field.path} (since {field.since})" for field in newer)
    return lines


def plan_document(preview: Preview, config: Config) -> dict[str, Any]:
    """The plan as `--json` prints it (docs/reference/json.md)."""
    placed = {placement.region: placement for placement in preview.plan.placements}
    return {
        "job": preview.prepared.shape.id,
        "version": preview.version,
        "existing_results": preview.existing_results,
        "spec_hash": preview.prepared.spec_hash,
        "slots": preview.plan.slots,
        "results_a_slot": preview.prepared.shape.keys_a_slot,
        "policy": preview.plan.policy,
        "is_complete": preview.plan.is_complete,
        "regions": [
            {
                "region": name,
                "nomad_version": one.version,
                "nodes": one.nodes,
                "free_slots": one.free,
                "queued_slots": one.queued,
                "exactness": one.exactness,
                "now": placed[name].now if name in placed else 0,
                "later": placed[name].later if name in placed else 0,
                "waves": placed[name].waves if name in placed else 0,
                "job_change": one.change,
                "problem": str(one.problem) if one.problem else None,
                "detail": one.detail,
                "stores": {dc: place.store.url for dc, place in config.regions[name].datacenters.items()},
            }
            for name, one in preview.snapshot.regions.items()
        ],
        "unplaced": [
            {"slots": one.slots, "reason": str(one.reason), "detail": one.detail} for one in preview.plan.unplaced
        ],
        "why": why(preview),
    }


SIGNS = {"Added": "+", "Deleted": "-", "Edited": "+/-", "None": " "}


def diff_lines(diff: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nomad's job diff as lines: what is added (+), deleted (-) and edited (+/-)."""
    for field in diff.get("Fields") or []:
        if field["Type"] != "None":
            yield f"{indent}{SIGNS[field['Type']]} {field['Name']}: {_short(field.get('Old'))} => {_short(field.get('New'))}"
    for kind, label in (("Objects", ""), ("TaskGroups", "group "), ("Tasks", "task ")):
        for inner in diff.get(kind) or []:
            if inner.get("Type") not in (None, "None"):
                yield f"{indent}{SIGNS[inner['Type']]} {label}{inner.get('Name', '')} {{"
                yield from diff_lines(inner, indent + "  ")
                yield f"{indent}}}"


def _short(value: object) -> str:
    text = repr(value) if value else '""'
    return text if len(text) <= 60 else f"{text[:57]}…"
