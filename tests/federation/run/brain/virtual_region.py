"""A virtual Nomad region: the calls of a run's region client enter, Nomad's answers and errors leave. Time is given to it.

A place has `size` slots of which strangers may take some; a child waits for one, runs, and ends as its fate says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regions.errors import NotFound, PermissionDenied, RegionUnreachable, Throttled
from regions.model import Allocation, Dispatched, TaskState
from tests.federation.run.brain.faults import Faults

BAD_ENDS = (
    *("exit", "oom", "setup", "node_lost", "no_result", "failed_after_publishing", "hang", "strange_stop", "max_run"),
    "never_placed",
)
WELL = {"t": TaskState("dead", False, exit_code=0)}
KILLED = {"t": TaskState("dead", False, exit_code=143, is_killed=True)}
EXITED_0_WHEN_KILLED = {"t": TaskState("dead", False, exit_code=0, is_killed=True)}


@dataclass
class Child:
    """One dispatched child. `fate` is how it will end ("": well)."""

    id: str
    slot: int
    attempt: int
    meta: Mapping[str, str]
    token: str
    order: int
    fate: str = ""
    preemptions: int = 0
    moves: int = 0
    is_stopped: bool = False
    has_evaluation: bool = True
    status: str = "pending"
    ends_at: float = 0.0
    collect_at: float = float("inf")
    allocations: list[Allocation] = field(default_factory=list)


CUTS: Mapping[str, str] = {
    "all": "nothing comes through",
    "answers": "requests are carried out, and their answers are lost",
    "stream": "no event stream; requests are answered",
    "direct": "it answers pings through another region only, which doesn't get its token",
    "relay": "it answers through another region only, which may have its token",
    "pings": "it answers pings; anything larger is lost",
    "slow": "every answer takes 5 to 25 s",
    "drip": "every request hangs until its deadline",
    "flap": "cut and whole in turn, a few seconds each",
}
UNANSWERED = ("all", "direct", "pings", "drip")
"""Requests that never reach it."""


HELD = {"Status": "blocked", "FailedTGAllocs": {"model": {"NodesExhausted": 1}}}
"""A blocked evaluation: a node fits, and has no room."""


class VirtualRegion:
    """One region. `on_news(region, allocation)` hears what its event stream would tell; `on_result(child, allocation)` what a
    task publishes. `cut`: "" or how it is cut (see CUTS)."""

    def __init__(self, name: str, size: int, faults: Faults, spec_hash: str, *, has_tokens: bool = True) -> None:
        self.name = name
        self.size = size
        self.faults = faults
        self.job_modify_index = 0
        self.spec_hash = spec_hash
        self.has_tokens = has_tokens
        self.durations: Callable[[Child], float] = lambda _: faults.rng("duration").uniform(1, 20)
        self.children: dict[str, Child] = {}
        self.by_token: dict[str, str] = {}
        self.strangers = 0
        self.dispatches = 0
        self.cut = ""
        self.cut_until = 0.0
        self.is_relayed = False
        """Requests go through another region."""
        self.is_flapping = False
        self.is_token_expired = False
        self.is_job_there = True
        self.now = 0.0
        self.refuses: Callable[[int], str] = lambda _: ""
        """Why it refuses a slot's dispatch for the slot's own input."""
        self.on_news: Callable[[str, Allocation], None] = lambda _region, _allocation: None
        self.on_child: Callable[[str, Child], None] = lambda _region, _child: None
        self.on_well: Callable[[str, Child], None] = lambda _region, _child: None
        """Told of each child whose task ended by itself with exit code 0."""
        self.on_result: Callable[[str, Child, Allocation], None] = lambda _region, _child, _allocation: None

    @property
    def spec_hash(self) -> str:
        """The spec of the registered job. Each registration raises the job's index."""
        return self._spec_hash

    @spec_hash.setter
    def spec_hash(self, spec_hash: str) -> None:
        self._spec_hash = spec_hash
        self.job_modify_index += 1

    # ── the client's calls ────────────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, operation: str) -> None:
        """What happens to any request on its way."""
        is_unanswered = self.cut in UNANSWERED or (self.cut == "relay" and not self.is_relayed)
        if is_unanswered or self.faults.hits("lost_request"):
            raise RegionUnreachable("no answer", region=self.name, operation=operation)
        is_throttled = not self.is_token_expired and self.faults.hits("throttled")
        if self.cut == "answers" and (self.is_token_expired or is_throttled):  # a refusal is an answer too
            raise RegionUnreachable("the answer was lost", region=self.name, operation=operation)
        if self.is_token_expired:
            raise PermissionDenied("403", region=self.name, operation=operation)
        if is_throttled:
            raise Throttled("429", region=self.name, operation=operation)

    def _answers(self, operation: str) -> None:
        """What happens to any answer, after the request was carried out."""
        if self.cut == "answers" or self.faults.hits("lost_answer"):
            raise RegionUnreachable("the answer was lost", region=self.name, operation=operation)

    def job(self, job_id: str) -> dict[str, Any]:
        self._asked("read")
        child = self.children.get(job_id)
        self._answers("read")
        if child is not None:
            return {"ID": job_id, "Status": child.status, "Meta": child.meta, "Stop": child.is_stopped}
        if "/" in job_id or not self.is_job_there:
            raise NotFound(f"job {job_id}", region=self.name)
        return {"ID": job_id, "Meta": {"fedml_spec": self.spec_hash}, "JobModifyIndex": self.job_modify_index}

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        self._asked("list")
        children = list(self.children.values())
        if self.faults.hits("stale_list"):
            children = [one for one in children if one.order < self.dispatches - 2]
        self._answers("list")
        return [{"ID": one.id, "Status": one.status, "Meta": one.meta} for one in children]

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        self._asked("dispatch")
        done = self._dispatch(job_id, meta, idempotency_token)
        if self.faults.hits("twice"):
            done = self._dispatch(job_id, meta, idempotency_token)
        self._answers("dispatch")
        return done

    def _dispatch(self, job_id: str, meta: Mapping[str, str], token: str) -> Dispatched:
        if not self.is_job_there:
            raise NotFound(f"job {job_id}", region=self.name)
        known = self.by_token.get(token)
        if self.has_tokens and known in self.children:
            return Dispatched(str(known), "")
        order = self.dispatches = self.dispatches + 1
        child = Child(
            f"{job_id}/dispatch-{self.name}-{order:06d}", int(meta["fedml_slot"]), int(meta["fedml_attempt"]),
            {**meta, "fedml_spec": self.spec_hash}, token, order,
        )  # fmt: skip
        child.fate = next((kind for kind in BAD_ENDS if self.faults.hits(kind)), "")
        child.has_evaluation = not self.faults.hits("no_evaluation")
        self.children[child.id] = child
        self.by_token[token] = child.id
        self.on_child(self.name, child)
        return Dispatched(child.id, "evaluation")

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        self._asked("stop")
        child = self.children.get(job_id)
        if child is None:
            raise NotFound(f"job {job_id}", region=self.name)
        if child.status != "dead":
            self._stop(child)
        if purge:
            del self.children[job_id]
        self._answers("stop")

    def evaluate(self, job_id: str) -> str:
        self._asked("evaluate")
        if job_id in self.children:
            self.children[job_id].has_evaluation = True
        return "evaluation"

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        self._asked("evaluations")
        if job_id is None:
            held = {"Status": "blocked", **HELD}
            return [
                {"JobID": one.id, **(held if one.fate != "never_placed" else {"Status": "pending"})}
                for one in self.children.values()
                if one.status == "pending"
                and one.has_evaluation
                and (one.fate == "never_placed") == (status == "pending")
            ]
        return [
            {"JobID": one.id, "Status": "complete", **(HELD if one.fate != "never_placed" else {})}
            for one in self.children.values()
            if one.id == job_id and one.has_evaluation
        ]

    def logs(self, alloc_id: str, task: str, *, kind: str = "stdout", tail_bytes: int | None = None) -> bytes:
        self._asked("logs")
        return b"the last line\n"

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        self._asked("allocations")
        found = [one for child in self.children.values() if job_id in (None, child.id) for one in child.allocations]
        self._answers("allocations")
        return found, 1

    # ── what goes on in it ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> int:
        return self.strangers + sum(child.status == "running" for child in self.children.values())

    @property
    def free(self) -> int:
        """What a dry run would say, queue deducted."""
        queued = sum(child.status == "pending" and child.has_evaluation for child in self.children.values())
        return max(0, self.size - self.busy) - queued

    def live(self, now: float) -> None:
        """Time passes: children end, waiting ones begin, old ones are forgotten."""
        self.now = now
        for child in list(self.children.values()):
            if child.status == "running" and child.ends_at <= now:
                self._ends_by_fate(child)
            elif child.status == "running" and child.preemptions < 2 and self.faults.hits("preempted"):
                self._preempt(child)
            elif child.status == "running" and child.moves < 3 and self.faults.hits("drained"):
                self._move(child)
            if child.status == "dead" and child.collect_at <= now:
                del self.children[child.id]
        for child in self.children.values():
            is_placeable = child.has_evaluation and (child.fate != "never_placed" or self.faults.is_over)
            if child.status == "pending" and is_placeable and self.busy < self.size:
                self._begin(child)

    def _begin(self, child: Child) -> None:
        child.status = "running"
        child.ends_at = self.now + self.durations(child)
        number = len(child.allocations)
        child.allocations.append(
            Allocation(
                f"{child.id[-13:]}-{number}",
                child.id,
                "model",
                0,
                "n",
                "n-1",
                "running",
                "run",
                create_index=number,
                modify_index=number,
            )
        )
        self.on_news(self.name, child.allocations[-1])

    def _preempt(self, child: Child) -> None:
        """Its room goes to others; the scheduler places it again when there is room."""
        child.preemptions += 1
        self._change(child, client_status="complete", desired_status="evict", is_preempted=True, next_allocation="next")
        child.status = "pending"

    def _move(self, child: Child) -> None:
        """Its node is drained, or its allocation stopped alone. Nomad places it again, unless (as batch jobs may) it takes the
        killed tasks for done."""
        child.moves += 1
        kind = self.faults.rng("drains").choice(("placed", "waits", "forgotten"))
        tasks = self.faults.rng("drains").choice((KILLED, EXITED_0_WHEN_KILLED))
        following = "" if kind == "forgotten" else "next"
        moved = {"client_status": "complete", "desired_status": "stop", "is_moved": True, "tasks": tasks}
        if kind == "forgotten":
            child.status, child.collect_at = "dead", self.now + 300
        elif kind == "waits":
            child.status = "pending"
        self._change(child, **moved, next_allocation=following)
        if kind == "placed":
            self._begin(child)

    def _stop(self, child: Child) -> None:
        """Somebody stops its job: what runs is killed."""
        child.is_stopped = True
        tasks = self.faults.rng("stops").choice((KILLED, EXITED_0_WHEN_KILLED))
        self._end(child, "complete", desired="stop", tasks=tasks)

    def _ends_by_fate(self, child: Child) -> None:
        fate = child.fate
        if fate == "hang" and not self.faults.is_over:
            child.ends_at += 50
            return
        if fate in ("", "failed_after_publishing"):
            self.on_result(self.name, child, child.allocations[-1])
        if fate == "strange_stop":
            self._stop(child)
        elif fate == "node_lost":
            self._end(child, "lost")
        elif fate == "max_run":
            self._end(child, "complete", tasks=KILLED, client_description="allocation exceeded max_run_duration")
        elif fate in ("", "no_result", "hang", "never_placed"):
            self.on_well(self.name, child)
            self._end(child, "complete", tasks=WELL)
        else:
            code = None if fate == "setup" else 1
            state = TaskState("dead", True, 0, "Exit Code: 1", code, is_oom_killed=fate == "oom")
            self._end(child, "failed", tasks={"t": state})
        if self.faults.hits("collected"):
            child.collect_at = self.now

    def _end(
        self,
        child: Child,
        status: str,
        *,
        desired: str = "run",
        tasks: Mapping[str, TaskState] | None = None,
        client_description: str = "",
    ) -> None:
        child.status = "dead"
        child.collect_at = self.now + 300
        if child.allocations and not child.allocations[-1].is_over:
            self._change(
                child,
                client_status=status,
                desired_status=desired,
                tasks=tasks or {},
                client_description=client_description,
            )

    def _change(self, child: Child, **changes: Any) -> None:
        last = child.allocations[-1]
        child.allocations[-1] = replace(last, modify_index=last.modify_index + 1, **changes)
        self.on_news(self.name, child.allocations[-1])
