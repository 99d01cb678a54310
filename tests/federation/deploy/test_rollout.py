"""Deployment: only what differs is registered, guarded by the index that was compared, marked, read back; and undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from federation.deploy.outcome import Deployed, summary
from federation.deploy.rollout import deploy, purge_isolated, revert
from federation.errors import JobDrifted
from jobs.multiregion import EACH_FOR_ITSELF, Strategy
from jobs.nomad_json.drift import MARK_KEY, standing_of
from regions.errors import Conflict, NotFound, PermissionDenied, RegionUnreachable
from regions.model import DryRun

JOB: dict[str, Any] = {"ID": "train", "Priority": 50, "Meta": {"fedml_spec": "5ec"}}
OLD: dict[str, Any] = {"ID": "train", "Priority": 40, "Meta": {"fedml_spec": "01d"}}


@dataclass
class Answer:
    job_modify_index: int


class Region:
    """A region that keeps versions of one job as Nomad does."""

    def __init__(self, name: str, *, may_submit: bool = True) -> None:
        self.name, self.may_submit = name, may_submit
        self.versions: list[dict[str, Any]] = []
        self.index = 6
        self.silent = False
        self.before_register: Callable[[], None] = lambda: None
        self.registrations = 0

    @property
    def there(self) -> dict[str, Any] | None:
        return self.versions[0] if self.versions else None

    def put(self, job: dict[str, Any]) -> None:
        """Somebody registers it."""
        self.index += 1
        version = self.versions[0]["Version"] + 1 if self.versions else 0
        self.versions.insert(0, {**job, "Version": version, "JobModifyIndex": self.index})

    def job(self, job_id: str) -> dict[str, Any]:
        if self.silent:
            raise RegionUnreachable("no answer", region=self.name)
        if self.there is None:
            raise NotFound(f"no job {job_id}", region=self.name)
        return self.there

    def job_versions(self, job_id: str) -> list[dict[str, Any]]:
        return self.versions

    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
        if not self.may_submit:
            raise PermissionDenied("Permission denied", region=self.name)
        there = self.there
        fields = ("Priority", "Meta", "Stop")
        is_same = there is not None and all(there.get(field) == job.get(field) for field in fields)
        kind = "Added" if there is None else "None" if is_same else "Edited"
        return DryRun(there["JobModifyIndex"] if there else 0, kind, {})

    def register(self, job: dict[str, Any], *, enforce_index: int | None) -> Answer:
        self.before_register()
        if enforce_index != (self.there["JobModifyIndex"] if self.there else 0):
            raise Conflict("Enforcing job modify index", region=self.name)
        self.registrations += 1
        self.put(job)
        return Answer(self.index)

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        if self.silent:
            raise RegionUnreachable("no answer", region=self.name)
        if self.there is None:
            raise NotFound(f"no job {job_id}", region=self.name)
        assert purge
        self.versions = []


def deployed(job: dict[str, Any], *regions: Region, **options: Any) -> dict[str, Deployed]:
    spec = str(job["Meta"]["fedml_spec"])
    done = deploy(regions, {region.name: job for region in regions}, spec_hash=spec, **options)
    assert [one.region for one in done.regions] == [region.name for region in regions]
    return {one.region: one for one in done.regions}


def actions(*regions: Region, **options: Any) -> dict[str, str]:
    return {name: one.action for name, one in deployed(JOB, *regions, **options).items()}


def edit(region: Region, **changes: Any) -> None:
    """Somebody edits the registered job in the UI, which sends all of it back."""
    region.put({**(region.there or {}), **changes})


def test_new_changed_and_equal() -> None:
    us, eu, ap = Region("us"), Region("eu"), Region("ap")
    deployed(OLD, eu)
    deployed(JOB, ap)
    assert actions(us, eu, ap) == {"us": "registered", "eu": "updated", "ap": "unchanged"}
    assert actions(us, eu, ap) == dict.fromkeys(("us", "eu", "ap"), "unchanged")
    assert [one.registrations for one in (us, eu, ap)] == [1, 2, 1]
    assert [one.there["Meta"][MARK_KEY] for one in (us, eu, ap) if one.there] == ["0", "1", "0"]


def test_the_outcome_says_which_version_stands_there_and_which_did() -> None:
    us, eu = Region("us"), Region("eu")
    deployed(OLD, eu)
    done = deploy([us, eu], {"us": JOB, "eu": JOB}, spec_hash="5ec")
    assert [(one.version_before, one.version) for one in done.regions] == [(-1, 0), (0, 1)]
    assert done.deployed_over == {"us": -1, "eu": 0}
    assert summary(done) == ["us: registered, version 0", "eu: updated, version 1"]


def test_of_two_that_deploy_the_same_job_at_once_neither_fails() -> None:
    us, twin = Region("us"), Region("us")
    deployed(JOB, twin)
    us.before_register = lambda: us.put(twin.there or {})
    done = deployed(JOB, us)
    assert (done["us"].action, done["us"].error, us.registrations) == ("unchanged", None, 0)


def test_a_change_made_meanwhile_is_never_overwritten() -> None:
    us, eu = Region("us"), Region("eu")
    deployed(OLD, us)
    us.before_register = lambda: edit(us, Priority=90)
    done = deployed(JOB, us, eu)
    assert {name: one.action for name, one in done.items()} == {"us": "failed", "eu": "registered"}
    assert isinstance(done["us"].error, Conflict)
    assert us.there is not None
    assert us.there["Priority"] == 90


def test_what_somebody_else_changed_is_not_undone_unless_that_is_allowed() -> None:
    us = Region("us")
    deployed(OLD, us)
    edit(us, Priority=90)
    error = deployed(JOB, us)["us"].error
    assert isinstance(error, JobDrifted)
    assert "region us: the job train was changed since fedml registered it (version 0 → 1: Priority: 40 => 90)" in str(
        error
    )
    assert "--allow-drift" in error.hint
    assert deployed(JOB, us, allow_drift=True)["us"].action == "updated"
    assert actions(us) == {"us": "unchanged"}


@pytest.mark.parametrize("what", ["plain", "stopped"])
def test_a_job_of_somebody_else_and_one_that_was_stopped_are_drift_too(what: str) -> None:
    us = Region("us")
    if what == "plain":
        us.put({"ID": "train", "Priority": 50})
    else:
        deployed(JOB, us)
        edit(us, Stop=True)
    error = deployed(JOB, us)["us"].error
    assert isinstance(error, JobDrifted)
    said = "registered by somebody else, not by fedml" if what == "plain" else "was stopped since fedml registered it"
    assert said in error.message
    assert deployed({**JOB, "Stop": False}, us, allow_drift=True)["us"].error is None


def test_a_token_without_submit_job_takes_what_is_there_if_it_is_the_same_spec() -> None:
    regions = same, edited, other, none = [Region(name) for name in ("us", "uk", "eu", "ap")]
    deployed(JOB, same, edited)
    deployed(OLD, other)
    edit(edited, Priority=90)
    for region in regions:
        region.may_submit = False
    done = deployed(JOB, *regions)
    assert [one.action for one in done.values()] == ["unchanged", "failed", "failed", "failed"]
    assert isinstance(done["uk"].error, JobDrifted)
    assert "differs from the file" in str(done["eu"].error)
    assert "--job train" in (done["eu"].error or NotFound("", region="")).hint
    assert "isn't registered there" in str(done["ap"].error)
    assert deployed(JOB, edited, allow_drift=True)["uk"].action == "unchanged"
    assert none.there is None


def test_deploy_never_registers_nothing() -> None:
    same, other = Region("us"), Region("eu")
    deployed(JOB, same)
    deployed(OLD, other)
    done = deployed(JOB, same, other, may_register=False)
    assert [one.action for one in done.values()] == ["unchanged", "failed"]
    assert 'deploy = "never"' in str(done["eu"].error)
    assert other.registrations == 1


# ── strategies ────────────────────────────────────────────────────────────────────────────────────────────────────────


def four(*, broken: str) -> list[Region]:
    """Four regions with the old job; in one of them somebody changes it whenever it is deployed. A new one is there too."""
    regions = [Region(name) for name in ("north", "south", "east", "west")]
    for region in regions:
        deployed(OLD, region)
        if region.name == broken:
            region.before_register = lambda region=region: edit(region, Priority=90)  # type: ignore[misc]
    return regions


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy(1, ""), ["updated", "failed", "skipped", "skipped"]),
        (Strategy(1, "fail_all"), ["reverted", "failed", "skipped", "skipped"]),
        (Strategy(1, "fail_local"), ["updated", "failed", "updated", "updated"]),
        (EACH_FOR_ITSELF, ["updated", "failed", "updated", "updated"]),
    ],
)
def test_what_a_failure_means_for_the_others(strategy: Strategy, expected: list[str]) -> None:
    regions = four(broken="south")
    done = deployed(JOB, *regions, strategy=strategy)
    assert [one.action for one in done.values()] == expected
    for region, action in zip(regions, expected, strict=True):
        assert region.there is not None
        assert region.there["Meta"]["fedml_spec"] == ("5ec" if action == "updated" else "01d")


@pytest.mark.parametrize(
    ("on_failure", "east"), [("", "reverted"), ("fail_all", "reverted"), ("fail_local", "updated")]
)
def test_regions_that_were_changed_at_once_are_put_back(on_failure: Any, east: str) -> None:
    regions = four(broken="south")
    done = deployed(JOB, *regions, strategy=Strategy(0, on_failure))
    assert done["east"].action in (east, "skipped")
    assert done["north"].action == ("reverted" if on_failure == "fail_all" else "updated")


def test_no_more_regions_at_a_time_than_the_strategy_says() -> None:
    regions = [Region(str(number)) for number in range(6)]
    under_way: set[str] = set()
    most: list[int] = []
    for region in regions:
        region.before_register = lambda name=region.name: (under_way.add(name), most.append(len(under_way)))  # type: ignore[misc]
        job_versions = region.job

        def done_with(job_id: str, read: Any = job_versions, name: str = region.name) -> dict[str, Any]:
            under_way.discard(name)
            return read(job_id)  # type: ignore[no-any-return]

        region.job = done_with  # type: ignore[method-assign]
    assert set(actions(*regions, strategy=Strategy(2, "")).values()) == {"registered"}
    assert max(most) <= 2


# ── putting back ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_revert_makes_a_new_version_of_the_old_job_that_is_fedmls_own() -> None:
    us = Region("us")
    deployed(OLD, us)
    before = deployed(JOB, us)["us"].version_before
    done = revert(us, "train", "5ec", to_version=before)
    assert (done.action, done.version, done.version_before) == ("reverted", 2, 0)
    assert us.there is not None
    assert (us.there["Priority"], us.there["Meta"]["fedml_spec"]) == (40, "01d")
    assert not standing_of(us.there).is_drift


def test_a_revert_to_somebody_elses_job_leaves_it_somebody_elses() -> None:
    us = Region("us")
    us.put({"ID": "train", "Priority": 10})
    before = deployed(JOB, us, allow_drift=True)["us"].version_before
    assert revert(us, "train", "5ec", to_version=before).action == "reverted"
    assert us.there is not None
    assert us.there["Priority"] == 10
    assert MARK_KEY not in us.there.get("Meta", {})


def test_what_was_not_there_before_is_purged() -> None:
    us = Region("us")
    assert deployed(JOB, us)["us"].version_before == -1
    assert revert(us, "train", "5ec", to_version=-1).action == "reverted"
    assert us.there is None
    assert revert(us, "train", "5ec", to_version=-1).action == "reverted", "again: nothing to do"


def test_what_somebody_changed_meanwhile_is_not_put_back() -> None:
    us = Region("us")
    deployed(OLD, us)
    deployed(JOB, us)
    edit(us, Priority=90)
    done = revert(us, "train", "5ec", to_version=0)
    assert isinstance(done.error, Conflict)
    assert "left as it is" in str(done.error)
    assert us.there is not None
    assert us.there["Priority"] == 90


def test_a_version_that_nomad_keeps_no_more_is_said() -> None:
    us = Region("us")
    deployed(OLD, us)
    deployed(JOB, us)
    del us.versions[1:]
    assert "no longer keeps version 0 of the job train" in str(revert(us, "train", "5ec", to_version=0).error)


def test_an_isolated_job_is_purged_and_where_it_cannot_be_is_said() -> None:
    us, eu, ap = Region("us"), Region("eu"), Region("ap")
    deployed(JOB, us, eu)
    eu.silent = True
    assert purge_isolated([us, eu, ap], "train") == {"eu": "region eu: no answer"}
    assert us.there is None
