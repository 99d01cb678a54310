"""Every way in which an allocation ends, and what fedml makes of it.

With FEDML_RECORD the allocations of a real Nomad are kept in `tests/federation/run/brain/endings`: these recordings are tests
of their own, without any region, and the embedded region is compared with them.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jobs.spec import deciding_tasks
from regions.nomad.decode import allocation_from_json
from regions.nomad.versions import parse_version
from tests.conformance.nomad_nodes import pretended, register
from tests.conformance.region.conftest import shell_task
from tests.federation.run.brain.test_recorded_endings import ending_of

RECORDINGS = Path(__file__).parents[2] / "federation" / "run" / "brain" / "endings"
SECOND = 10**9
UNTIL_KILLED = "echo ready; while :; do sleep 0.1; done"
IGNORES = f"trap '' INT TERM; {UNTIL_KILLED}"
EXITS_0 = f"trap 'exit 0' INT TERM; {UNTIL_KILLED}"
FIELDS = (
    *("ID", "Name", "JobID", "TaskGroup", "NodeID", "NodeName", "ClientStatus", "ClientDescription", "DesiredStatus"),
    *("DesiredDescription", "DesiredTransition", "NextAllocation", "PreemptedByAllocation", "FollowupEvalID"),
    *("CreateIndex", "ModifyIndex"),
)
EVENT_FIELDS = ("Type", "ExitCode", "Signal", "DisplayMessage")


def hook(name: str, script: str, when: str, *, sidecar: bool = False, **fields: Any) -> dict[str, Any]:
    return shell_task(name, script, Lifecycle={"Hook": when, "Sidecar": sidecar}, **fields)


def policy(attempts: int, delay_s: int = 1) -> dict[str, Any]:
    return {"Attempts": attempts, "Mode": "fail", "Interval": 10**12, "Delay": delay_s * SECOND}


class Region:
    """What is done to a job and its node."""

    def __init__(self, federation: Any, job_id: str, new_job: Callable[..., dict[str, Any]]) -> None:
        self.federation, self.job_id, self.new_job = federation, job_id, new_job
        self.path = f"/v1/job/{quote(job_id, safe='')}"
        self.is_drained = self.may_preempt = False

    def put(self, path: str, body: Any = None, method: str = "PUT", **query: Any) -> Any:
        status, _, text = self.federation.raw(method, path, body=body, **query)
        assert status == 200, text
        return json.loads(text) if text else None

    def stubs(self) -> list[dict[str, Any]]:
        return self._own(self.federation.get("/v1/allocations"))

    def wait(self, is_done: Callable[[list[dict[str, Any]]], Any]) -> None:
        self.federation.wait("/v1/allocations", lambda stubs: is_done(self._own(stubs)), seconds=120)

    def _own(self, stubs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The job's allocations in the order in which they were made, of a job that is gone too."""
        own = [stub for stub in stubs if stub["JobID"] == self.job_id]
        return sorted(own, key=lambda one: (one["CreateIndex"], one["Name"]))

    def until_in(self, task: str, event: str) -> None:
        """Waits until something happened to a task of the first allocation."""
        self.wait(lambda stubs: any(event in types_of(stub, task) for stub in stubs))

    def until_ready(self) -> None:
        """Waits until the task of the first allocation has done what stands before `UNTIL_KILLED` in its script."""
        logs = f"/v1/client/fs/logs/{self.stubs()[0]['ID']}"
        until = time.monotonic() + 120
        while "ready" not in self.federation.raw("GET", logs, task="main", type="stdout", plain="true")[2]:
            assert time.monotonic() < until, "the task isn't ready"
            time.sleep(0.05)  # no event tells of it

    def settled(self, status: str) -> dict[str, Any]:
        """The job, once it has this status; empty when it is gone."""
        if status == "gone":
            assert self.federation.raw("GET", self.path)[0] == 404
            return {}
        found: dict[str, Any] = self.federation.wait(self.path, lambda job: job["Status"] == status, seconds=120)
        return found

    def stop_alloc(self) -> None:
        """Stops the allocation that runs."""
        running = next(one for one in self.stubs() if one["ClientStatus"] == "running")
        self.put(f"/v1/allocation/{running['ID']}/stop")

    def restart_alloc(self) -> None:
        self.put(f"/v1/client/allocation/{self.stubs()[0]['ID']}/restart", {"AllTasks": False})

    def stop_job(self) -> None:
        self.put(self.path, method="DELETE")

    def purge_job(self) -> None:
        self.put(self.path, method="DELETE", purge="true")

    @property
    def node(self) -> str:
        return f"/v1/node/{self.stubs()[0]['NodeID']}"

    def drain(self, deadline_s: int) -> None:
        self.is_drained = True
        self.put(f"{self.node}/drain", {"DrainSpec": {"Deadline": deadline_s * SECOND}})

    def undrain(self) -> None:
        self.put(f"{self.node}/drain", {"DrainSpec": None, "MarkEligible": True})
        self.federation.wait(self.node, lambda one: one["SchedulingEligibility"] == "eligible")

    def pretend_node(self) -> None:
        """Registers a node that sends no heartbeats: it is down after some ten seconds."""
        port = self.federation.get("/v1/agent/self")["config"]["Ports"]["RPC"]
        node = pretended("gone", "us-east-1", cpu_mhz=1000, memory_mb=1000, NodeClass="gone")
        register(("127.0.0.1", port), "us", [node])

    def purge_node(self) -> None:
        for node in self.federation.get("/v1/nodes"):
            if node["Name"] == "gone":
                self.put(f"/v1/node/{node['ID']}/purge")

    def preempt(self) -> None:
        """A job of higher priority takes the node."""
        self.may_preempt = True
        self._set_preemption(True)
        other = self.new_job(tasks=[shell_task("main", "sleep 600", Resources={"CPU": 3000, "MemoryMB": 10})])
        self.put("/v1/jobs", {"Job": other | {"Priority": 90}})

    def _set_preemption(self, is_enabled: bool) -> None:
        path = "/v1/operator/scheduler/configuration"
        config = self.federation.get(path)["SchedulerConfig"]
        preemption = config["PreemptionConfig"] | {"BatchSchedulerEnabled": is_enabled}
        self.put(path, config | {"PreemptionConfig": preemption})

    def tidy_up(self) -> None:
        """Undoes what would change other tests."""
        if self.is_drained:
            self.undrain()
        if self.may_preempt:
            self._set_preemption(False)


def types_of(stub: dict[str, Any], task: str) -> list[str]:
    state = (stub["TaskStates"] or {}).get(task) or {}
    return [event["Type"] for event in state.get("Events") or []]


@dataclass(frozen=True)
class Shape:
    """One way to end. `endings` are what the allocations come to, in the order in which they were made."""

    name: str
    endings: Sequence[str]
    tasks: Sequence[dict[str, Any]]
    begun: tuple[str, str] = ("", "")
    """Task and event that is waited for before anything is done."""
    acts: Sequence[Callable[[Region], None]] = ()
    group: dict[str, Any] = field(default_factory=dict)
    count: int = 1
    since: str = "1.6.3"
    only_real: str = ""
    """Why the embedded region doesn't do it."""
    status: str = "dead"
    """The job's."""
    is_on_a_lost_node: bool = False


def main(script: str, **fields: Any) -> dict[str, Any]:
    return shell_task("main", script, **fields)


RUNNING = ("main", "Started")
SLOW = {"KillTimeout": SECOND}
MAX_RUN = {"MaxRunDuration": 2 * SECOND}
SHAPES = [
    Shape("success", ["done"], [main("true")]),
    Shape("failure", ["exit"], [main("exit 3")]),
    Shape("killed by somebody's signal", ["exit"], [main("kill -9 $$")]),
    Shape("alloc stop", ["moved", "running"], [main(UNTIL_KILLED)], RUNNING, [Region.stop_alloc]),
    Shape("alloc stop, ignoring signals", ["moved", "running"], [main(IGNORES, **SLOW)], RUNNING, [Region.stop_alloc]),
    Shape("alloc stop, exits 0", ["moved", "running"], [main(EXITS_0)], RUNNING, [Region.stop_alloc]),
    Shape(
        "alloc stop in a shutdown delay",
        ["moved", "running"],
        [main(UNTIL_KILLED, ShutdownDelay=SECOND)],
        RUNNING,
        [Region.stop_alloc],
    ),
    Shape(
        "alloc stop before main",
        ["moved", "running"],
        [hook("first", UNTIL_KILLED, "prestart"), main("true")],
        ("first", "Started"),
        [Region.stop_alloc],
    ),
    Shape(
        "alloc stop after main",
        ["done", "done"],  # Nomad places another one all the same
        [main("true"), hook("last", "sleep 2", "poststop")],
        ("last", "Started"),
        [Region.stop_alloc],
    ),
    Shape(
        "one of two stopped",
        ["moved", "done", "running"],
        [main(f"test $NOMAD_ALLOC_INDEX = 1 || {{ {UNTIL_KILLED}; }}")],
        ("main", "Terminated"),
        [Region.stop_alloc],
        count=2,
    ),
    Shape("job stop", ["stopped"], [main(UNTIL_KILLED)], RUNNING, [Region.stop_job]),
    Shape("job stop, ignoring signals", ["stopped"], [main(IGNORES, **SLOW)], RUNNING, [Region.stop_job]),
    Shape("job stop, exits 0", ["stopped"], [main(EXITS_0)], RUNNING, [Region.stop_job]),
    Shape("job stop and purge", ["stopped"], [main(UNTIL_KILLED)], RUNNING, [Region.purge_job], status="gone"),
    Shape(
        "job stop between restarts",
        ["stopped"],
        [main("exit 1")],
        ("main", "Restarting"),
        [Region.stop_job],
        {"RestartPolicy": policy(1, 600)},
    ),
    Shape(
        "job stop, leader",
        ["stopped"],
        [main(UNTIL_KILLED, Leader=True), shell_task("other", UNTIL_KILLED)],
        ("other", "Started"),
        [Region.stop_job],
    ),
    Shape("drain at the deadline", ["moved"], [main(UNTIL_KILLED)], RUNNING, [lambda one: one.drain(1)]),
    Shape("drain -force", ["moved"], [main(UNTIL_KILLED)], RUNNING, [lambda one: one.drain(-1)]),
    Shape("drain -force, exits 0", ["moved"], [main(EXITS_0)], RUNNING, [lambda one: one.drain(-1)]),
    Shape("drain until it ended", ["done"], [main("sleep 2")], RUNNING, [lambda one: one.drain(600)]),
    Shape(
        "node lost",
        ["node lost"],
        [main("true")],
        group={"Constraints": [{"LTarget": "${node.class}", "RTarget": "gone", "Operand": "="}]},
        only_real="fedml dev node kill",
        status="pending",
        is_on_a_lost_node=True,
    ),
    Shape(
        "preempted",
        ["preempted"],
        [main(UNTIL_KILLED, Resources={"CPU": 2000, "MemoryMB": 10})],
        RUNNING,
        [Region.preempt],
        only_real="no preemption",
        status="pending",
    ),
    Shape(
        "leader ended",
        ["done"],
        [
            main("sleep 1", Leader=True),
            shell_task("other", UNTIL_KILLED),
            hook("side", IGNORES, "poststart", sidecar=True, **SLOW),
        ],
    ),
    Shape("leader failed", ["exit"], [main("sleep 1; exit 2", Leader=True), shell_task("other", UNTIL_KILLED)]),
    Shape(
        "another failed before the leader",
        ["exit"],
        [main(UNTIL_KILLED, Leader=True), shell_task("other", "sleep 1; exit 2")],
    ),
    Shape("prestart sidecar", ["done"], [hook("side", UNTIL_KILLED, "prestart", sidecar=True), main("sleep 1")]),
    Shape("poststart sidecar", ["done"], [main("sleep 1"), hook("side", EXITS_0, "poststart", sidecar=True)]),
    Shape(
        "prestart and poststop",
        ["done"],
        [hook("first", "true", "prestart"), main("true"), hook("last", "true", "poststop")],
    ),
    Shape("prestart failed", ["exit"], [hook("first", "exit 4", "prestart"), main("true")]),
    Shape("poststop failed", ["exit"], [main("true"), hook("last", "exit 5", "poststop")]),
    Shape(
        "job stop with a poststop task",
        ["stopped"],
        [main(UNTIL_KILLED), hook("last", "true", "poststop")],
        RUNNING,
        [Region.stop_job],
    ),
    Shape("two main tasks", ["done"], [main("true"), shell_task("other", "sleep 1")]),
    Shape("one of two main tasks failed", ["exit"], [main(UNTIL_KILLED), shell_task("other", "sleep 1; exit 2")]),
    Shape(
        "job stop between two main tasks",
        ["stopped"],
        [main("true"), shell_task("other", UNTIL_KILLED)],
        ("main", "Terminated"),
        [Region.stop_job],
    ),
    Shape(
        "restarted",
        ["done"],
        [main("test -e $NOMAD_TASK_DIR/x || { touch $NOMAD_TASK_DIR/x; exit 1; }")],
        group={"RestartPolicy": policy(1)},
    ),
    Shape(
        "alloc restart",
        ["done"],
        [main(f"test -e $NOMAD_TASK_DIR/x && exit 0; touch $NOMAD_TASK_DIR/x; {UNTIL_KILLED}")],
        RUNNING,
        [Region.restart_alloc],
    ),
    Shape(
        "rescheduled",
        ["exit", "exit"],
        [main("exit 1")],
        group={
            "ReschedulePolicy": {"Attempts": 1, "Interval": 10**12, "Delay": 5 * SECOND, "DelayFunction": "constant"}
        },
    ),
    Shape("no such command", ["setup"], [main("") | {"Config": {"command": "/nonexistent/command"}}]),
    Shape("no such artifact", ["setup"], [main("true", Artifacts=[{"GetterSource": "http://127.0.0.1:9/none"}])]),
    Shape(
        "no such template",
        ["setup"],
        [
            main(
                "true",
                Templates=[
                    {
                        "EmbeddedTmpl": '{{ file "nonexistent" | toInt }}{{ fail "x" }}',
                        "DestPath": "local/x",
                        "ChangeMode": "noop",
                    }
                ],
            )
        ],
        only_real="templates without functions",
    ),
    Shape("max_run_duration", ["timeout"], [main(UNTIL_KILLED)], group=MAX_RUN, since="2.0.3"),
    Shape("max_run_duration, exits 0", ["timeout"], [main(EXITS_0)], group=MAX_RUN, since="2.0.3"),
    Shape("max_run_duration, ignoring signals", ["timeout"], [main(IGNORES, **SLOW)], group=MAX_RUN, since="2.0.3"),
    Shape(
        "max_run_duration, leader",
        ["timeout"],
        [main(UNTIL_KILLED, Leader=True), shell_task("other", UNTIL_KILLED)],
        group=MAX_RUN,
        since="2.0.3",
    ),
    Shape(
        "max_run_duration before main",
        ["timeout"],
        [hook("first", UNTIL_KILLED, "prestart"), main("true")],
        group=MAX_RUN,
        since="2.0.3",
    ),
    Shape(
        "max_run_duration after main",
        ["done"],
        [main("true"), hook("last", "sleep 600", "poststop")],
        group=MAX_RUN,
        since="2.0.3",
    ),
]


def is_still(stub: dict[str, Any]) -> bool:
    """Whether no task runs any more: an allocation whose time is over counts as complete before its tasks have ended."""
    return all(state["State"] == "dead" for state in (stub["TaskStates"] or {}).values())


def is_over(shape: Shape) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether all allocations are as they will be: each has ended, or it is one that replaces another."""
    wanted = ["running" if ending == "running" else "" for ending in shape.endings]

    def all_over(stubs: list[dict[str, Any]]) -> bool:
        ended = [one for one in stubs if one["ClientStatus"] in ("complete", "failed", "lost") and is_still(one)]
        running = [one for one in stubs if one["ClientStatus"] == "running" and one["DesiredStatus"] == "run"]
        if shape.status == "gone" and not stubs:  # newer servers forget them with their job
            return True
        return len(running) == wanted.count("running") and len(ended) == wanted.count("")

    return all_over


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name.replace(" ", "-") for shape in SHAPES])
def test_an_allocation_ends(federation, us, new_job, shape):
    version = us.version()
    if parse_version(version) < parse_version(shape.since):
        pytest.skip(f"Nomad does that since {shape.since}")
    if shape.is_on_a_lost_node and parse_version(version) >= parse_version("1.10.0"):
        pytest.skip("newer servers place nothing on a node that is only pretended")
    if federation.engine == "embedded" and shape.only_real:
        pytest.skip(shape.only_real)
    job = new_job(tasks=list(shape.tasks), count=shape.count, group=shape.group)
    region = Region(federation, job["ID"], new_job)
    if shape.is_on_a_lost_node:
        region.pretend_node()
    us.register(job, enforce_index=0)
    try:
        if shape.begun[0]:
            region.until_in(*shape.begun)
        if shape.begun == RUNNING and UNTIL_KILLED in shape.tasks[0]["Config"]["args"][-1]:
            region.until_ready()
        for act in shape.acts:
            act(region)
        region.wait(is_over(shape))
        child = region.settled("running" if "running" in shape.endings else shape.status)
        stubs = region.stubs()
    finally:
        region.tidy_up()
        if shape.is_on_a_lost_node:
            region.purge_node()
    found = recording(shape, child, deciding_tasks(job)["g"], stubs)
    endings = [ending_of(allocation_from_json(stub), found) for stub in stubs]
    assert endings == (list(shape.endings) if stubs else []) == found["endings"]
    path = RECORDINGS / f"{version}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if os.environ.get("FEDML_RECORD"):
        known[shape.name] = found
        lines = (f"{json.dumps(name)}: {json.dumps(one, sort_keys=True)}" for name, one in sorted(known.items()))
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    elif federation.engine == "embedded":
        real = known[shape.name]
        if stubs and real["allocations"]:
            assert told(found) == told(real), "real Nomad tells something else"


def recording(
    shape: Shape, child: dict[str, Any], deciding: Collection[str], stubs: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "endings": list(shape.endings) if stubs else [],
        "status": child.get("Status", "gone"),
        "is_stopped": bool(child.get("Stop")),
        "deciding": sorted(deciding),
        "allocations": [plain(stub) for stub in stubs],
    }


def plain(stub: dict[str, Any]) -> dict[str, Any]:
    kept = {name: stub[name] for name in FIELDS if stub.get(name)}
    kept["DesiredTransition"] = {"Migrate": (stub["DesiredTransition"] or {}).get("Migrate")}
    states = {
        name: {"State": state["State"], "Failed": state["Failed"], "Restarts": state["Restarts"]}
        | {"Events": [{name: event[name] for name in EVENT_FIELDS if event.get(name)} for event in state["Events"]]}
        for name, state in (stub["TaskStates"] or {}).items()
    }
    return kept | {"TaskStates": states}


def told(recorded: dict[str, Any]) -> Any:
    """What doesn't differ from run to run. A task that had ended is "killed" again with the others, by 1.6.3 only."""
    names = ("ClientStatus", "ClientDescription", "DesiredStatus", "DesiredTransition")
    allocations = [
        [stub.get(name) for name in names]
        # Only some versions say why a failed one is followed by another.
        + ["" if (is_followed := bool(stub.get("NextAllocation"))) else stub.get("DesiredDescription"), is_followed]
        + [
            (name, state["State"], state["Failed"], state["Restarts"], events_until_the_end(state["Events"]))
            for name, state in sorted(stub["TaskStates"].items())
        ]
        for stub in recorded["allocations"]
    ]
    return recorded["status"], recorded["is_stopped"], allocations


def events_until_the_end(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    found = [(event["Type"], event.get("ExitCode", 0)) for event in events]
    while len(found) > 1 and found[-1][0] == "Killing" and any(kind == "Terminated" for kind, _ in found):
        found.pop()
    return [one for place, one in enumerate(found) if one not in found[:place] or one[0] != "Killing"]


@pytest.mark.parametrize(
    ("script", "act", "ending"),
    [("true", None, "done"), (EXITS_0, Region.stop_alloc, "moved"), (UNTIL_KILLED, Region.stop_job, "stopped")],
)
def test_the_event_stream_tells_as_much_as_a_list(federation, us, new_job, script, act, ending):
    job = new_job(script)
    region = Region(federation, job["ID"], new_job)
    us.register(job, enforce_index=0)
    (first,) = federation.wait_for_allocations(job["ID"], lambda stubs: stubs)
    if act is not None:
        region.until_in("main", "Started")
        act(region)
    stop = threading.Event()
    for events in us.events(topics=["Allocation"], index=0, stop=stop):
        found = [allocation_from_json(event.payload) for event in events if event.payload.get("ID") == first["ID"]]
        if found and found[-1].is_over:
            break
    shape = {"deciding": (), "is_stopped": ending == "stopped"}
    assert ending_of(found[-1], shape) == ending
    listed = next(one for one in us.allocations(job_id=job["ID"])[0] if one.id == first["ID"])
    assert (listed.is_moved, listed.client_description) == (found[-1].is_moved, found[-1].client_description)
