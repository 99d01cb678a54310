"""The pages of the federation and of one region: servers, room by kind of node, devices and who holds them, what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from federation.app import JobRequest
from federation.charts.bars import Bar, bars
from federation.charts.svg import Chart
from federation.check import Check
from federation.checks.clock import store_clock_check
from federation.index.rows import RunRow
from federation.ui.regions_view import region_document
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.pages import region_tables as tables
from federation.web.query import Query
from federation.web.regions import COST, RegionNow, project_diff, regions_now, staleness
from federation.web.shared import Known
from federation.web.site import Site
from federation.workflows.region_report import RegionReport, RegionsNow
from federation.workflows.region_report import regions_now as capacities_of
from federation.workflows.region_state import NodeKind, RegionState, node_kinds, runs_of
from jobs.errors import FedmlError
from regions.model import Node

PAUSE_S = 5.0
CAPACITY_AGE_S = 60.0
CAPACITY_WAIT_S = 3.0
CLOCK_AGE_S = 300.0
KINDS_SHOWN = 40
STATES = ("ready", "not ready")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which nodes are shown; empty texts take all."""

    pool: str = ""
    node_class: str = ""
    datacenter: str = ""
    state: str = ""

    def has(self, node: Node) -> bool:
        """Whether the node is shown."""
        return (
            self.pool in ("", node.node_pool)
            and self.node_class in ("", node.node_class)
            and self.datacenter in ("", node.datacenter)
            and self.state in ("", STATES[0] if node.is_ready else STATES[1])
        )


def federation(site: Site, request: Request) -> Page:
    """All regions."""
    return _page(site, request, regions_now(site), region="")


def region(site: Site, request: Request) -> Page:
    """One region."""
    name = request.path_params["region"]
    return _page(site, request, regions_now(site, [name]), region=name)


def _page(site: Site, request: Request, regions: Sequence[RegionNow], *, region: str) -> Page:
    query = Query(request)
    chosen = Filter(
        query.text("pool"), query.text("class"), query.text("datacenter"), query.choice("state", STATES)
    )  # fmt: skip
    states = [now.state for now in regions if now.state is not None]
    shown = {state.region: [node for node in state.nodes if chosen.has(node)] for state in states}
    kinds = [kind for state in states for kind in node_kinds(state, shown[state.region])]
    runs, index_problem = _runs(site, states)
    nodes = tables.nodes(request, query, states, shown, is_one=bool(region))
    diff = project_diff(site)
    about = _about(site, regions[0]) if region else None
    charts = _charts(kinds, with_region=not region)
    as_of, problem = staleness(regions)
    view = {
        "chips": _chips(states),
        "regions": tables.regions(regions, shown, diff.value if diff else None),
        "now": regions[0] if region else None,
        "about": about,
        "nodes": nodes,
        "held": tables.held(states, shown, runs, is_filtered=chosen != Filter()),
        "queue": tables.queue(states, runs, is_whole=len(states) == len(regions)),
        "stores": tables.stores(site, [now.region for now in regions], about.clocks if about else {}),
        "silent_regions": [now for now in regions if now.state is None],
        "problems": [f"region {state.region}: {text}" for state in states for text in state.unknown] + index_problem,
    }
    version = (tuple(now.version for now in regions), diff, about, tuple(sorted(runs.items())))
    return Page(
        "region.html" if region else "federation.html",
        f"Region {region}" if region else "Federation",
        view,
        section="Federation",
        crumbs=(Link("Federation", "/"),) if region else (),
        document=lambda: _document(regions, runs, about),
        table=nodes,
        charts=charts,
        command=f"fedml regions show {region}" if region else "fedml regions list",
        live=Live(version=version, pause_s=PAUSE_S, cost=COST),
        as_of=as_of,
        problem=problem,
    )


def _runs(site: Site, states: Sequence[RegionState]) -> tuple[Mapping[str, RunRow], list[str]]:
    try:
        return runs_of(site.app, states), []
    except FedmlError as error:
        return {}, [f"authors of runs: {error}"]


def _document(
    regions: Sequence[RegionNow], runs: Mapping[str, RunRow], about: About | None
) -> dict[str, object]:  # fmt: skip
    reports = []
    for now in regions:
        told = about.capacity.value if about and about.capacity else None
        capacity = told.capacities[now.name] if told else now.capacity()
        state = now.state or RegionState(now.name)
        reports.append(region_document(RegionReport(now.region, capacity, told.job if told else "", state, runs)))
    return reports[0] if about else {"regions": reports}


@dataclass(frozen=True, slots=True)
class About:
    """What only the page of one region asks for: free slots of the project's job, and the clocks of its stores."""

    capacity: Known[RegionsNow] | None
    """None before it is known, and for a region that doesn't answer."""
    clocks: Mapping[str, Check]
    """By the store's URL."""

    @property
    def free(self) -> str:
        """The free slots, for people."""
        if self.capacity is None:
            return "not known now"
        now = self.capacity.value
        (told,) = now.capacities.values()
        if told.problem is not None:
            return f"{told.problem}: {told.detail}"
        return f"{told.free_text} of {now.job}, {told.queued} queued" if now.job else "unknown without a job"


def _about(site: Site, now: RegionNow) -> About:
    stores = {datacenter.store.url: datacenter.store for datacenter in now.region.datacenters.values()}
    clocks = {}
    for url, store in stores.items():
        opened = site.app.store(store)
        known = site.shared.soon(
            ("store-clock", url),
            lambda opened=opened, url=url: store_clock_check(opened, f"store {url}"),  # type: ignore[misc]
            max_age_s=CLOCK_AGE_S,
            wait_s=CAPACITY_WAIT_S,
        )
        if known is not None:
            clocks[url] = known.value
    if now.problem is not None or now.state is None:
        return About(None, clocks)

    def read() -> RegionsNow:
        return capacities_of(site.app, JobRequest(regions=(now.name,)))

    try:
        capacity = site.shared.soon(
            ("capacity", now.name), read, max_age_s=CAPACITY_AGE_S, wait_s=CAPACITY_WAIT_S
        )  # fmt: skip
    except FedmlError:
        capacity = None
    return About(capacity, clocks)


def _chips(states: Sequence[RegionState]) -> list[tuple[str, str, list[str]]]:
    """Name in the address, label and values of each filter that has a choice."""
    nodes = [node for state in states for node in state.nodes]
    values = {
        ("pool", "pool"): {node.node_pool for node in nodes},
        ("class", "class"): {node.node_class for node in nodes},
        ("datacenter", "datacenter"): {node.datacenter for node in nodes},
        ("state", "nodes"): set(STATES),
    }
    return [
        (name, label, sorted(found - {""}, key=lambda value: (value == STATES[1], value)))
        for (name, label), found in values.items()
        if len(found) > 1
    ]


def _charts(kinds: Sequence[NodeKind], *, with_region: bool) -> dict[str, Chart]:
    """Processor, memory and devices: used of what there is."""

    def label(kind: NodeKind) -> str:
        return f"{kind.region} · {kind.name}" if with_region else kind.name

    cpu = [Bar(label(kind), kind.used.cpu_mhz / 1000, kind.total.cpu_mhz / 1000, "GHz") for kind in kinds]
    memory = [
        Bar(label(kind), round(kind.used.memory_mb / 1024, 1), round(kind.total.memory_mb / 1024, 1), "GiB")
        for kind in kinds
    ]
    devices = [
        Bar(
            f"{model.split('/', 2)[-1]} · {label(kind)}",
            used,
            total,
            title=f"{model} · {label(kind)}: {used} of {total}",
        )
        for kind in kinds
        for model, (used, total) in kind.devices.items()
    ]
    charts = {
        "processor": bars(cpu, label="Processor in use", limit=KINDS_SHOWN),
        "memory": bars(memory, label="Memory in use", limit=KINDS_SHOWN),
    }
    return charts | ({"devices": bars(devices, label="Devices in use", limit=KINDS_SHOWN)} if devices else {})


ROUTES = (PageRoute("/", federation), PageRoute("/regions/{region}", region))
