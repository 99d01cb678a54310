"""Works out when each attempt of a run waited and computed. Pure.

Times are seconds from the run's first binding. What Nomad told of an attempt's tasks (kept attempts) is exact. Without it, an
attempt computes from its acknowledgement to when its record was written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from federation.run.attempt_times import AttemptTimes, seconds
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Cancel, Done, Fail, OfAttempt, Read
from federation.run.brain.events import Pair

Outcome = Literal["done", "failed", "stopped", "open"]


Logged = tuple[str, Sequence[Read]]
"""An entry of a run log: its time and its changes."""


@dataclass(slots=True)
class Span:
    """One attempt over time: bound, then sent, then computing from `started_s` to `ended_s` (None: not yet, or unknown).
    Nothing changes it once the timeline is built."""

    slot: int
    attempt: int
    region: str
    bound_s: float
    sent_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None
    outcome: Outcome = "open"
    reason: str = ""
    cause: str = ""
    """The class of failure."""
    node: str = ""
    """Empty until its region told where it ran."""

    @property
    def waited_s(self) -> float:
        """From its binding until it began to compute (until it ended, where it never did)."""
        until = self.started_s if self.started_s is not None else self.ended_s
        return max(0.0, until - self.bound_s) if until is not None else 0.0

    @property
    def computed_s(self) -> float:
        """How long it computed; 0 while it does."""
        if self.started_s is None or self.ended_s is None:
            return 0.0
        return max(0.0, self.ended_s - self.started_s)


@dataclass(frozen=True, slots=True)
class RegionTime:
    """One region's part of a run. `cost` is None where the region has no price."""

    region: str
    attempts: int
    done: int
    failed: int
    waited_s: float
    computed_s: float
    peak: int
    """The most attempts that computed at once."""
    cost: float | None


SAMPLED_MIN = 5
"""Fewer attempts say too little of what a task needs."""


@dataclass(frozen=True, slots=True)
class TaskFit:
    """What one task asked for, and the most that it took in any of the `sampled` attempts."""

    task: str
    sampled: int
    cpu_mhz: int
    memory_mb: int
    used_cpu_mhz: float
    used_memory_mb: float

    @property
    def is_enough(self) -> bool:
        """Whether enough attempts were sampled to say what fits."""
        return self.sampled >= SAMPLED_MIN

    @property
    def fitting(self) -> tuple[int, int]:
        """(cpu_mhz, memory_mb) to ask for instead: a quarter more than was seen, rounded up to 50 MHz and 32 MB."""
        return _rounded(self.used_cpu_mhz * 1.25, 50), _rounded(self.used_memory_mb * 1.25, 32)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run over time. `bound_s` is the shortest that it could have taken with the room that it had: the work over the
    most attempts that computed at once, or the longest attempt, whichever is more."""

    spans: tuple[Span, ...]
    regions: tuple[RegionTime, ...]
    took_s: float
    bound_s: float
    tasks: tuple[TaskFit, ...] = ()
    begun_s: float = 0.0
    """When the first attempt was bound, in seconds since the epoch; 0 before that."""

    @property
    def efficiency(self) -> float | None:
        """The lower bound over the time that it took; None before anything was computed."""
        return self.bound_s / self.took_s if self.took_s and self.bound_s else None


def timeline(
    entries: Iterable[Logged],
    committed: Mapping[Pair, str],
    times: Iterable[AttemptTimes],
    prices_per_hour: Mapping[str, float | None],
) -> Timeline:
    """Builds a run's timeline. `committed` maps (slot, attempt) to when its last record was written, `times` are those of the
    attempts that were kept."""
    times = list(times)
    begin, spans = _logged(entries)
    _complete(spans, committed, begin)
    for attempt in times:
        pair = (attempt.slot, attempt.attempt)
        if pair in spans:
            _take_exact(spans[pair], attempt, begin)
    ordered = tuple(spans[pair] for pair in sorted(spans))
    regions = tuple(_region(name, ordered, price) for name, price in prices_per_hour.items())
    took_s = max((span.ended_s for span in ordered if span.ended_s is not None), default=0.0)
    return Timeline(ordered, regions, took_s, _lower_bound_s(ordered, regions), _fits(times), begin)


def _logged(entries: Iterable[Logged]) -> tuple[float, dict[Pair, Span]]:
    """When the first attempt was bound (0.0 before that), and what the run log tells of each attempt."""
    begin: float | None = None
    spans: dict[Pair, Span] = {}
    done: set[Pair] = set()
    for time, changes in entries:
        at = seconds(time)
        for change in changes:
            if isinstance(change, Done):
                done.add((change.slot, change.attempt))
            if isinstance(change, Cancel) and begin is not None:
                _cancel((span for pair, span in spans.items() if pair not in done), change, at - begin)
            if isinstance(change, Bind) or (isinstance(change, Ack | Fail) and (change.slot, change.attempt) in spans):
                begin = at if begin is None else begin
                _take(spans, change, at - begin)
    return begin or 0.0, spans


def _take(spans: dict[Pair, Span], change: OfAttempt, at_s: float) -> None:
    pair = (change.slot, change.attempt)
    match change:
        case Bind():
            spans[pair] = Span(*pair, region=change.region, bound_s=at_s)
        case Ack():
            spans[pair].sent_s = spans[pair].started_s = at_s
        case Fail():
            span = spans[pair]
            span.ended_s, span.reason, span.cause = at_s, change.reason, change.cause
            span.outcome = "stopped" if change.cause is Cause.RULE else "failed"


def _cancel(spans: Iterable[Span], cancel: Cancel, at_s: float) -> None:
    """Ends what was open when the run was cancelled."""
    for span in spans:
        if span.outcome == "open":
            span.ended_s, span.outcome = at_s, "stopped"
            span.reason = f"cancelled: {cancel.reason}" if cancel.reason else "cancelled"


def _complete(spans: dict[Pair, Span], committed: Mapping[Pair, str], begin: float) -> None:
    """Marks the attempts that gave a result. A record may hold anything for its time: then the end stays unknown."""
    for pair, written in committed.items():
        if pair in spans:
            with suppress(ValueError):
                spans[pair].ended_s = seconds(written) - begin
                spans[pair].outcome, spans[pair].reason = "done", ""


def _lower_bound_s(spans: Sequence[Span], regions: Sequence[RegionTime]) -> float:
    work_s = sum(span.computed_s for span in spans)
    longest_s = max((span.computed_s for span in spans if span.outcome == "done"), default=0.0)
    peak = sum(region.peak for region in regions)
    return max(work_s / peak if peak else 0.0, longest_s)


def running_at(spans: Sequence[Span], moments_s: Sequence[float], until_s: float) -> list[int]:
    """Counts the attempts that compute at each moment; one that hasn't ended computes until `until_s`."""
    return [
        sum(
            1
            for span in spans
            if span.started_s is not None
            and span.started_s <= moment < (until_s if span.ended_s is None else span.ended_s)
        )
        for moment in moments_s
    ]


def _take_exact(span: Span, one: AttemptTimes, begin: float) -> None:
    """Takes the times that Nomad told of the attempt's tasks, and its node."""
    span.node = one.node
    if one.started_s is None:
        span.started_s = None if one.is_failed else span.started_s
        return
    span.started_s = max(one.started_s - begin, span.bound_s)
    span.ended_s = one.ended_s - begin if one.ended_s is not None else span.ended_s


def _region(name: str, spans: Sequence[Span], price_per_hour: float | None) -> RegionTime:
    own = [span for span in spans if span.region == name]
    computed_s = sum(span.computed_s for span in own)
    return RegionTime(
        region=name,
        attempts=len(own),
        done=sum(span.outcome == "done" for span in own),
        failed=sum(span.outcome == "failed" for span in own),
        waited_s=sum(span.waited_s for span in own),
        computed_s=computed_s,
        peak=_peak(own),
        cost=None if price_per_hour is None else computed_s / 3600 * price_per_hour,
    )


def _peak(spans: Sequence[Span]) -> int:
    steps = sorted(
        step
        for span in spans
        if span.started_s is not None and span.ended_s is not None
        for step in ((span.started_s, 1), (span.ended_s, -1))
    )
    now = peak = 0
    for _, step in steps:
        now += step
        peak = max(peak, now)
    return peak


def _fits(attempts: Sequence[AttemptTimes]) -> tuple[TaskFit, ...]:
    fits: dict[str, TaskFit] = {}
    for one in (taken for attempt in attempts for taken in attempt.taken):
        fit = fits.get(one.task) or TaskFit(one.task, 0, one.cpu_mhz, one.memory_mb, 0.0, 0.0)
        fits[one.task] = replace(
            fit,
            sampled=fit.sampled + 1,
            used_cpu_mhz=max(fit.used_cpu_mhz, one.used_cpu_mhz),
            used_memory_mb=max(fit.used_memory_mb, one.used_memory_mb),
        )
    return tuple(fits.values())


def _rounded(value: float, step: int) -> int:
    return max(step, math.ceil(value / step) * step)
