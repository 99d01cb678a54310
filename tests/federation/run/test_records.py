"""What a run's coordinator believes of the records in its stores: with the allocation known, and of a whole slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from federation.claims import Bound, Site
from federation.errors import PublishError
from federation.result import Key, ResultRecord, manifest_sha256
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.causes import Cause, refused_by
from federation.run.ports import Ports
from federation.run.records import look
from regions.errors import NotFound, RegionUnreachable
from regions.model import Allocation, Node
from tests.federation.run.brain.world import FILES, MANIFEST, STORE, World

RUN = replace(MANIFEST, slots=3, groups={"model": 2})
CHILD = "train/dispatch-1"
ALLOCATION = Allocation("alloc-1", CHILD, "model", 1, "node-id", "n-1", "complete", "run")
RECORD = ResultRecord(
    key=Key(RUN.run, 2, "model", 1), attempt=1, job="train", version="4", spec_hash="5ec", region="us", datacenter="dc1",
    node="n-1", alloc_id="alloc-1", job_id=CHILD, store=STORE, manifest_sha256=manifest_sha256(FILES), files=FILES,
    created="2026-01-01T00:00:00Z", params={"lr": "0.1"},
)  # fmt: skip
BOUND = (Bound(1, "us", CHILD), Bound(2, "eu", ""))


class Region:
    """Knows these children by (slot, attempt), and allocations."""

    def __init__(
        self,
        children: Mapping[str, tuple[int, int]] | None = None,
        allocations: Sequence[Allocation] = (ALLOCATION,),
        *,
        spec_hash: str = "5ec",
        answers: bool = True,
    ) -> None:
        self.children = {CHILD: (2, 1)} if children is None else children
        self.known, self.spec_hash, self.answers = list(allocations), spec_hash, answers

    def job(self, job_id: str) -> dict[str, Any]:
        if not self.answers:
            raise RegionUnreachable("no answer", region="us")
        if job_id not in self.children:
            raise NotFound("gone", region="us")
        return {"ID": job_id, "Meta": {**RUN.own_meta(*self.children[job_id]), "fedml_spec": self.spec_hash}}

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        return [one for one in self.known if one.job_id == job_id], 1


def ports(record: ResultRecord | None, region: Region | None = None, **changes: Any) -> Ports:
    nothing = cast("Any", lambda *_: None)
    made = Ports(
        clients={"us": region or Region(), "eu": region or Region()},  # type: ignore[dict-item]
        run_log=nothing, index=nothing, probe=nothing, ping=nothing, list_allocations=nothing, watch=nothing, observe=nothing,
        read=lambda _region, _key, _allocation: record,
        search=lambda _region, _slot: [record] if record else [],
        inputs=lambda _slot: ({"lr": "0.1"}, b""),
        sites={name: Site((name,), {"dc1": STORE}) for name in ("us", "eu")},
    )  # fmt: skip
    return replace(made, **changes)


READ = cmd.Look(2, 1, "us", ALLOCATION, BOUND)
SEARCH = cmd.Look(2, 1, "us", None, BOUND)
LIES: list[tuple[dict[str, Any], str]] = [
    ({"key": Key("another-run", 2, "model", 1)}, "says run 'another-run'"),
    ({"key": Key(RUN.run, 1, "model", 1)}, "says slot 1"),
    ({"key": Key(RUN.run, 2, "other", 1)}, "says group 'other'"),
    ({"key": Key(RUN.run, 2, "model", 7)}, "says index 7"),
    ({"attempt": 40}, "says attempt 40"),
    ({"job": "sales", "version": "99"}, "says job 'sales'"),
    ({"version": "99"}, "says version '99'"),
    ({"version": "9999999999999999999"}, "says version '9999999999999999999'"),
    ({"spec_hash": "another"}, "says spec hash 'another'"),
    ({"region": "eu"}, "says region 'eu'"),
    ({"datacenter": "dc9"}, "says datacenter 'dc9'"),
    ({"node": "n-2"}, "says node 'n-2'"),
    ({"job_id": "train/dispatch-9"}, "says child 'train/dispatch-9'"),
    ({"alloc_id": "alloc-9"}, "says allocation 'alloc-9'"),
    ({"store": "file:///elsewhere"}, "says store 'file:///elsewhere'"),
    ({"params": {"lr": "7"}}, "says parameter lr '7'"),
    ({"prefix": "artifacts/"}, "says prefix 'artifacts/'"),
]


def test_an_honest_record_is_believed_by_allocation_and_by_slot() -> None:
    assert look(RUN, ports(RECORD), READ) == ev.Looked(2, 1, "alloc-1", (RECORD,))
    assert look(RUN, ports(RECORD), SEARCH) == ev.Looked(2, 1, "", (RECORD,))
    assert look(RUN, ports(None), READ) == ev.Looked(2, 1, "alloc-1", ())


@pytest.mark.parametrize("command", [READ, SEARCH], ids=["by allocation", "by slot"])
@pytest.mark.parametrize(("lie", "told"), LIES)
def test_a_lie_is_refused_and_says_why(command: cmd.Look, lie: dict[str, Any], told: str) -> None:
    found = look(RUN, ports(replace(RECORD, **lie)), command)
    assert (found.records, found.error) == ((), "")
    assert told in found.refusal


def test_what_is_not_a_record_is_a_refusal_not_a_question_to_ask_again() -> None:
    def read(*_: object) -> ResultRecord:
        raise PublishError("it isn't a record")

    assert look(RUN, ports(None, read=read), READ) == ev.Looked(2, 1, "alloc-1", (), refusal="it isn't a record")


def test_a_datacenter_is_what_nomad_says_of_the_node() -> None:
    sites = {"us": Site(("us",), {"dc1": STORE, "dc2": STORE})}
    node = Node("node-id", "n-1", "dc2", is_ready=True, cpu_mhz=1, memory_mb=1)
    made = ports(RECORD, sites=sites, node=lambda _region, _node: node)
    assert "datacenter 'dc1'; Nomad has 'dc2'" in look(RUN, made, READ).refusal
    found = look(RUN, replace(made, read=lambda *_: replace(RECORD, datacenter="dc2")), READ)
    assert len(found.records) == 1


def test_a_child_of_a_changed_job_says_so_truly() -> None:
    """Not the slot's failure: its attempt ends as refused, which doesn't count."""
    record = replace(RECORD, spec_hash="another")
    assert look(RUN, ports(record, Region(spec_hash="another")), READ).records == (record,)


def test_a_second_child_of_the_attempt_is_believed_where_nomad_says_that_it_is_one() -> None:
    record = replace(RECORD, job_id="train/dispatch-2", alloc_id="alloc-2")
    other = replace(ALLOCATION, id="alloc-2", job_id="train/dispatch-2")
    twin = Region({CHILD: (2, 1), "train/dispatch-2": (2, 1)}, [ALLOCATION, other])
    assert look(RUN, ports(record, twin), SEARCH).records == (record,)
    stranger = Region({CHILD: (2, 1), "train/dispatch-2": (0, 1)}, [ALLOCATION, other])
    assert "child 'train/dispatch-2'; Nomad has it as a child of something else" in (
        look(RUN, ports(record, stranger), SEARCH).refusal
    )


def test_what_nomad_forgot_is_believed_as_the_run_log_names_it() -> None:
    forgotten = Region({}, [])
    assert look(RUN, ports(RECORD, forgotten), SEARCH).records == (RECORD,)
    other = replace(RECORD, job_id="train/dispatch-2")
    assert "the run log has 'train/dispatch-1'" in look(RUN, ports(other, forgotten), SEARCH).refusal
    unnamed = replace(SEARCH, bound=(Bound(1, "us", ""),))
    assert look(RUN, ports(other, forgotten), unnamed).records == (other,)
    strange = replace(RECORD, job_id="sales/dispatch-2")
    assert "are named train/dispatch-…" in look(RUN, ports(strange, forgotten), unnamed).refusal


def test_while_nomad_is_silent_only_a_child_in_the_run_log_is_believed() -> None:
    silent = Region(answers=False)
    assert look(RUN, ports(RECORD, silent), SEARCH).records == (RECORD,)
    unnamed = replace(SEARCH, bound=(Bound(1, "us", ""),))
    assert look(RUN, ports(RECORD, silent), unnamed) == ev.Looked(2, 1, "", (), error="region us: no answer")


@pytest.mark.parametrize(
    "region", [Region(answers=False), Region({}, []), Region(allocations=[])], ids=["silent", "forgot", "no allocation"]
)
def test_a_refused_record_is_not_believed_later_when_nomad_tells_less(region: Region) -> None:
    lie = replace(RECORD, node="n-2")
    told = "NoResult: its record says node 'n-2'; Nomad has 'n-1'"
    refused = replace(SEARCH, bound=(Bound(1, "us", CHILD, told), Bound(2, "eu", "")))
    found = look(RUN, ports(lie, region), refused)
    assert (found.records, found.error) == ((), "")
    assert told in found.refusal
    honest = replace(RECORD, attempt=2, region="eu", job_id="train/dispatch-2", alloc_id="alloc-2")
    other = replace(refused, bound=(Bound(1, "us", CHILD, told), Bound(2, "eu", "train/dispatch-2")))
    assert look(RUN, ports(honest, region), other).records == (honest,), "another attempt of the slot is its own"


def test_what_nomad_confirms_is_believed_though_another_child_of_the_attempt_lied() -> None:
    command = replace(SEARCH, bound=(Bound(1, "us", CHILD, "NoResult: its record says node 'n-2'"),))
    assert look(RUN, ports(RECORD), command).records == (RECORD,)


def test_an_adopted_result_is_of_the_attempt_whose_child_wrote_it() -> None:
    made = replace(RUN, results="adopt")
    record = replace(RECORD, attempt=1, prefix="mine/", environment={"adopted": "mine/{alloc_id}"})
    (found,) = look(made, ports(record), replace(READ, attempt=2, region="eu")).records
    assert found.attempt == 2
    assert look(made, ports(record), SEARCH).records == (record,)
    assert look(made, ports(replace(record, region="eu")), SEARCH).records == ()
    killed = refused_by(Cause.EXIT, "task t: Exit Code: 1", results="adopt")
    found = look(made, ports(record), replace(SEARCH, bound=(Bound(1, "us", CHILD, killed),)))
    assert (found.records, "Exit Code: 1" in found.refusal) == ((), True)


@pytest.mark.parametrize("cause", Cause)
def test_what_a_job_writes_itself_counts_unless_its_tasks_are_known_to_have_ended_badly(cause: Cause) -> None:
    is_unknown = cause in (Cause.VANISHED, Cause.REGION_LOST, Cause.NO_RESULT)
    assert refused_by(cause, "why", results="adopt") == ("" if is_unknown else "why")
    assert refused_by(None, "", results="adopt") == ""


@pytest.mark.parametrize(
    "lie", [{"version": "99"}, {"region": "eu"}, {"attempt": 40}, {"job": "sales"}, {"spec_hash": "another"}]
)
def test_a_node_that_lies_fails_its_attempt_and_the_slot_is_done_elsewhere(lie: dict[str, Any]) -> None:
    """The forged record stays, never wins, and costs other slots nothing."""
    world = World(sizes={"us": 3, "eu": 3})
    publish = world._published
    forged: list[str] = []

    def lying(name: str, child: Any, allocation: Allocation) -> None:
        publish(name, child, allocation)
        if name == "us":
            world.records[allocation.id] = replace(world.records[allocation.id], **lie)
            forged.append(allocation.id)

    world._published = lying  # type: ignore[method-assign]
    closed = world.run(replace(MANIFEST, regions=("us", "eu"), slots=4, max_attempts=4))
    assert closed.state == "done"
    assert forged
    assert not world.entered.intersection(forged)
    assert len(world.index) == 4
    reasons = [change for entry in world.log for change in entry if change["type"] == "fail"]
    assert len(reasons) == len(forged)
    assert {one["cause"] for one in reasons} == {str(Cause.NO_RESULT)}
    assert all(one["reason"].startswith("NoResult: its record says ") for one in reasons)


def test_metrics_are_the_nodes_own_word() -> None:
    """Nothing else knows them: they are entered as the node says."""
    record = replace(RECORD, metrics={"auc": 1.0}, environment={"framework": "any"}, created="2020-01-01T00:00:00Z")
    assert look(RUN, ports(record), READ).records == (record,)
