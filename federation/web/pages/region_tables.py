"""Tables of regions, nodes, devices, queues and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from federation.check import Check
from federation.deploy.job_diff import JobDiff
from federation.index.rows import RunRow
from federation.index.short_ids import short_runs
from federation.web.markup import ID_CHARS
from federation.web.query import Query, changed
from federation.web.regions import RegionNow
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table, part_after
from federation.web.templates import segment
from federation.workflows.region_state import LiveJob, NodeKind, RegionState, node_kinds, queue_groups
from regions.model import Node, Region
from regions.nomad.resources import Resources

ROWS = 100
CHANGES = {"None": "same", "Added": "missing", "Edited": "differs", "": "registered"}
"""What deploying the file would change, as the state of a registered job."""
REGION_COLUMNS = (
    Column("region"),
    Column("state", "state"),
    Column("Nomad"),
    Column("nodes", "number", title="ready of all"),
    Column("processor", "number", title="in use, of what ready nodes have"),
    Column("memory", "number", title="in use, of what ready nodes have"),
    Column("devices", "number", title="in use, of what ready nodes have"),
    Column("waiting", "number", title="jobs that wait for room"),
    Column("job", title="the project's job as it is registered, against its file"),
    Column("clock", title="against this machine's"),
    Column("answers at"),
    Column("as of", "time", title="when it answered last; empty where that is now"),
)
NODE_COLUMNS = (
    Column("node", sort="node"),
    Column("region"),
    Column("datacenter", sort="datacenter"),
    Column("pool", sort="pool"),
    Column("class", sort="class"),
    Column("state", "state", sort="state"),
    Column("processor", "number", sort="cpu", title="in use; sorts by what is free"),
    Column("memory", "number", sort="memory", title="in use; sorts by what is free"),
    Column("devices", sort="devices", title="in use; sorts by how many are free"),
)
HELD_COLUMNS = (
    Column("device"),
    Column("number", "number"),
    Column("node"),
    Column("region"),
    Column("allocation", "id"),
    Column("job"),
    Column("run", "id"),
    Column("author"),
    Column("which", title="as the node names them"),
)
QUEUE_COLUMNS = (
    Column("job"),
    Column("region"),
    Column("jobs", "number"),
    Column("since", "time"),
    Column("run", "id"),
    Column("author"),
    Column("namespace"),
)
STORE_COLUMNS = (Column("region"), Column("datacenter"), Column("store", "code"), Column("clock"))


def regions(
    regions: Sequence[RegionNow], shown: Mapping[str, Sequence[Node]], diff: JobDiff | None
) -> Table:  # fmt: skip
    """One row for each region. Its sums are those of the nodes that are shown."""
    jobs = {one.region: one for one in diff.regions} if diff else {}
    rows = []
    for now in regions:
        state = now.state or RegionState(now.name)
        kinds = node_kinds(state, shown.get(now.name, ()))
        job = jobs.get(now.name)
        against = "" if job is None else "unknown" if job.problem else CHANGES[job.change]
        cells = (
            Cell(now.name),
            Cell(now.status, state={"asked": "waiting"}.get(now.status, now.status), title=str(now.problem or "")),
            Cell(state.version),
            *_sums(kinds),
            Cell(f"{len(state.queue):,}" if now.state else "", len(state.queue)),
            Cell(against, href="/jobs" if against else ""),
            Cell(state.clock.detail if state.leader else ""),
            Cell(state.address),
            Cell(_iso(now.at) if now.problem and now.at else "", now.at or ""),
        )
        rows.append(Row(now.name, cells, href=f"/regions/{segment(now.name)}"))
    return Table(REGION_COLUMNS, rows, name="regions")


def _sums(kinds: Sequence[NodeKind]) -> list[Cell]:
    if not kinds:
        return [Cell("")] * 4
    used = sum((kind.used for kind in kinds), Resources())
    total = sum((kind.total for kind in kinds), Resources())
    held = [numbers for kind in kinds for numbers in kind.devices.values()]
    taken, there = sum(one[0] for one in held), sum(one[1] for one in held)
    ready, nodes = sum(kind.ready for kind in kinds), sum(kind.nodes for kind in kinds)
    return [
        Cell(f"{ready:,} of {nodes:,}", ready),
        Cell(_ghz(used.cpu_mhz, total.cpu_mhz), used.cpu_mhz),
        Cell(_gib(used.memory_mb, total.memory_mb), used.memory_mb),
        Cell(f"{taken} of {there}" if there else "none", taken),
    ]


def nodes(
    request: Request,
    query: Query,
    states: Sequence[RegionState],
    shown: Mapping[str, Sequence[Node]],
    *,
    is_one: bool,
) -> Table:
    """The nodes that are shown, a page of them."""
    sort = query.text("sort")
    found = [(state, node) for state in states for node in sorted(shown[state.region], key=lambda node: node.name)]
    held = {state.region: state.used_devices for state in states}

    def free(state: RegionState, node: Node) -> Resources:
        return Resources(node.cpu_mhz, node.memory_mb) - state.used.get(node.id, Resources())

    def devices(state: RegionState, node: Node) -> int:
        return sum(node.devices.values()) - sum(held[state.region].get(node.id, {}).values())

    orders = {
        "node": lambda one: one[1].name,
        "datacenter": lambda one: one[1].datacenter,
        "pool": lambda one: one[1].node_pool,
        "class": lambda one: one[1].node_class,
        "state": lambda one: one[1].is_ready,
        "cpu": lambda one: free(*one).cpu_mhz,
        "memory": lambda one: free(*one).memory_mb,
        "devices": lambda one: devices(*one),
    }
    name, _, direction = query.choice("sort", [f"{one}{way}" for one in orders for way in ("", ":desc")]).partition(":")
    found.sort(key=orders.get(name, lambda one: 0), reverse=direction == "desc")
    part, last = part_after(found, lambda one: one[1].id, query.text("after"), ROWS)
    more = changed(request, {"after": last}) if last else ""
    rows = [_node(state, node, held[state.region].get(node.id, {})) for state, node in part]
    empty = "No node answers to these filters." if any(state.nodes for state in states) else "No nodes are known."
    columns: Sequence[Column] = NODE_COLUMNS
    if is_one:
        columns = tuple(column for column in columns if column.name != "region")
        rows = [Row(row.key, (row.cells[0], *row.cells[2:])) for row in rows]
    return Table(columns, rows, len(found), sort, more, name="nodes", empty=empty, empty_command="fedml doctor")


def _node(state: RegionState, node: Node, held: Mapping[str, int]) -> Row:
    used = state.used.get(node.id, Resources())
    devices = ", ".join(
        f"{model}: {held.get(model, 0)} of {total}" for model, total in sorted(node.devices.items())
    )  # fmt: skip
    return Row(
        node.id,
        (
            Cell(node.name, title=node.id),
            Cell(state.region, href=f"/regions/{segment(state.region)}"),
            Cell(node.datacenter),
            Cell(node.node_pool),
            Cell(node.node_class),
            Cell("ready", state="ready") if node.is_ready else Cell("not ready", state="lost"),
            Cell(_ghz(used.cpu_mhz, node.cpu_mhz), used.cpu_mhz),
            Cell(_gib(used.memory_mb, node.memory_mb), used.memory_mb),
            Cell(devices),
        ),
    )


def held(
    states: Sequence[RegionState],
    shown: Mapping[str, Sequence[Node]],
    runs: Mapping[str, RunRow],
    *,
    is_filtered: bool,
) -> Table:
    """Which allocation holds which devices, on the nodes that are shown."""
    rows: list[Row] = []
    total = 0
    for state in states:
        names = {node.id: node.name for node in shown[state.region]}
        for number, one in enumerate(state.held):
            if is_filtered and one.node_id not in names:
                continue
            total += 1
            if len(rows) < ROWS:
                job = state.jobs.get((one.namespace, one.job_id))
                cells = (
                    Cell(one.model),
                    Cell(str(len(one.ids)), len(one.ids)),
                    Cell(names.get(one.node_id, one.node_id)),
                    Cell(state.region),
                    Cell(one.alloc_id[:ID_CHARS], one.alloc_id, href=_attempt(job)),
                    Cell((job and job.parent) or one.job_id),
                    *_run(job.run if job else "", runs),
                    Cell(", ".join(sorted(one.ids))),
                )
                rows.append(Row(f"{one.alloc_id}-{number}", cells))
    return Table(HELD_COLUMNS, rows, total, name="devices", empty="No allocation holds a device.")


def queue(states: Sequence[RegionState], runs: Mapping[str, RunRow], *, is_whole: bool) -> Table:
    """What waits for room, and whose it is. `is_whole`: every region has answered."""
    groups = [group for state in states for group in queue_groups(state)]
    groups.sort(key=lambda group: group.since_s)
    rows = [
        Row(
            f"{group.region}-{group.namespace}-{group.job}-{group.run}",
            (
                Cell(group.job),
                Cell(group.region, href=f"/regions/{segment(group.region)}"),
                Cell(f"{group.number:,}", group.number),
                Cell(_iso(group.since_s), group.since_s),
                *_run(group.run, runs),
                Cell(group.namespace),
            ),
        )
        for group in groups[:ROWS]
    ]
    empty = f"Nothing waits for room{'' if is_whole else ' in the regions that answered'}."
    return Table(QUEUE_COLUMNS, rows, len(groups), name="waiting", empty=empty)


def stores(site: Site, regions: Sequence[Region], clocks: Mapping[str, Check]) -> Table:
    """The store of each datacenter."""
    rows = [
        Row(
            f"{region.name}-{name}",
            (
                Cell(region.name),
                Cell(name),
                Cell(datacenter.store.url),
                Cell(clocks[datacenter.store.url].detail if datacenter.store.url in clocks else ""),
            ),
        )
        for region in regions
        for name, datacenter in region.datacenters.items()
    ]
    columns = STORE_COLUMNS if clocks else STORE_COLUMNS[:3]
    return Table(columns, [Row(row.key, row.cells[: len(columns)]) for row in rows], name="stores")


def _run(run: str, runs: Mapping[str, RunRow]) -> tuple[Cell, Cell]:
    href = f"/runs/{segment(run)}" if run in runs else ""
    return Cell(short_runs((run,), runs)[run], run, href=href), Cell(runs[run].author if run in runs else "")


def _attempt(job: LiveJob | None) -> str:
    if job is None or not (job.run and job.slot and job.attempt):
        return ""
    return f"/runs/{segment(job.run)}/slots/{job.slot}/{job.attempt}"


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="seconds")


def _ghz(used_mhz: int, total_mhz: int) -> str:
    return f"{used_mhz / 1000:,.1f} of {total_mhz / 1000:,.1f} GHz"


def _gib(used_mb: int, total_mb: int) -> str:
    return f"{used_mb / 1024:,.1f} of {total_mb / 1024:,.1f} GiB"
