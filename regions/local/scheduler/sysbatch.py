"""A sysbatch job and its allocations enter; what stays, stops or is placed on each node that can run it leaves."""

from __future__ import annotations

from collections.abc import Iterator

from regions.local.scheduler.placement import Chosen, GroupPlacer, Room, coalesce
from regions.local.scheduler.properties import Hosts
from regions.local.scheduler.reconcile import (
    LOST,
    NOT_NEEDED,
    TAINTED,
    UPDATING,
    Decision,
    desired_updates,
    index_of,
    is_lost,
    needs_restart,
    stopped,
)
from regions.local.state.snapshot import Record, Snapshot, is_terminal

Slot = tuple[Record, int, Record | None]
"""(node, index, predecessor there)"""


def missing_on_nodes(
    state: Snapshot, job: Record, group: Record, allocs: list[Record], nodes: list[Record], decision: Decision
) -> list[Slot]:
    """The instances of a group that have to be placed: on every node that has none yet; the rest goes to the
    decision. One that ended on a node isn't run again there until the job changes."""
    updates = decision.updates[group["Name"]] = desired_updates()
    ready = {node["ID"]: node for node in nodes}
    latest: dict[tuple[str, int], Record] = {}
    missing: list[Slot] = []
    for alloc in sorted(allocs, key=lambda one: (not is_terminal(one), one["CreateIndex"])):
        if alloc["TaskGroup"] == group["Name"]:
            latest[alloc["NodeID"], index_of(alloc)] = alloc
    for (node_id, index), alloc in latest.items():
        is_over, is_wanted = is_terminal(alloc), node_id in ready and index < group["Count"]
        is_current = alloc["Job"]["JobModifyIndex"] == job["JobModifyIndex"]
        if is_over and (is_current or not is_wanted):
            updates["Ignore"] += 1
        elif not is_over and index < group["Count"] and (alloc.get("DesiredTransition") or {}).get("Migrate"):
            updates["Migrate"] += 1
            decision.stops.append(stopped(alloc, TAINTED))
        elif not is_over and is_lost(state, alloc):
            decision.stops.append({**stopped(alloc, LOST), "ClientStatus": "lost"})
        elif not is_wanted:
            node = state.nodes.get(node_id)
            is_waiting = index < group["Count"] and node["SchedulingEligibility"] == "ineligible"
            updates["Ignore" if is_waiting else "Stop"] += 1
            if not is_waiting:
                decision.stops.append(stopped(alloc, NOT_NEEDED))
        elif is_current:
            updates["Ignore"] += 1
        elif needs_restart(alloc["Job"], job, group):
            updates["DestructiveUpdate"] += 1
            decision.stops.append(stopped(alloc, UPDATING))
            missing.append((ready[node_id], index, alloc))
        else:
            updates["InPlaceUpdate"] += 1
            if not is_over:
                decision.changed.append({**alloc, "Job": job})
    fresh = [
        (node, index, None) for node in nodes for index in range(group["Count"]) if (node["ID"], index) not in latest
    ]
    updates["Place"] += len(fresh)
    return [*missing, *fresh]


def place_on_nodes(
    state: Snapshot, job: Record, group: Record, slots: list[Slot], room: Room, decision: Decision, seed: int
) -> Iterator[tuple[int, Record | None, Chosen]]:
    """(index, predecessor, where) of what finds room on its node. Nodes that can't run the group at all are no
    failure, unless all are so."""
    able, placed, name = len(slots), 0, group["Name"]
    filtered: Record | None = None
    for node, index, previous in slots:
        placer = GroupPlacer(job, group, [node], room, Hosts(state.nodes), {}, seed=seed)
        decision.classes |= placer.class_eligibility()
        decision.has_escaped |= placer.filter.has_escaped
        chosen = placer.place()
        if chosen is not None:
            placed += 1
            yield index, previous, chosen
            continue
        failure = placer.failure()
        if failure["NodesFiltered"]:
            able -= 1
            decision.updates[name]["Place"] -= 1
            filtered = _merged(filtered, failure)
            if not able:
                decision.failed[name] = filtered
        elif name in decision.failed:
            coalesce(decision.failed[name], group, 1)
        else:
            decision.failed[name] = failure
    decision.queued[name] = able - placed


def _merged(before: Record | None, more: Record) -> Record:
    """The counters of several filtered nodes as one."""
    merged = {**more, "NodesAvailable": None, "NodesInPool": 0}
    if before is None:
        return merged
    for name in ("NodesEvaluated", "NodesFiltered"):
        merged[name] += before[name]
    for name in ("ClassFiltered", "ConstraintFiltered"):
        counts = dict(before[name] or {})
        for reason, number in (more[name] or {}).items():
            counts[reason] = counts.get(reason, 0) + number
        merged[name] = counts or None
    return merged
