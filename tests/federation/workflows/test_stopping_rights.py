"""Whoever dispatches is told where attempts could not be stopped: where the token has no submit-job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from federation.capacity import RegionCapacity
from federation.workflows.dispatch import _warn_of_what_cannot_be_stopped
from regions.errors import PermissionDenied, RegionUnreachable


class Client:
    def __init__(self, outcome: Exception | None) -> None:
        self.outcome = outcome
        self.tried: list[str] = []

    def try_to_submit(self, unused_id: str) -> None:
        self.tried.append(unused_id)
        if self.outcome:
            raise self.outcome


@pytest.mark.parametrize(
    ("version", "may_plan", "deployed", "outcome", "is_told", "tries"),
    [
        ("1.6.3", True, False, None, False, 0),
        ("1.6.3", False, False, None, True, 0),
        ("2.0.5", False, False, None, True, 0),
        ("2.0.5", True, True, None, False, 0),  # it registered the job just now
        ("2.0.5", True, False, None, False, 1),
        ("2.0.5", True, False, PermissionDenied("Permission denied", region="us"), True, 1),  # plan-job alone
        ("2.0.5", True, False, RegionUnreachable("no answer", region="us"), False, 1),
    ],
)
def test_a_token_that_may_plan_may_not_always_stop(
    version: str, may_plan: bool, deployed: bool, outcome: Exception | None, is_told: bool, tries: int
) -> None:
    client, told = Client(outcome), list[str]()
    app: Any = SimpleNamespace(client=lambda name: client)
    capacity = RegionCapacity("us", version, may_plan=may_plan, free=3)
    preview: Any = SimpleNamespace(snapshot=SimpleNamespace(regions={"us": capacity}))
    _warn_of_what_cannot_be_stopped(app, preview, {"us"} if deployed else (), told.append)
    assert bool(told) is is_told
    assert len(client.tried) == tries
