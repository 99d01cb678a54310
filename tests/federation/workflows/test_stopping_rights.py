"""Whoever dispatches is told where attempts could not be stopped: where the token has no submit-job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from federation.capacity import RegionCapacity
from federation.workflows.dispatch_checks import warn_of_what_cannot_be_stopped
from federation.workflows.first_questions import FirstAnswers, ask_first
from jobs.errors import FedmlError
from regions.errors import NotFound, PermissionDenied, RegionUnreachable

UNREACHABLE = RegionUnreachable("no answer", region="us")
DENIED = PermissionDenied("Permission denied", region="us")


class Client:
    """One region whose calls end like this."""

    name = "us"

    def __init__(self, nomad: str = "2.0.5", **outcomes: FedmlError | None) -> None:
        self._version, self.outcomes = nomad, outcomes
        self.tried: list[str] = []

    def _try(self, what: str) -> None:
        self.tried.append(what)
        if error := self.outcomes.get(what):
            raise error

    def version(self) -> str:
        self._try("version")
        return self._version

    def try_to_submit(self, unused_id: str) -> None:
        self._try("submit")

    def try_to_dispatch(self, unused_id: str) -> None:
        self._try("dispatch")

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        self._try("jobs")
        return [{"ID": "train/dispatch-1", "Status": "running", "Meta": {"fedml_run": "over"}}]

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        self._try("stop")

    def summary(self, job_id: str) -> dict[str, Any]:
        self._try("summary")
        return {"Children": {"Pending": 1, "Running": 2, "Dead": 3}}


def answers_of(client: Client) -> FirstAnswers:
    runs = [SimpleNamespace(run="over", state="done"), SimpleNamespace(run="open", state="open")]
    index = SimpleNamespace(runs=lambda job: runs)
    app: Any = SimpleNamespace(client=lambda name: client, index=index)
    prepared: Any = SimpleNamespace(rendered={"us": {}}, job_id="train", shape=SimpleNamespace(id="train"))
    return ask_first(app, prepared)["us"].result(timeout=60)


@pytest.mark.parametrize(
    ("client", "answers"),
    [
        (Client(), FirstAnswers(True, True, 1, 6)),
        (Client("1.6.3"), FirstAnswers(True, None, 1, 6)),
        (Client(submit=DENIED), FirstAnswers(True, False, 1, 6)),  # plan-job alone
        (Client(submit=UNREACHABLE), FirstAnswers(True, True, 1, 6)),
        (Client(dispatch=DENIED), FirstAnswers(False, True, 1, 6)),
        (Client(summary=NotFound("no job", region="us")), FirstAnswers(True, True, 1, 0)),
        (Client(version=DENIED, stop=DENIED), FirstAnswers(True, None, 0, 6)),
        (
            Client(**dict.fromkeys(("version", "submit", "dispatch", "jobs", "summary"), UNREACHABLE)),
            FirstAnswers(True, None, 0, 0),
        ),
    ],
)
def test_what_one_region_is_asked_first(client: Client, answers: FirstAnswers) -> None:
    assert answers_of(client) == answers


@pytest.mark.parametrize(
    ("may_submit", "may_plan", "deployed", "is_told"),
    [
        (None, True, False, False),
        (None, False, False, True),
        (True, False, False, True),
        (False, True, True, False),  # it registered the job just now
        (True, True, False, False),
        (False, True, False, True),
    ],
)
def test_a_token_that_may_plan_may_not_always_stop(
    may_submit: bool | None, may_plan: bool, deployed: bool, is_told: bool
) -> None:
    told = list[str]()
    capacity = RegionCapacity("us", may_plan=may_plan, free=3)
    preview: Any = SimpleNamespace(snapshot=SimpleNamespace(regions={"us": capacity}))
    answers = {"us": FirstAnswers(True, may_submit, 0, 0)}
    warn_of_what_cannot_be_stopped(preview, answers, {"us"} if deployed else (), told.append)
    assert bool(told) is is_told
