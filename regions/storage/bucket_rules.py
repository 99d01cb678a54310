"""Reads from a bucket's own settings what the bucket will do to objects by itself. Pure.

Only what is in force counts, and only what reaches objects as fedml writes them: live ones, without tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from jobs.frozen import frozen

_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
"""S3's classes from which nothing can be read before it is restored. All of Google's can be read at once."""
_OF_OLD_VERSIONS = ("numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore")
_DAY_S = 86_400


class Kind(StrEnum):
    """What can be asked for, each by itself: it may be readable where another isn't."""

    LIFECYCLE = "lifecycle rules"
    LOCK = "object lock"
    VERSIONS = "versioning"


class Effect(StrEnum):
    """What happens to an object."""

    DELETES = "deletes"
    ARCHIVES = "archives"
    ABORTS = "removes unfinished uploads"
    LOCKS = "locks"
    KEEPS = "keeps what is removed"


@frozen
class Rule:
    """One rule, for all objects whose name starts with `prefix`. `text` is for people (`deletes after 30 days`)."""

    effect: Effect
    text: str
    prefix: str = ""


def within(rules: Iterable[Rule], base: str) -> list[Rule]:
    """Those that reach names below `base` (empty, or ending in `/`), with their prefix seen from there."""
    return [
        Rule(rule.effect, rule.text, rule.prefix.removeprefix(base) if rule.prefix.startswith(base) else "")
        for rule in rules
        if reaches(rule, base)
    ]


def reaches(rule: Rule, start: str) -> bool:
    """Whether a name that begins with `start` may be meant."""
    return rule.prefix.startswith(start) or start.startswith(rule.prefix)


# ── S3 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def s3_lifecycle(answer: Mapping[str, Any]) -> Iterator[Rule]:
    """From the answer to GetBucketLifecycleConfiguration."""
    for rule in answer.get("Rules", ()):
        narrowed = rule.get("Filter", {})
        narrowed = narrowed.get("And", narrowed)
        if rule.get("Status") != "Enabled" or "Tag" in narrowed or narrowed.get("Tags"):
            continue
        name = f"rule {rule['ID']!r} " if rule.get("ID") else ""
        prefix = narrowed.get("Prefix") or rule.get("Prefix") or ""
        expiration = rule.get("Expiration", {})
        if "Days" in expiration or "Date" in expiration:
            yield Rule(Effect.DELETES, f"{name}deletes {_when(expiration)}", prefix)
        for transition in rule.get("Transitions", ()):
            if transition.get("StorageClass") in _ARCHIVES:
                text = f"{name}moves to {transition['StorageClass']} {_when(transition)}"
                yield Rule(Effect.ARCHIVES, text, prefix)
        if "AbortIncompleteMultipartUpload" in rule:
            days = rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
            yield Rule(Effect.ABORTS, f"{name}removes unfinished uploads after {days} days", prefix)


def s3_lock(answer: Mapping[str, Any]) -> Iterator[Rule]:
    """From the answer to GetObjectLockConfiguration."""
    retention = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    if retention:
        span = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years')} years"
        yield Rule(Effect.LOCKS, f"locks for {span} ({retention.get('Mode')})")


def s3_versions(answer: Mapping[str, Any]) -> Iterator[Rule]:
    """From the answer to GetBucketVersioning."""
    if answer.get("Status") == "Enabled":
        yield Rule(Effect.KEEPS, "keeps earlier versions")


def _when(span: Mapping[str, Any]) -> str:
    return f"after {span['Days']} days" if "Days" in span else f"on {str(span.get('Date'))[:10]}"


# ── Google Cloud ──────────────────────────────────────────────────────────────────────────────────────────────────────


def gcs_lifecycle(bucket: Mapping[str, Any]) -> Iterator[Rule]:
    """From the bucket's resource (buckets.get)."""
    for rule in bucket.get("lifecycle", {}).get("rule", ()):
        condition = rule.get("condition", {})
        action = rule.get("action", {}).get("type")
        if condition.get("isLive") is False or any(name in condition for name in _OF_OLD_VERSIONS):
            continue
        when = f"after {condition['age']} days" if "age" in condition else "by a condition"
        for prefix in condition.get("matchesPrefix") or [""]:
            if action == "Delete":
                yield Rule(Effect.DELETES, f"deletes {when}", prefix)
            elif action == "AbortIncompleteMultipartUpload":
                yield Rule(Effect.ABORTS, f"removes unfinished uploads {when}", prefix)


def gcs_lock(bucket: Mapping[str, Any]) -> Iterator[Rule]:
    """From the bucket's resource."""
    policy = bucket.get("retentionPolicy")
    if policy:
        locked = ", for good" if policy.get("isLocked") else ""
        yield Rule(Effect.LOCKS, f"locks for {_days(int(policy.get('retentionPeriod', 0)))}{locked}")
    if bucket.get("defaultEventBasedHold"):
        yield Rule(Effect.LOCKS, "locks until an event-based hold is released")


def gcs_versions(bucket: Mapping[str, Any]) -> Iterator[Rule]:
    """From the bucket's resource."""
    if bucket.get("versioning", {}).get("enabled"):
        yield Rule(Effect.KEEPS, "keeps earlier versions")
    kept_s = int(bucket.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))
    if kept_s:
        yield Rule(Effect.KEEPS, f"keeps what is removed for {_days(kept_s)}")


def _days(seconds: int) -> str:
    return f"{seconds // _DAY_S} days" if seconds >= _DAY_S else f"{seconds} s"


# ── Azure ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def azure_lock(*, has_immutability_policy: bool, has_legal_hold: bool) -> Iterator[Rule]:
    """From the container's properties."""
    if has_immutability_policy:
        yield Rule(Effect.LOCKS, "locks by an immutability policy")
    if has_legal_hold:
        yield Rule(Effect.LOCKS, "locks by a legal hold")


def azure_versions(delete_retention_days: int | None) -> Iterator[Rule]:
    """From the service's properties. Whether versions are kept stands in the account's, which only its management tells."""
    if delete_retention_days:
        yield Rule(Effect.KEEPS, f"keeps what is removed for {delete_retention_days} days")
