"""The plan and the regions as a person sees them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from federation.deploy.prepare import JobRequest
from federation.ui.console import out
from federation.ui.plan_view import show_plan
from federation.ui.regions_view import region_document, show_region, show_regions
from federation.workflows.plan import preview
from federation.workflows.region_report import RegionsNow, report
from federation.workflows.request import Placing, RunRequest
from tests.federation.plan.planning import FakeApp, FakeRegion, node

ASK = RunRequest(JobRequest(), 6)


def shown(app: FakeApp, request: RunRequest, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_plan(preview(app.app, request), app.config)
    return [re.sub(r" +", " ", line).strip() for line in capsys.readouterr().out.splitlines()]


def test_columns_of_which_nothing_is_known_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(FakeApp(tmp_path), ASK, capsys)
    assert lines[0] == "train version 1: 6 slots, 1 result a slot, spec 5ec5ec5ec5ec"
    assert lines[1] == "region nomad nodes free queued now later waves job results go to"
    assert lines[3].startswith("us 1.6.3 1 8 0 4 0 1 none file:///")


def test_prices_and_durations_have_columns_when_they_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FakeApp(tmp_path, us="price_per_hour = 2.0\nelastic_slots = 3", eu="price_per_hour = 0.5")
    lines = shown(app, replace(ASK, slots=20, placing=Placing(expected_duration_s=1800)), capsys)
    assert lines[1] == ("region nomad nodes free queued now starting later waves finish price cost job results go to")
    assert lines[3].startswith("us 1.6.3 1 8 0 8 3 3 2 60 min 2 14.00 none")
    assert lines[-1] == "done in about 60 min, cost about 15.50"


def test_one_slot_is_one_slot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(FakeApp(tmp_path), replace(ASK, slots=1), capsys)
    assert lines[0].startswith("train version 1: 1 slot, 1 result a slot")


def test_a_narrow_terminal_is_spared_what_is_dispensable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FakeApp(tmp_path, us="price_per_hour = 2.0\nelastic_slots = 3", eu="price_per_hour = 0.5")
    request = replace(ASK, slots=20, placing=Placing(expected_duration_s=1800))
    for width, header in (
        (500, "region nomad free queued now starting later waves finish price cost job results go to"),
        (100, "region free queued now starting later waves finish price cost job"),
        (80, "region free queued now starting later finish price job"),
    ):
        monkeypatch.setattr("federation.ui.plan_view.out", lambda width=width: out(plain_width=width))
        lines = shown(app, request, capsys)
        assert lines[1].replace("nodes ", "") == header


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_url_of_a_store_is_never_folded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    app = FakeApp(tmp_path)
    monkeypatch.setattr("federation.ui.plan_view.out", lambda: out(plain_width=width))
    show_plan(preview(app.app, ASK), app.config)
    text = capsys.readouterr().out
    for datacenter in app.config.regions["us"].datacenters.values():
        assert f"us: results go to {datacenter.store.url}\n" in text


def test_one_region_in_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = node(id="2", node_class="gpu", drivers=frozenset({"docker"}))
    app = FakeApp(tmp_path, FakeRegion("us", 8, node_list=[node(), gpu]), FakeRegion("eu", 4))
    told = report(app.app, RegionsNow(preview(app.app, ASK).snapshot.regions, "train"), "us")
    show_region(told)
    lines = [re.sub(r" +", " ", line).strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "us",
        "state ready",
        "addresses https://us:4646",
        "nomad 1.6.3, region us, namespace default",
    ]
    assert lines[5:7] == ["clock 0 s apart", "capacity 8 slots of train free, 0 queued"]
    assert lines[-2:] == ["dc1 - - 1 1 1000 750 1000 900 raw_exec", "dc1 - gpu 1 1 1000 1000 1000 1000 docker"]
    document = region_document(told)
    assert (document["free_slots"], document["leader"], document["node_list"][0]["used_cpu_mhz"]) == (
        8,
        "10.0.0.1:4647",
        250,
    )


def test_a_region_that_is_silent_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", is_silent=True), FakeRegion("eu", 4))
    made = preview(app.app, ASK)
    show_region(report(app.app, RegionsNow(made.snapshot.regions, "train"), "us"))
    out = capsys.readouterr().out
    assert "state      unreachable: region us: no answer" in out
    assert "leader     none that answers" in out
    show_regions(made.snapshot.regions.values())
    assert re.search(r"us +unreachable +- +0 +0 +0 +region us: no answer", capsys.readouterr().out)
