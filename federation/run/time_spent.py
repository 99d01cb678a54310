"""Says where the time of a run went: what its slots waited for, and how long. Pure.

Each attempt's time is divided at the moments that are known: its binding and dispatch (run log), what Nomad told of its tasks
(kept attempts), when its record was written and when the index took it. Where Nomad's part isn't known, all of the time from
the dispatch to the record counts as computing. What a node does before it starts the first task is fetching. Prestart tasks
compute (in the bundled pipeline one trains). Clocks of nodes may differ: a phase is never shorter than nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from federation.run.attempt_times import AttemptTimes, seconds
from federation.run.brain.events import Pair
from federation.run.timeline import Span

PHASES: Mapping[str, str] = {
    "start": "starting",
    "room": "waiting for room",
    "dispatch": "dispatched",
    "place": "placed",
    "fetch": "image or code fetched",
    "compute": "computing",
    "publish": "publishing",
    "commit": "committing",
    "retry": "waiting for another attempt",
}
"""In their order, and how people read them."""
WHO_LOOKS: Mapping[str, str] = {
    "start": "the coordinator needs that long to begin; a detached one waits for a node: fedml runs show says who drives",
    "room": "more room, another region or a smaller task lets them begin sooner: fedml plan",
    "dispatch": "the region's servers answer slowly, or the coordinator is far from them: fedml doctor",
    "place": "the region's scheduler holds them until a node has room: ask who runs the region",
    "fetch": "an image, artifact or package is fetched for each attempt: keep it nearer, or make it smaller",
    "compute": "the task itself decides: its author knows where its time goes",
    "publish": "the store of that datacenter is slow, or the results are large: fedml stores check",
    "commit": "the coordinator or the home store lags behind: fedml doctor",
    "retry": "pauses after failures, and the time until somebody retried: the reasons of failed attempts say what to mend",
}


class Recorded(NamedTuple):
    """When an attempt's last record was written, and when the index took it (RFC 3339)."""

    created: str
    committed: str


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Seconds of all slots together, by phase; each region's part of them. Of `attempts`, Nomad told the times of `exact`."""

    phases: Mapping[str, float]
    regions: Mapping[str, Mapping[str, float]]
    attempts: int = 0
    exact: int = 0
    failed_s: float = 0.0
    """What attempts took that ended badly."""

    @property
    def total_s(self) -> float:
        """All phases together."""
        return sum(self.phases.values())

    @property
    def longest(self) -> tuple[str, str] | None:
        """(region, phase) with the most time besides computing; None where nothing else took any."""
        waits = {
            (region, phase): spent
            for region, phases in self.regions.items()
            for phase, spent in phases.items()
            if phase != "compute" and spent > 0
        }
        return max(waits, key=lambda wait: waits[wait]) if waits else None


def where_time_went(
    spans: Sequence[Span],
    times: Mapping[Pair, AttemptTimes],
    recorded: Mapping[Pair, Recorded],
    *,
    begun_s: float,
    opened: str,
    unbound: int = 0,
    until_s: float | None = None,
) -> TimeSpent:
    """Adds up the phases. `begun_s` is the moment (since the epoch) from which `spans`, by slot and attempt, count. `opened` is
    when the run was opened, `until_s` the present of one that is open, in which `unbound` slots have no attempt."""
    regions: dict[str, dict[str, float]] = {}
    failed_s, exact = 0.0, 0
    opened_s = begun_s
    with suppress(ValueError):
        opened_s = min(seconds(opened), begun_s) if begun_s else seconds(opened)
    free_s, slot = begun_s, -1
    for span in spans:
        own = regions.get(span.region) or regions.setdefault(span.region, dict.fromkeys(PHASES, 0.0))
        bound_s = begun_s + span.bound_s
        if span.slot == slot:
            own["retry"] += max(0.0, bound_s - free_s)
        else:
            free_s = begun_s
            own["start"] += begun_s - opened_s
            own["room"] += max(0.0, bound_s - begun_s)
        slot, pair = span.slot, (span.slot, span.attempt)
        told = times.get(pair)
        exact += told is not None
        took_s = 0.0
        for phase, spent_s in _phases(bound_s, _moments(span, told, recorded.get(pair), begun_s, until_s)):
            own[phase] += spent_s
            took_s += spent_s
        failed_s += took_s if span.outcome == "failed" else 0.0
        free_s = max(free_s, bound_s + took_s)
    phases = {phase: sum(own[phase] for own in regions.values()) for phase in PHASES}
    if until_s is not None and unbound:
        started_s = begun_s or until_s
        phases["start"] += unbound * max(0.0, started_s - opened_s)
        phases["room"] += unbound * max(0.0, until_s - started_s)
    return TimeSpent(phases, regions, len(spans), exact, failed_s)


def _moments(
    span: Span, told: AttemptTimes | None, recorded: Recorded | None, begun_s: float, until_s: float | None
) -> Iterable[tuple[str, float | None]]:
    """When each phase ended, in order. None: it didn't end, or its end isn't known; then the next known one counts."""
    sent_s = begun_s + span.sent_s if span.sent_s is not None else None
    over_s = begun_s + span.ended_s if span.ended_s is not None else until_s
    is_done = span.outcome == "done"
    written_s, committed_s = _recorded(recorded) if is_done else (None, None)
    if told is None:
        return (
            ("dispatch", sent_s if sent_s is not None else over_s),
            ("compute", over_s if sent_s is not None else None),
            ("commit", committed_s),
        )
    ended_s = told.ended_s if told.ended_s is not None else over_s
    main_end_s = told.main_end_s if told.main_end_s is not None else ended_s
    computed_s = min(main_end_s, written_s) if written_s is not None and main_end_s is not None else main_end_s
    return (
        ("dispatch", sent_s),
        ("place", told.received_s if told.received_s is not None else told.started_s),
        ("fetch", told.started_s if told.started_s is not None else ended_s),
        ("compute", computed_s if told.started_s is not None else None),
        ("publish", ended_s if is_done else None),
        ("commit", committed_s),
    )


def _recorded(recorded: Recorded | None) -> tuple[float | None, float | None]:
    """A record may hold anything for its time."""
    if recorded is None:
        return None, None
    try:
        return seconds(recorded.created), seconds(recorded.committed)
    except ValueError:
        return None, None


def _phases(begin_s: float, moments: Iterable[tuple[str, float | None]]) -> Iterable[tuple[str, float]]:
    latest = begin_s
    for phase, moment in moments:
        if moment is not None:
            yield phase, max(0.0, moment - latest)
            latest = max(latest, moment)
