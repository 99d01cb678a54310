"""Deployment: only what differs is registered, guarded by the index that was compared, and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from federation.deploy import deploy
from regions.errors import Conflict, NotFound, PermissionDenied
from regions.model import DryRun

JOB = {"ID": "train", "Meta": {"fedml_spec": "5ec"}}


@dataclass
class Answer:
    job_modify_index: int


class Region:
    def __init__(self, name: str, *, there: dict[str, Any] | None = None, may_submit: bool = True) -> None:
        self.name, self.there, self.may_submit = name, there, may_submit
        self.index = 7 if there else 0
        self.meanwhile = False
        self.registered: list[int | None] = []

    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
        if not self.may_submit:
            raise PermissionDenied("Permission denied", region=self.name)
        kind = "Added" if self.there is None else "None" if self.there == job else "Edited"
        answer = DryRun(self.index, kind, {})
        if self.meanwhile:
            self.index += 1
        return answer

    def register(self, job: dict[str, Any], *, enforce_index: int | None) -> Answer:
        if enforce_index != self.index:
            raise Conflict("Enforcing job modify index", region=self.name)
        self.registered.append(enforce_index)
        self.there, self.index = job, self.index + 1
        return Answer(self.index)

    def job(self, job_id: str) -> dict[str, Any]:
        if self.there is None:
            raise NotFound("job not found", region=self.name)
        return {**self.there, "JobModifyIndex": self.index}


def actions(*regions: Region) -> dict[str, str]:
    done = deploy(regions, {region.name: JOB for region in regions}, spec_hash="5ec")
    return {one.region: one.action for one in done.regions}


def test_new_changed_and_equal() -> None:
    us, eu, ap = Region("us"), Region("eu", there={"ID": "train"}), Region("ap", there=dict(JOB))
    assert actions(us, eu, ap) == {"us": "registered", "eu": "updated", "ap": "unchanged"}
    assert (us.registered, eu.registered, ap.registered) == ([0], [7], [])
    assert actions(us, eu, ap) == dict.fromkeys(("us", "eu", "ap"), "unchanged")


def test_a_change_made_meanwhile_is_never_overwritten() -> None:
    us, eu = Region("us", there={"ID": "train"}), Region("eu")
    us.meanwhile = True
    done = deploy([us, eu], {"us": JOB, "eu": JOB}, spec_hash="5ec")
    assert [(one.region, one.action) for one in done.regions] == [("us", "failed"), ("eu", "registered")]
    assert isinstance(done.failed[0].error, Conflict)
    assert us.there == {"ID": "train"}


def test_a_token_without_submit_job_takes_what_is_there_if_it_is_the_same_spec() -> None:
    same, other, none = (
        Region("us", there=dict(JOB), may_submit=False),
        Region("eu", there={"ID": "train", "Meta": {"fedml_spec": "old"}}, may_submit=False),
        Region("ap", may_submit=False),
    )
    done = deploy([same, other, none], dict.fromkeys(("us", "eu", "ap"), JOB), spec_hash="5ec")
    assert [one.action for one in done.regions] == ["unchanged", "failed", "failed"]
    assert "is another than the file" in str(done.regions[1].error)
    assert "isn't registered there" in str(done.regions[2].error)


def test_deploy_never_registers_nothing() -> None:
    same, other = Region("us", there=dict(JOB)), Region("eu", there={"ID": "train"})
    done = deploy([same, other], dict.fromkeys(("us", "eu"), JOB), spec_hash="5ec", may_register=False)
    assert [one.action for one in done.regions] == ["unchanged", "failed"]
    assert 'deploy = "never"' in str(done.failed[0].error)
    assert other.registered == []
