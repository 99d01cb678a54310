"""What a person writes: durations, deadlines, numbers by region; and the checks of a whole request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.workflows.request import Placing, RunRequest, by_region, check_for_job, check_request, deadline_s
from jobs.errors import FedmlError, InvalidMeta
from jobs.params.file import read_asks
from jobs.spec import shape_of
from tests.federation.plan.planning import JOB, FakeApp

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_a_deadline_is_a_duration_or_a_time() -> None:
    assert deadline_s("1h30m", NOW) == 5400


def test_a_time_counts_with_its_zone_or_this_machines() -> None:
    assert deadline_s("2026-11-25T13:00Z", NOW) == 3600
    assert deadline_s("2026-11-25T13:00+01:00", NOW + timedelta(hours=-1)) == 3600
    local = (NOW + timedelta(hours=1)).astimezone().replace(tzinfo=None)
    assert deadline_s(local.isoformat(), NOW.astimezone(timezone(timedelta(hours=5)))) == 3600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-25T11:59Z", "--deadline 2026-11-25T11:59Z is past: it is 2026-11-25T12:00:00"),
        ("2026-11-25", "is past"),
        ("tomorrow", "is neither a duration nor a time"),
        ("-8h", "is neither a duration nor a time"),
    ],
)
def test_what_is_no_deadline(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        deadline_s(text, NOW)


def test_numbers_by_region() -> None:
    assert by_region(["us=10", " eu = 5 "], "--cap") == {"us": 10, "eu": 5}
    assert by_region(["us=0"], "--minimum") == {"us": 0}
    for item, told in (("us", "not of the form"), ("us=-1", "not of the form"), ("us=x", "not of"), ("us=0", "leaves")):
        with pytest.raises(UsageError, match=told):
            by_region([item], "--cap")
    with pytest.raises(UsageError, match="--cap us is given twice"):
        by_region(["us=1", "us=2"], "--cap")


def test_a_request_is_checked_against_the_project_and_then_against_the_job(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, federation='policy = "pack"\nslots = 3\nmax_failures = "5%"')
    checked = check_request(RunRequest(JobRequest(), version="next"), app.config)
    assert (checked.slots, checked.version, checked.placing.policy, checked.patience.max_failures) == (
        3,
        None,
        "pack",
        "5%",
    )
    swept = RunRequest(JobRequest(), meta={"depth": "3"}, asks=read_asks(["lr=0.1,0.01"]))
    dispatch = check_for_job(check_request(swept, app.config), shape_of(JOB))
    assert (dispatch.slots, dispatch.slot_meta, dispatch.first_meta) == (2, {"depth": "3"}, {"depth": "3", "lr": "0.1"})
    with pytest.raises(InvalidMeta, match="colour"):
        check_for_job(check_request(replace(swept, meta={"colour": "red"}), app.config), shape_of(JOB))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (RunRequest(JobRequest(), 0), "-n 0: a run has at least one slot"),
        (RunRequest(JobRequest(), 10**9), "more than a run may have"),
        (RunRequest(JobRequest(), version="4/5"), "'4/5' is not a valid version"),
        (RunRequest(JobRequest(), placing=Placing(policy="best")), "there is no policy 'best'"),
        (RunRequest(JobRequest(), placing=Placing(caps={"moon": 1})), "--cap moon: there is no such region"),
        (RunRequest(JobRequest(), placing=Placing(minimums={"moon": 1})), "--minimum moon: there is no such region"),
    ],
)
def test_a_request_that_no_run_can_have(tmp_path: Path, wrong: RunRequest, told: str) -> None:
    with pytest.raises(FedmlError, match=told):
        check_request(wrong, FakeApp(tmp_path).config)
