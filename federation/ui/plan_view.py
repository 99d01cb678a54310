"""Prints a Preview: the plan, the reasons, one slot. Builds its `--json` document (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from federation.config.model import Config
from federation.plan import Placement, Room, expected_place
from federation.text import counted, in_words
from federation.ui.console import out, table
from federation.ui.diff_lines import diff_lines
from federation.workflows.plan import Preview

CHANGES = {"Added": "register", "Edited": "update", "None": "none", "": "?"}
OPTIONAL = ("starting", "finish", "price", "cost")
"""Columns that are left out when no region has a value."""
DISPENSABLE = ("nomad", "waves", "cost", "queued", "nodes", "later")
"""Columns that are left out on a narrow terminal, the first ones first."""
STORES = "results go to"
"""This column stands below the table where there is no room for its URLs."""
COLUMN_GAP = 3
NUMBERS = ("nodes", "free", "queued", "now", "starting", "later", "waves", "finish", "price", "cost")


def show_plan(preview: Preview, config: Config) -> None:
    """Prints the plan: one line for each region, then the reasons."""
    console = out()
    plan, shape = preview.plan, preview.prepared.shape
    console.print_line(
        (shape.id, "bold"),
        " version ",
        (preview.version, "bold"),
        f": {counted(plan.slots, 'slot')}, {counted(shape.keys_a_slot, 'result')} a slot, "
        f"spec {preview.prepared.spec_hash[:12]}",
    )
    if preview.existing_results:
        had = counted(preview.existing_results, "result")
        console.print_line(f"Version {preview.version} has {had}. These would be added to it.")
    if preview.spec_warning:
        console.print_line(preview.spec_warning)
    rows = list(plan_rows(preview, config))
    columns = plan_columns(rows, console.width)
    console.print(
        table(columns, [[row[name] for name in columns] for row in rows], numbers=[n for n in NUMBERS if n in columns])
    )
    if STORES not in columns:
        for row in rows:
            console.print_line(f"  {row['region']}: results go to {row[STORES]}", soft_wrap=True)
    for line in why(preview):
        console.print_line(f"  {line}", soft_wrap=True)
    for name, region in preview.snapshot.regions.items():
        if region.change == "Edited" and region.diff:
            console.print()
            console.print_line((name, "bold"), ": the registered job would change")
            for line in diff_lines(region.diff):
                console.print_line(f"  {line}")


def plan_columns(rows: Sequence[Mapping[str, object]], width: int) -> list[str]:
    """The columns that have values, as many as there is room for. No URL of a store is folded."""
    columns = [name for name in rows[0] if name not in OPTIONAL or any(row[name] not in ("", 0) for row in rows)]
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) + COLUMN_GAP for name in columns}
    for name in (STORES, *DISPENSABLE):
        if sum(widths.values()) - COLUMN_GAP > width and name in widths:
            columns.remove(name)
            del widths[name]
    return columns


def plan_rows(preview: Preview, config: Config) -> Iterator[dict[str, object]]:
    placed = {placement.region: placement for placement in preview.plan.placements}
    rooms = {room.region: room for room in preview.rooms}
    for name, region in preview.snapshot.regions.items():
        place, room = placed.get(name), rooms.get(name)
        stores = {datacenter.store.url for datacenter in config.regions[name].datacenters.values()}
        yield {
            "region": name,
            "nomad": region.version or "-",
            "nodes": region.nodes,
            "free": "-" if region.problem else region.free_text,
            "queued": region.queued,
            "now": place.now if place else 0,
            "starting": place.starting if place else 0,
            "later": place.later if place else 0,
            "waves": place.waves if place else "-",
            "finish": in_words(place.finish_s) if place and place.finish_s is not None else "",
            "price": f"{room.price_per_hour:g}" if room and room.price_per_hour is not None else "",
            "cost": f"{place.cost:.2f}" if place and place.cost is not None else "",
            "job": "-" if region.problem else CHANGES["None" if preview.prepared.is_registered else region.change],
            STORES: ", ".join(sorted(stores)),
        }


def why(preview: Preview) -> list[str]:
    """The reasons of the plan: regions left out, slots that wait, slots without a place, totals."""
    plan = preview.plan
    lines = list(plan.why)
    lines.extend(
        f"{room.region}: left out, {room.excluded}{f': {room.detail}' if room.detail else ''}" for room in plan.excluded
    )
    lines.extend(
        f"{name}: {region.detail}"
        for name, region in preview.snapshot.regions.items()
        if region.detail and not region.problem
    )
    lines.extend(
        f"{counted(unplaced.slots, 'slot')} {'has' if unplaced.slots == 1 else 'have'} no place: {unplaced.reason}"
        for unplaced in plan.unplaced
    )
    lines.extend(f"{region}: {warning}" for region, warning in preview.warnings())
    total = [f"done in about {in_words(plan.finish_s)}"] if plan.finish_s is not None else []
    total += [f"cost about {plan.cost:.2f}"] if plan.cost else []
    lines.extend([", ".join(total)] if total else [])
    lines.extend(f"PROBLEM: {problem}" for problem in plan.problems)
    return lines


def explain(preview: Preview, slot: int) -> list[str]:
    """Explains one slot: its parameters, its expected region, and what the other regions have free."""
    request, plan = preview.request, preview.plan
    assert request is not None
    asks = request.asks
    inputs = asks.inputs({})
    lines = [f"slot {slot} of {counted(plan.slots, 'slot')}"]
    parameters = inputs.parameters(slot)
    if parameters:
        lines.append(f"  parameters: {', '.join(f'{name}={value}' for name, value in inputs(slot)[0].items())}")
    if asks.payloads:
        lines.append(f"  payload: {asks.payloads[inputs.payload_of(slot)].name}")
    place = expected_place(plan, slot)
    if place is None:
        lines.append("  it has no place: " + "; ".join(f"{part.reason} ({part.detail})" for part in plan.unplaced))
        return lines
    region, when = place
    lines.append(
        {
            "now": f"  {region}, at once",
            "starting": f"  {region}, at once, beyond its free slots, so that its autoscaler adds nodes",
            "later": f"  waits, expected in {region}. It is bound to the region that has room first.",
        }[when]
    )
    placed = {placement.region: placement for placement in plan.placements}
    lines += [f"  {room.region}: {_verdict(room, placed.get(room.region))}" for room in preview.rooms]
    lines.append(f"  a retry may go to: {', '.join(preview.usable)}")
    return lines


def _verdict(room: Room, placement: Placement | None) -> str:
    if room.excluded is not None:
        return f"left out, {room.excluded}{f' ({room.detail})' if room.detail else ''}"
    parts = [f"{room.free} free"]
    parts += [f"weight {room.weight:g}"] if room.weight != 1 else []
    parts += [f"price {room.price_per_hour:g} an hour"] if room.price_per_hour is not None else []
    parts += [f"a slot takes about {in_words(room.expected_duration_s)}"] if room.expected_duration_s else []
    parts += [f"minimum {room.minimum}"] if room.minimum else []
    parts += [f"cap {room.cap}"] if room.cap is not None else []
    got = placement.slots if placement else 0
    return f"{', '.join(parts)}: it gets {got}"


def plan_document(preview: Preview, config: Config) -> dict[str, Any]:
    """The `--json` document of the plan."""
    placed = {placement.region: placement for placement in preview.plan.placements}
    rooms = {room.region: room for room in preview.rooms}
    return {
        "job": preview.prepared.shape.id,
        "version": preview.version,
        "existing_results": preview.existing_results,
        "other_specs": list(preview.other_specs),
        "spec_hash": preview.prepared.spec_hash,
        "slots": preview.plan.slots,
        "results_a_slot": preview.prepared.shape.keys_a_slot,
        "policy": preview.plan.policy,
        "is_complete": preview.plan.is_complete,
        "finish_s": preview.plan.finish_s,
        "cost": preview.plan.cost,
        "problems": list(preview.plan.problems),
        "regions": [
            {
                "region": name,
                "nomad_version": region.version,
                "nodes": region.nodes,
                "free_slots": region.free,
                "queued_slots": region.queued,
                "exactness": region.exactness,
                "now": placed[name].now if name in placed else 0,
                "starting": placed[name].starting if name in placed else 0,
                "later": placed[name].later if name in placed else 0,
                "waves": placed[name].waves if name in placed else 0,
                "finish_s": placed[name].finish_s if name in placed else None,
                "price_per_hour": rooms[name].price_per_hour if name in rooms else None,
                "job_change": region.change,
                "job_modify_index": region.job_modify_index,
                "problem": str(region.problem) if region.problem else None,
                "detail": region.detail,
                "stores": {dc: place.store.url for dc, place in config.regions[name].datacenters.items()},
            }
            for name, region in preview.snapshot.regions.items()
        ],
        "unplaced": [
            {"slots": part.slots, "reason": str(part.reason), "detail": part.detail} for part in preview.plan.unplaced
        ],
        "why": why(preview),
    }
