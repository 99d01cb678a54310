"""What a bucket's settings mean for results and the index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from federation.check import Outcome
from federation.checks.stores.rules import Verdict, lifecycle, lock, rules_check, versions
from regions.model import StoreConfig
from regions.storage.bucket_rules import Effect, Kind, Rule
from regions.storage.errors import NotSupported, PermissionDenied, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.url import folder_url

DELETES = "rule 'tidy' deletes after 30 days"


@pytest.mark.parametrize(
    ("rules", "outcome", "found"),
    [
        ([], Outcome.OK, "none that deletes or archives"),
        ([Rule(Effect.DELETES, DELETES)], Outcome.FAILED, f"{DELETES}: everything"),
        ([Rule(Effect.DELETES, DELETES, "index/log/")], Outcome.FAILED, f"{DELETES}: index/log/"),
        ([Rule(Effect.DELETES, DELETES, "r")], Outcome.FAILED, f"{DELETES}: r"),
        ([Rule(Effect.ARCHIVES, "moves", "results/")], Outcome.FAILED, "moves: results/"),
        ([Rule(Effect.DELETES, DELETES, "doctor/")], Outcome.OK, f"none that deletes or archives; {DELETES}"),
        (
            [Rule(Effect.ABORTS, "removes unfinished uploads after 7 days")],
            Outcome.OK,
            "none that deletes or archives; removes unfinished uploads after 7 days",
        ),
    ],
)
def test_lifecycle_rules(rules: Sequence[Rule], outcome: Outcome, found: str) -> None:
    told = lifecycle(rules)
    assert told[:2] == (outcome, found)
    assert bool(told[2]) == (outcome is Outcome.FAILED)


def test_a_lock_is_a_warning_and_versions_are_no_harm() -> None:
    assert lock([])[:2] == (Outcome.OK, "none")
    outcome, found, remedy = lock([Rule(Effect.LOCKS, "locks for 3 days (GOVERNANCE)")])
    assert (outcome, found) == (Outcome.WARNING, "locks for 3 days (GOVERNANCE)")
    assert "index gc" in remedy
    assert versions([]) == (Outcome.OK, "off", "")
    assert versions([Rule(Effect.KEEPS, "keeps earlier versions")]) == (Outcome.OK, "keeps earlier versions", "")


@pytest.mark.parametrize(
    ("error", "found", "remedy"),
    [
        (PermissionDenied("no", store="s3://b"), "not readable with these credentials", "administrator"),
        (NotSupported("this store has no such rules", store="s3://b"), "this store has no such rules", ""),
        (Unavailable("down", store="s3://b"), "not readable: down", ""),
    ],
)
def test_what_cannot_be_looked_at_is_skipped_and_says_why(
    error: Exception, found: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FileStore, kind: Kind) -> Sequence[Rule]:
        raise error

    monkeypatch.setattr(FileStore, "rules", refuse)
    store = FileStore(StoreConfig(url=folder_url(tmp_path)))
    judges: dict[Kind, Callable[[Sequence[Rule]], Verdict]] = {
        Kind.LIFECYCLE: lifecycle,
        Kind.LOCK: lock,
        Kind.VERSIONS: versions,
    }
    for kind, judge in judges.items():
        check = rules_check(store, "store", kind, judge)
        assert (check.name, check.outcome, check.detail) == (kind, Outcome.SKIPPED, found)
        assert remedy in check.remedy
