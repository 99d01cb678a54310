"""A registered job read back differs from its file only where a person changed something."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.hcl import newer_fields
from jobs.nomad_json.canonical import WrongType, canonical_job, known_version
from jobs.nomad_json.drift import change_of, differences, file_differences
from tests.jobs.nomad_json.readbacks import UPGRADED, VERSIONS, Job, built_jobs, golden_jobs, recorded

NAMES = [name for name, _ in golden_jobs()]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return dict((*golden_jobs(), *built_jobs()))


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Job]]:
    return {version: recorded(version) for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unchanged_job_has_no_difference(
    jobs: dict[str, Job], kept: dict[str, dict[str, Job]], version: str
) -> None:
    assert set(kept[version]) == set(jobs)
    found = {name: [str(one) for one in file_differences(jobs[name], kept[version][name])] for name in jobs}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_regions_of_different_versions_have_no_difference(kept: dict[str, dict[str, Job]]) -> None:
    old, new = (kept[version] for version in VERSIONS)
    found = {name: [str(one) for one in differences(old[name], new[name])] for name in old}
    assert {name: lines for name, lines in found.items() if lines} == {}
    back = {name: [str(one) for one in differences(new[name], old[name])] for name in NAMES}
    assert {name: lines for name, lines in back.items() if lines} == {}


def test_a_job_has_no_difference_after_its_server_was_upgraded(
    jobs: dict[str, Job], kept: dict[str, dict[str, Job]]
) -> None:
    upgraded, fresh = recorded(UPGRADED), kept["2.0.5"]
    older = [name for name, job in jobs.items() if not newer_fields(job, "1.6.3")]
    assert len(older) > 200
    for name in older:
        assert file_differences(jobs[name], upgraded[name]) == [], name
        assert differences(upgraded[name], fresh[name]) == differences(fresh[name], upgraded[name]) == [], name
        assert change_of(jobs[name], upgraded[name], "Edited") == "None", name  # Nomad's own diff says Edited
    assert "UI.Description" in {
        one.path for one in file_differences(jobs["newer"], upgraded["newer"])
    }  # 1.6.3 dropped it


def test_the_fields_of_a_registered_job_tell_its_servers_version(kept: dict[str, dict[str, Job]]) -> None:
    assert {known_version(job) for job in kept["1.6.3"].values()} == {"1.6.2"}
    assert {known_version(job) for job in kept["2.0.5"].values()} <= {"2.0.3", "2.0.5"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_canonical_job_is_what_a_server_keeps(
    jobs: dict[str, Job], kept: dict[str, dict[str, Job]], version: str
) -> None:
    for name, job in jobs.items():
        ours, theirs = canonical_job(job, "us", version), kept[version][name]
        assert _without_nulls(ours) == _without_nulls(theirs), name


_OF_SERVER = ("CreateIndex", "ServiceName", "ID", "JobModifyIndex", "ModifyIndex", "Status", "SubmitTime", "Version")


def _without_nulls(value: Any) -> Any:
    """Leaves out null, zero and empty values, and what differs from server to server."""
    if isinstance(value, dict):
        inner = {
            "URL" if name == "Url" else name: _without_nulls(one)
            for name, one in value.items()
            if name not in _OF_SERVER
        }
        return {name: one for name, one in inner.items() if one not in (None, "", [], {}, 0)}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", VERSIONS)
def test_every_change_that_a_server_would_keep_is_named(
    jobs: dict[str, Job], kept: dict[str, dict[str, Job]], version: str
) -> None:
    chance, changed = random.Random(version), 0
    for name, job in jobs.items():
        file = copy.deepcopy(job) if chance.random() < 0.5 else canonical_job(job, "us", version)
        before = canonical_job(file, "us", version)
        for place, key in chance.sample(list(_places(file)), 3):
            old = place[key]
            place[key] = _changed(old, chance)
            try:
                is_kept = _meant(canonical_job(file, "us", version)) != _meant(before)
                assert not is_kept or file_differences(file, kept[version][name]), (name, key, old, place[key])
                changed += is_kept
            except (WrongType, AttributeError, TypeError):
                pass  # no server would read it
            finally:
                place[key] = old
    assert changed > 300


def _places(value: Any, *, is_job: bool = True) -> Iterator[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)):
        if not (
            is_job and key in ("Region", "Namespace", "Datacenters", "ID", "ConsulToken", "VaultToken", "NomadTokenID")
        ):
            yield value, key
            if isinstance(value[key], dict | list):
                yield from _places(value[key], is_job=False)


def _changed(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.3:
        return None
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice([value + 1, 0])
    if isinstance(value, str):
        return chance.choice([value + "x", ""])
    if isinstance(value, list):
        return chance.choice([value[1:], [*value, *value[:1]]])
    return {**value, "added": "x"} if isinstance(value, dict) else "x"


def _meant(job: Job) -> Job:
    """Leaves out what a server writes itself, or would add anyway."""
    job = copy.deepcopy(job)
    for group in job["TaskGroups"] or ():
        for owner in (group, *(group["Tasks"] or ())):
            owner["Constraints"] = sorted({str(one) for one in owner["Constraints"] or ()})
            for block in (owner.get("Scaling"), *(owner.get("ScalingPolicies") or ())):
                _drop(block, "ID", "Namespace", "CreateIndex", "ModifyIndex")
            for service in owner["Services"] or ():
                _drop(service.get("Identity"), "Name", "ServiceName")
        for task in group["Tasks"] or ():
            if task["Identity"] == {"Env": False, "File": False}:
                task["Identity"] = None
    return job


def _drop(block: Job | None, *names: str) -> None:
    for name in names if block else ():
        block.pop(name)
