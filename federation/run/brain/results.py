"""Looks for records in the stores, commits them to the index, and finishes slots whose keys are all committed."""

from __future__ import annotations

import heapq
import math

from federation.claims import Bound
from federation.result import LEFT_OUT, ResultRecord
from federation.run.brain.causes import Cause, nothing_published, refused_by
from federation.run.brain.commands import Commit, Look
from federation.run.brain.endings import Ends
from federation.run.brain.events import CommitFailed, Committed, Looked
from federation.run.brain.state import Attempt, GroupIndex, Logged, RunState, Search
from federation.run.brain.transitions import SlotState
from federation.text import shortened
from regions.model import Allocation

_REMARK_CHARS = 200
LOOKS = 2
"""How often a record is looked for before it counts as missing."""


def _remarks(record: ResultRecord) -> list[str]:
    """What a person should know of a result that counts: metrics that aren't finite, and what the record leaves out."""
    odd = [
        f"{name} is {value:g}"
        for name, value in record.metrics.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    left_out = record.environment.get(LEFT_OUT, "")
    return [shortened(text, _REMARK_CHARS) for text in (", ".join(odd), left_out) if text]


class Results:
    """Records that are looked for, and keys that are in the index."""

    def __init__(self, state: RunState, ends: Ends) -> None:
        self._state = state
        self._ends = ends
        self._looks: list[tuple[float, int, int, str]] = []
        self._commits_under_way = 0
        self._commit_at_s = 0.0
        self._waits_for = ""
        """Why results wait for the index, as it was reported."""
        self._unread: set[str] = set()
        """Regions whose unreadable results were reported."""
        self._same: dict[tuple[GroupIndex, ...], tuple[GroupIndex, ...]] = {}
        """One value for all slots that have the same keys: an eighth of the memory of a large run."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way to the index."""
        return not (self._commits_under_way or self._state.to_commit)

    # ── records ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, number: int, attempt: Attempt, allocation: Allocation | None) -> None:
        """Looks for an allocation's record, once; without an allocation, for all records of the slot."""
        alloc_id = allocation.id if allocation else ""
        attempt.searches = attempt.searches or {}
        known = attempt.searches.get(alloc_id)
        if known is None or known.misses >= LOOKS:
            attempt.searches[alloc_id] = Search(allocation)
            self._ask(number, attempt, allocation)

    def tick(self) -> None:
        """Repeats looks that are due."""
        state = self._state
        while self._looks and self._looks[0][0] <= state.now_s:
            _, number, attempt_number, alloc_id = heapq.heappop(self._looks)
            attempt = state.attempt(number, attempt_number)
            if attempt.searches and alloc_id in attempt.searches:
                self._ask(number, attempt, attempt.searches[alloc_id].allocation)

    def _ask(self, number: int, attempt: Attempt, allocation: Allocation | None) -> None:
        attempts, results = self._state.slots[number].attempts, self._state.manifest.results
        bound = tuple(
            Bound(one.number, one.region, one.job_id, refused_by(one.cause, one.reason, results=results))
            for one in attempts
            if Logged.BINDING in one.logged
        )
        self._state.out.append(Look(number, attempt.number, attempt.region, allocation, bound))

    def looked(self, event: Looked) -> None:
        """Takes the records of an allocation, or of a slot; only those of the run's own spec count. An allocation whose record
        is refused has no result. A refused record among a slot's records decides nothing about its attempts."""
        state = self._state
        slot, attempt = state.slots[event.slot], state.attempt(event.slot, event.attempt)
        search = (attempt.searches or {}).get(event.alloc_id)
        self._say_whether_read(attempt.region, event.error)
        if event.error:
            self._look_later(event, state.limits.look_retry_s)
            return
        good = [record for record in event.records if record.spec_hash == state.manifest.spec_hash]
        state.to_commit.extend(good)
        found = {(record.key.group, record.key.index) for record in good}
        if good and search and search.allocation:
            self._ends.keep_logs(event.slot, attempt, search.allocation, is_failed=False)
        if len(found.union(slot.committed)) >= state.keys_a_slot or (good and event.alloc_id):
            if attempt.searches:
                attempt.searches.pop(event.alloc_id, None)
        elif not event.alloc_id and attempt.verdict:
            cause, reason = attempt.verdict
            self._ends.end(event.slot, attempt, cause, f"{reason}; {event.refusal}" if event.refusal else reason)
        elif event.records and not good and event.alloc_id:
            self._ends.end(event.slot, attempt, Cause.REFUSED, "its child carries another spec hash")
        elif event.refusal and event.alloc_id:
            self._ends.end(event.slot, attempt, Cause.NO_RESULT, f"NoResult: {event.refusal}")
        elif search is not None:
            search.misses += 1
            if search.misses < LOOKS:
                self._look_later(event, state.limits.look_again_s)
            else:
                self._not_there(event.slot, attempt, search.allocation)

    def _say_whether_read(self, region: str, error: str) -> None:
        """Reports once that a region's results can't be read, which its slots wait for."""
        if error and region not in self._unread:
            self._unread.add(region)
            detail = f"its results can't be read, and its slots wait for them: {error}"
            self._state.tell("region", region=region, detail=detail)
        elif not error and region in self._unread:
            self._unread.remove(region)
            self._state.tell("region", region=region, detail="its results are read again")

    def nothing(self, number: int, attempt: Attempt) -> None:
        """Ends a search in a run that publishes nothing."""
        if attempt.verdict:
            self._ends.end(number, attempt, *attempt.verdict)
        else:
            self._not_there(number, attempt, None)

    def _not_there(self, number: int, attempt: Attempt, allocation: Allocation | None) -> None:
        if allocation is None:  # no child was known: it is dispatched, unless one was found meanwhile
            attempt.searches = None
            if attempt.is_open and not attempt.job_id:
                self._state.send(number, attempt)
        elif allocation.id in attempt.complete:  # else its child's end decides
            self._ends.end(number, attempt, Cause.NO_RESULT, nothing_published(self._state.manifest.results))

    def _look_later(self, event: Looked, after_s: float) -> None:
        heapq.heappush(self._looks, (self._state.now_s + after_s, event.slot, event.attempt, event.alloc_id))

    # ── the index ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> None:
        """Commits the collected records."""
        state = self._state
        if state.to_commit and self._commit_at_s <= state.now_s:
            state.out.append(Commit(tuple(state.to_commit)))
            state.to_commit = []
            self._commits_under_way += 1

    def committed(self, event: Committed) -> None:
        """Takes committed records. Each key has its result now, whichever record won: perhaps one whose own answer was lost,
        or another coordinator's. The region of the winner is charged for the slot."""
        self._commits_under_way -= 1
        self._waits_for = ""
        for record, outcome in event.outcomes:
            if outcome == "late":
                continue
            key = record.key
            slot = self._state.slots[key.slot]
            if (key.group, key.index) not in slot.committed:
                known = 0 < record.attempt <= len(slot.attempts)
                attempt = slot.attempts[record.attempt - 1] if known else slot.last
                detail = ", ".join((f"{key.group}[{key.index}] {outcome}", *_remarks(record)))
                self._state.tell("committed", attempt=attempt, slot=key.slot, detail=detail)
            giver = event.givers.get(key, 0 if outcome == "superseded" else record.attempt)
            self.has(key.slot, (key.group, key.index), giver)

    def has(self, number: int, place: GroupIndex, attempt_number: int) -> None:
        """Records that a key of the slot is committed, produced by this attempt (0: unknown). With all its keys the slot is
        done."""
        slot = self._state.slots[number]
        giver = slot.attempts[attempt_number - 1] if 0 < attempt_number <= len(slot.attempts) else None
        if giver is not None and not giver.has_given:
            giver.has_given = True
            if slot.state is SlotState.DONE and giver.region in self._state.regions:
                self._state.regions[giver.region].done += 1
        if place not in slot.committed:
            committed = (*slot.committed, place)
            slot.committed = self._same.setdefault(committed, committed)
        if len(slot.committed) >= self._state.keys_a_slot:
            self._ends.finish_slot(number)

    def commit_failed(self, event: CommitFailed) -> None:
        """Commits records again that may not have been committed: a second commit does no harm. Why they wait is reported
        once."""
        self._commits_under_way -= 1
        state = self._state
        if self._waits_for != event.error:
            self._waits_for = event.error
            state.tell("run", detail=f"results wait for the index: {event.error}")
        state.to_commit = [*event.records, *state.to_commit]
        self._commit_at_s = state.now_s + state.limits.store_retry_s
