"""Checks what a bucket's own settings mean for results and the index, one check a kind of setting.

fedml needs no right to read these settings. Where the credentials may not read them, the check says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from federation.check import Check, Outcome
from jobs.errors import FedmlError
from regions.storage.backend import backend_of
from regions.storage.bucket_rules import Effect, Kind, Rule, reaches
from regions.storage.errors import NotSupported, PermissionDenied
from regions.storage.store import Store

LASTING = ("format.json", "index/", "runs/", "results/", "artifacts/", "code/")
"""Objects that must stay until fedml itself removes them."""

Verdict = tuple[Outcome, str, str]
"""Outcome, result, what to do."""


def rules_check(store: Store, subject: str, kind: Kind, judge: Callable[[Sequence[Rule]], Verdict]) -> Check:
    """Reads and judges one kind of setting. Raises nothing but for a bug."""
    try:
        found = store.rules(kind)
    except NotSupported as error:
        return Check(subject, kind, Outcome.SKIPPED, _reason(error), error.hint)
    except PermissionDenied:
        return Check(subject, kind, Outcome.SKIPPED, "not readable with these credentials", _right(store, kind))
    except FedmlError as error:
        return Check(subject, kind, Outcome.SKIPPED, f"not readable: {_reason(error)}")
    return Check(subject, kind, *judge(found))


def lifecycle(rules: Sequence[Rule]) -> Verdict:
    """Fails when a rule deletes or archives something that must last."""
    harm = [
        rule
        for rule in rules
        if rule.effect in (Effect.DELETES, Effect.ARCHIVES) and any(reaches(rule, part) for part in LASTING)
    ]
    if harm:
        found = "; ".join(f"{rule.text}: {rule.prefix or 'everything'}" for rule in harm)
        return Outcome.FAILED, found, "keep such rules to other prefixes: results and the index would be lost"
    return Outcome.OK, "; ".join(["none that deletes or archives", *(rule.text for rule in rules)]), ""


def lock(rules: Sequence[Rule]) -> Verdict:
    """Warns of locked objects: nothing is lost, but garbage stays."""
    if not rules:
        return Outcome.OK, "none", ""
    found = "; ".join(rule.text for rule in rules)
    return (
        Outcome.WARNING,
        found,
        "until then nothing can be removed there: `index gc` and `runs prune` will be refused",
    )


def versions(rules: Sequence[Rule]) -> Verdict:
    """Reports versioning, which does no harm: nothing reads an earlier version."""
    return Outcome.OK, "; ".join(rule.text for rule in rules) or "off", ""


def _right(store: Store, kind: Kind) -> str:
    right = backend_of(store.url).rule_rights.get(kind)
    return f"allow {right}, or look as an administrator" if right else "look as an administrator"


def _reason(error: FedmlError) -> str:
    return error.message.rpartition(": ")[2]
