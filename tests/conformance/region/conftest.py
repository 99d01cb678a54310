"""Job builders and shortcuts; the regions themselves come from `tests/conformance/conftest.py`."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from regions.errors import NotFound
from regions.nomad.client import NomadRegion

DATACENTERS = {"us": "us-east-1", "eu": "eu-west-1"}


@pytest.fixture
def us(federation: Any) -> NomadRegion:
    return federation.regions["us"]


@pytest.fixture
def new_id(federation: Any) -> Iterator[Callable[..., str]]:
    """Gives job IDs that nobody has; what is registered under them is purged after the test, children first."""
    made: list[tuple[str, str]] = []

    def new(name: str = "job", *, region: str = "us") -> str:
        made.append((region, f"{name}-{uuid.uuid4().hex[:8]}"))
        return made[-1][1]

    yield new
    for region_name, prefix in made:
        region = federation.regions[region_name]
        for stub in sorted(region.jobs(prefix), key=lambda stub: stub["ID"], reverse=True):
            with contextlib.suppress(NotFound):
                region.stop_job(stub["ID"], purge=True)


@pytest.fixture
def new_job(new_id: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """A batch job in Nomad's JSON: one group `g` of one raw_exec task `main`, or of `tasks`."""

    def new(
        script: str = "true",
        *,
        region: str = "us",
        count: int = 1,
        tasks: list[dict[str, Any]] | None = None,
        group: dict[str, Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        job_id = new_id(region=region)
        return {
            "ID": job_id,
            "Name": job_id,
            "Type": "batch",
            "Region": region,
            "Datacenters": [DATACENTERS[region]],
            "TaskGroups": [
                {
                    "Name": "g",
                    "Count": count,
                    "EphemeralDisk": {"SizeMB": 10},
                    "RestartPolicy": {"Attempts": 0, "Mode": "fail", "Interval": 10**12, "Delay": 10**9},
                    "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
                    "Tasks": tasks or [shell_task("main", script)],
                }
                | (group or {})
            ],
        } | fields

    return new


def shell_task(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "Resources": {"CPU": 20, "MemoryMB": 10},
        "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1},
    } | fields


@pytest.fixture
def task() -> Callable[..., dict[str, Any]]:
    return shell_task


@pytest.fixture
def in_states() -> Callable[..., Callable[[list[dict[str, Any]]], bool]]:
    return lambda *states: lambda stubs: bool(stubs) and all(stub["ClientStatus"] in states for stub in stubs)
