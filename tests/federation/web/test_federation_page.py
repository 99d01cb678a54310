"""The pages of the federation and of a region: what they show, filter, count and ask for."""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.requests import Request

from federation.app import App, JobRequest
from federation.config.load import load
from federation.errors import UsageError
from federation.output.json_document import versioned
from federation.text import counted
from federation.ui.regions_view import region_document
from federation.web import regions as reading
from federation.web.site import Site
from federation.workflows import region_state
from federation.workflows.region_report import regions_now, report
from regions.errors import RegionUnreachable
from regions.model import HeldDevices
from regions.nomad.resources import Resources
from tests.federation.plan.planning import FakeApp, FakeRegion, node
from tests.federation.web.asking import Answer, Browser

RUN = "01900000-0000-7000-8000-000000000001"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
PATIENCE_S = 60.0


def waiting(number: int, **changes: object) -> dict[str, object]:
    """A child of a run that waits for room."""
    meta = {"fedml_run": RUN, "fedml_slot": str(number), "fedml_attempt": "1"}
    return {
        "ID": f"train/dispatch-{number}",
        "ParentID": "train",
        "Namespace": "default",
        "Status": "pending",
        "SubmitTime": 1_700_000_000_000_000_000,
        "Meta": meta,
        **changes,
    }


def federation(root: Path) -> FakeApp:
    """Region us has devices, one of which a running child holds, and two children that wait."""
    us = FakeRegion(
        "us",
        8,
        node_list=[
            node(),
            node(id="2", name="n2", node_pool="gpu", node_class="a100", memory_mb=4096, devices={"nvidia/gpu/A100": 4}),
            node(id="3", name="n3", node_pool="gpu", is_ready=False, devices={"nvidia/gpu/A100": 4}),
        ],
        held=[HeldDevices("2", "a-b-c-d-e", "train/dispatch-9", "default", "nvidia/gpu/A100", ("GPU-1", "GPU-2"))],
        live_jobs=[waiting(1), waiting(2), waiting(9, Status="running")],
    )
    app = FakeApp(root, us, FakeRegion("eu", 4))
    app.index.open_run(RUN, "train", "1", "5ec", 4, 4)
    return app


def alone(root: Path, region: FakeRegion) -> FakeApp:
    """The region us, and eu without a node."""
    return FakeApp(root, region, FakeRegion("eu", node_list=[]))


@pytest.fixture
def app(tmp_path: Path) -> FakeApp:
    return federation(tmp_path)


@pytest.fixture
def browser(app: FakeApp) -> Browser:
    return Browser(app.app)


def rows(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer.text
    return list(csv.DictReader(answer.text.splitlines()))


def test_the_page_shows_room_devices_and_whose_jobs_wait(browser: Browser, app: FakeApp) -> None:
    html = browser.get("/").text
    assert "2 of 4" in html
    assert "A100 · us · dc1 · gpu · a100" in html
    assert "GPU-1, GPU-2" in html
    assert f'href="/runs/{RUN}/slots/9/1"' in html
    assert 'k-number">2</td>' in html  # children that wait
    assert app.index.runs()[0].author in html
    assert "0.2 of 2.0 GHz" in html  # of ready nodes
    assert "file://" in html


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["n1", "n2", "n3", "n1"]),
        ("pool=gpu", ["n2", "n3"]),
        ("pool=gpu&state=ready", ["n2"]),
        ("class=a100", ["n2"]),
        ("state=not+ready", ["n3"]),
        ("datacenter=mars", []),
        ("sort=memory:desc", ["n2", "n3", "n1", "n1"]),
        ("sort=devices:desc&state=ready&pool=gpu", ["n2"]),
    ],
)
def test_filters_and_orders_are_those_of_the_address(browser: Browser, query: str, names: list[str]) -> None:
    found = [row["node"] for row in rows(browser.get(f"/?format=csv&{query}"))]
    assert found == names
    assert f"{len(names)} of {counted(len(names), 'node')}" in (html := browser.get(f"/?{query}").text) or not names
    assert ("No node answers to these filters" in html) == (not names)


@pytest.mark.parametrize("query", ["state=gone", "sort=size", "sort=node:up"])
def test_an_address_that_cannot_be_meant_is_refused(browser: Browser, query: str) -> None:
    assert browser.get(f"/?{query}").status == 400


def test_nodes_come_in_pages_by_their_key(tmp_path: Path) -> None:
    many = [node(id=f"id-{number:03}", name=f"n{number:03}") for number in range(250)]
    browser = Browser(alone(tmp_path, FakeRegion("us", node_list=many)).app)
    html = browser.get("/").text
    assert "100 of 250 nodes" in html
    assert "after=id-099" in html
    assert len(html) < 200_000
    assert [row["node"] for row in rows(browser.get("/?format=csv&after=id-199"))] == [f"n{n}" for n in range(200, 250)]
    assert "further ones" not in browser.get("/?after=id-199").text


def test_the_json_of_a_region_is_that_of_the_command(browser: Browser, app: FakeApp) -> None:
    told = region_document(report(app.app, regions_now(app.app, JobRequest(regions=("us",))), "us"))
    document = browser.get("/regions/us?format=json").json
    volatile = {"answered_in_s": 0, "clock_ahead_s": 0}
    assert document | volatile == versioned(told) | volatile
    assert document["free_slots"] == 8
    (us, eu) = browser.get("/?format=json").json["regions"]
    assert us | volatile == told | volatile | {
        "free_slots": None, "queued_slots": None, "exactness": "not_asked", "job": "", "nodes": 2
    }  # fmt: skip
    assert eu["region"] == "eu"


def test_an_unknown_region_names_those_that_there_are(browser: Browser) -> None:
    answer = browser.get("/regions/eux")
    assert answer.status == 404
    assert "did you mean &#39;eu&#39;?" in answer.text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    region = FakeRegion(
        "us",
        node_list=[
            node(id=HOSTILE, name=HOSTILE, node_pool=HOSTILE, node_class=HOSTILE, devices={f"{HOSTILE}/{HOSTILE}/x": 2})
        ],
        held=[HeldDevices(HOSTILE, HOSTILE, HOSTILE, HOSTILE, f"{HOSTILE}/{HOSTILE}/x", (HOSTILE,))],
        live_jobs=[
            waiting(1, ID=HOSTILE, ParentID=HOSTILE, Namespace=HOSTILE, SubmitTime=1 << 90),
            waiting(2, Meta={"fedml_run": HOSTILE, "fedml_slot": "9" * 5_000, "fedml_attempt": "../x"}),
        ],
        nomad=HOSTILE,
    )
    browser = Browser(alone(tmp_path, region).app)
    for address in ("/", "/regions/us", "/?format=json", "/?format=svg&chart=devices", "/jobs"):
        answer = browser.get(address)
        assert answer.status == 200, answer.text
        if "json" not in address:
            assert "<img" not in answer.text
            assert "\u202e" not in answer.text
    assert browser.get("/?format=json").json["regions"][0]["queue"][0]["slot"] is None


def test_a_region_without_nodes_names_the_next_command(tmp_path: Path) -> None:
    html = Browser(alone(tmp_path, FakeRegion("us", node_list=[])).app).get("/").text
    assert "No nodes are known." in html
    assert '<code data-copy="fedml doctor">' in html


def test_many_viewers_cost_a_region_what_one_costs(browser: Browser, app: FakeApp) -> None:
    browser.get("/")
    asked = app.regions["us"].questions
    for address in ("/", "/?pool=gpu", "/?format=json", "/?format=csv", "/"):
        browser.get(address)
    assert app.regions["us"].questions == asked


def test_a_region_that_fell_silent_is_shown_as_it_last_was(browser: Browser, app: FakeApp) -> None:
    browser.get("/")
    app.regions["us"].is_silent = True
    browser.site.shared.renew(("region", "us"))
    html = browser.get("/").text
    assert "unreachable" in html
    assert "Shown as of" in html
    assert "n2" in html
    document = browser.get("/?format=json").json["regions"]
    assert [one["problem"] for one in document] == ["unreachable", None]


@contextmanager
def silent_server() -> Iterator[tuple[int, Callable[[], int]]]:
    """A server that accepts and never answers: its port, and how many have connected."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], lambda: len(held)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)
            for one in held:
                one.close()


def test_a_region_that_never_answers_holds_up_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAIT_S", 0.05)
    monkeypatch.setattr(region_state, "ASK_S", 1.0)
    with silent_server() as (port, connections):
        (tmp_path / "fedml.toml").write_text(
            f'[federation]\nhome = "file://home"\n[regions.us]\naddresses = ["http://127.0.0.1:{port}"]\n'
            '[regions.us.datacenters.dc1]\nstore = "file://us"\n'
        )
        app = App(load(tmp_path / "fedml.toml"))
        browser = Browser(app)
        for _ in range(3):
            assert "Region us has not answered yet." in browser.get("/").text
        assert connections() <= 1  # the second viewer waits for the first one's answer
        while browser.site.shared.is_being_read(("region", "us")):
            threading.Event().wait(0.01)
        html = browser.get("/").text
        asked = connections()
        assert "unreachable" in html
        assert f"127.0.0.1:{port}" in html
        assert browser.get("/regions/us").status == 200
        assert connections() == asked
        app.close()


def test_one_read_serves_all_even_when_it_fails(tmp_path: Path) -> None:
    app = alone(tmp_path, FakeRegion("us", is_silent=True))
    browser = Browser(app.app)
    for _ in range(3):
        assert "no answer" in browser.get("/").text
    assert app.regions["us"].questions == 1


def test_the_state_of_a_silent_region_is_its_error(tmp_path: Path) -> None:
    app = alone(tmp_path, FakeRegion("us", is_silent=True))
    site = Site(app.app)
    (now,) = reading.regions_now(site, ["us"])
    assert (now.status, type(now.problem)) == ("unreachable", RegionUnreachable)
    with pytest.raises(UsageError):
        reading.regions_now(site, ["mars"])


def test_the_version_of_a_page_changes_with_what_it_shows(app: FakeApp) -> None:
    from federation.web.pages.federation import federation as view

    site = Site(app.app)

    def version() -> object:
        site.shared.renew(("region", "us"))
        page = view(site, Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}))
        assert page.live is not None
        return page.live.version

    version()
    first = version()
    assert version() == first
    app.regions["us"].used = lambda: {"1": Resources(500, 100)}  # type: ignore[method-assign]
    assert version() != first
