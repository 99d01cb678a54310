"""kill -9 of a region's process at changes of its disk, in a session over HTTP with real tasks.

Each class of change here; with SOAK=1 (`make soak`) every single one of the session. The state's own
crash points, all of them: `tests/regions/local/state/test_crash_points.py`.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.regions.local.http.test_process import Region, running, sleeper

_DYING = """
import os, signal, sys
from regions.local.process import main
from regions.local.server import heartbeats
from regions.local.state import journal
from tests.regions.local.state.dying import DyingOs
last, when, kind = sys.argv[1:4]
disk = DyingOs(int(last), when, lambda: os.kill(os.getpid(), signal.SIGKILL), kind)
journal.os = heartbeats.os = disk
journal._REWRITE_BYTES, journal._REWRITE_FACTOR, journal._REWRITE_AT_START_BYTES = 30_000, 1.5, 0
sys.exit(main(sys.argv[4:]))
"""
_CLASSES = [("write", 1, "torn"), ("write", 5, "after"), ("write", 9, "torn"), ("write", 14, "after")]
_CLASSES += [("fsync", 1, "after"), ("replace", 1, "after")]
_ALL = [("", number, when) for number in range(1, 80) for when in ("torn", "after")]


class _Client:
    """What a client knows: what it was told, and no more."""

    def __init__(self) -> None:
        self.index = 0
        self.children: dict[str, str] = {}
        self.started: dict[str, str] = {}
        self.step = 0

    def told(self, answer: dict[str, Any]) -> None:
        assert answer["Index"] >= self.index, "an acknowledged index is never taken back"
        self.index = answer["Index"]

    def dispatch(self, region: Region, slot: str) -> None:
        path = f"/v1/job/train/dispatch?idempotency_token=token-{slot}"
        answer = region.ask("PUT", path, {"Meta": {"slot": slot}})
        assert self.children.setdefault(slot, answer["DispatchedJobID"]) == answer["DispatchedJobID"]
        self.told(answer)
        if not answer["EvalID"] and not region.ask("GET", f"/v1/job/{self._path(slot)}/evaluations"):
            body = {"JobID": answer["DispatchedJobID"]}
            self.told(region.ask("PUT", f"/v1/job/{self._path(slot)}/evaluate", body))

    def see(self, region: Region, slot: str) -> None:
        """Its task runs, and it is the one that ran when this was last asked."""
        [stub] = region.until(
            f"/v1/job/{self._path(slot)}/allocations",
            lambda found: [one["ClientStatus"] for one in found] == ["running"],
        )
        state = stub["TaskStates"]["t"]
        assert [event["Type"] for event in state["Events"]].count("Started") == 1
        assert self.started.setdefault(slot, state["StartedAt"]) == state["StartedAt"]

    def _path(self, slot: str) -> str:
        return quote(self.children[slot], safe="")

    def stop(self, region: Region, slot: str) -> None:
        region.ask("DELETE", f"/v1/job/{self._path(slot)}")
        region.until(f"/v1/job/{self._path(slot)}", lambda job: job["Status"] == "dead")

    def eligible(self, region: Region, word: str) -> None:
        [node] = region.ask("GET", "/v1/nodes")
        region.ask("PUT", f"/v1/node/{node['ID']}/eligibility", {"Eligibility": word})


_SESSION: list[Callable[[_Client, Region], Any]] = [
    lambda client, region: client.told(region.ask("PUT", "/v1/jobs", {"Job": sleeper("600")})),
    lambda client, region: client.dispatch(region, "0"),
    lambda client, region: client.see(region, "0"),
    lambda client, region: client.dispatch(region, "1"),
    lambda client, region: client.dispatch(region, "2"),
    lambda client, region: client.see(region, "2"),
    lambda client, region: client.eligible(region, "ineligible"),
    lambda client, region: client.eligible(region, "eligible"),
    lambda client, region: client.stop(region, "1"),
    lambda client, region: client.see(region, "2"),
    lambda client, region: client.see(region, "0"),
    lambda client, region: region.ask("PUT", "/v1/system/gc"),
    lambda client, region: client.dispatch(region, "3"),
    lambda client, region: client.see(region, "3"),
]


def _go_on(client: _Client, region: Region) -> bool:
    """Does what is left; whether the region outlived it."""
    try:
        while client.step < len(_SESSION):
            _SESSION[client.step](client, region)
            client.step += 1
    except (OSError, http.client.HTTPException):
        return False
    return True


@pytest.mark.parametrize(("kind", "number", "when"), _ALL if os.environ.get("SOAK") else _CLASSES)
def test_killed_at_a_change_of_its_disk(tmp_path: Path, kind: str, number: int, when: str) -> None:
    client = _Client()
    with running(tmp_path, program=("-c", _DYING, str(number), when, kind)) as region:
        outlived = _go_on(client, region)
    if outlived:
        assert not kind, "a session has at least so many changes of each class"
        return
    assert region.process.returncode == -9
    with running(tmp_path) as region:
        assert _go_on(client, region)
        for slot in ("0", "2", "3"):
            client.see(region, slot)
        assert len(client.children) == 4
        children = [one["ID"] for one in region.ask("GET", "/v1/jobs?prefix=train/") if one["Status"] == "running"]
        assert sorted(children) == sorted(client.children[slot] for slot in ("0", "2", "3"))
