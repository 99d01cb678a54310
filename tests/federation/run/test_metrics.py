"""Prometheus metrics of a run, over HTTP and as a file."""

from __future__ import annotations

import http.client
import socket
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from federation.errors import UsageError
from federation.run.brain.commands import Tell
from federation.run.metrics import Metrics, check
from tests.attack.hostile import forbidden
from tests.federation.run.brain.world import MANIFEST


def _values(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("region", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_told_is_counted_per_region(tmp_path: Path) -> None:
    metrics = Metrics(replace(MANIFEST, slots=5, regions=("us", "eu")))
    for tell in (Tell("bound", "us", count=4), Tell("committed", "us"), Tell("committed", "us"), Tell("lost", "eu")):
        metrics(tell)
    metrics.write(tmp_path / "fedml.prom")
    values = _values((tmp_path / "fedml.prom").read_text())
    assert values["fedml_slots_bound_total", "us"] == 4
    assert values["fedml_results_committed_total", "us"] == 2
    assert values["fedml_results_committed_total", "eu"] == 0
    assert (values["fedml_region_up", "us"], values["fedml_region_up", "eu"]) == (1, 0)
    assert values["fedml_results_expected", ""] == 5
    metrics(Tell("back", "eu"))
    metrics.write(tmp_path / "fedml.prom", at_most_every_s=3600)
    assert _values((tmp_path / "fedml.prom").read_text())["fedml_region_up", "eu"] == 0
    metrics.write(tmp_path / "fedml.prom")
    assert _values((tmp_path / "fedml.prom").read_text())["fedml_region_up", "eu"] == 1


def test_they_are_scraped_from_loopback() -> None:
    metrics = Metrics(MANIFEST)
    port = metrics.serve("0")
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert ("fedml_region_up", "us") in _values(answer.read().decode())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:9464", 200),
        ("127.1.2.3:80", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost:x", 421),
    ],
)
def test_a_web_page_of_another_name_is_refused(host: str, status: int) -> None:
    port = Metrics(MANIFEST).serve("0")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics", headers={"Host": host})
    assert connection.getresponse().status == status
    connection.close()


def test_a_taken_port_and_a_folder_that_is_missing_are_named(tmp_path: Path) -> None:
    metrics = Metrics(MANIFEST)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"--metrics {address}: can't listen there"):
            metrics.serve(address)
        with pytest.raises(UsageError, match=f"--metrics {address}: can't listen there"):
            check(address, None)
    for wrong in ("x", "99999999"):
        with pytest.raises(UsageError, match=f"--metrics {wrong}: '{wrong}' is not a valid port"):
            check(wrong, None)
    with pytest.raises(UsageError, match="can't be written there"):
        check("", tmp_path / "no" / "fedml.prom")
    check("0", tmp_path / "fedml.prom")
    with pytest.raises(UsageError, match=r"--metrics-file .*: can't be written"):
        metrics.write(tmp_path / "no" / "fedml.prom")


@pytest.mark.parametrize("text", ["\x1b[2J\u202e", '"} 1\nforged{x="', "\ud800"])
def test_labels_hold_no_hidden_character(tmp_path: Path, text: str) -> None:
    metrics = Metrics(replace(MANIFEST, job=text, version=text, regions=(text,)))
    metrics(Tell("bound", text, count=4))
    metrics.write(tmp_path / "fedml.prom")
    written = (tmp_path / "fedml.prom").read_text()
    assert not forbidden(written)
    assert "\nforged" not in written
    assert 4 in _values(written).values()
