"""python-nomad as it is: each of its public methods is called or stands here as refused.

What real Nomad answered is recorded beside the sessions; the embedded region must answer in the same shape. A method that
it refuses names what isn't there (501). To record anew: FEDML_RECORD=1 with the real binaries in NOMAD_BIN.
"""

from __future__ import annotations

import base64
import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nomad  # noqa: TID253 - a test of python-nomad itself
import pytest

from tests.conformance.region.recorded import FOLDER, IS_RECORDING, KNOWN, lines, plain, shape

HCL = 'job "parsed" {\n  type = "batch"\n  group "g" {\n    task "t" {\n      driver = "raw_exec"\n    }\n  }\n}\n'


@dataclass
class World:
    """What the calls are about: a client, a parameterized job, its child that has ended, a plain job and their parts."""

    client: nomad.Nomad
    parent: str
    job: dict[str, Any]
    alloc: str
    evaluation: str
    node: str


@pytest.fixture
def world(us, federation, new_job) -> World:
    parent, job = new_job("echo hello", ParameterizedJob={"MetaOptional": ["a"]}), new_job("echo hello")
    us.register(parent, enforce_index=0)
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    federation.wait(f"/v1/job/{job['ID']}", lambda one: one["Status"] == "dead")
    host, _, port = federation.addresses["us"].removeprefix("http://").partition(":")
    client = nomad.Nomad(host=host, port=int(port), token=federation.token, timeout=20)
    (evaluation,) = us.evaluations(job["ID"])
    return World(client, parent["ID"], job, alloc.id, evaluation["ID"], alloc.node_id)


def _logs(world: World) -> str:
    said = world.client.client.stream_logs.stream(world.alloc, "main", "stdout")
    return base64.b64decode(json.loads(said)["Data"]).decode()


CALLS: dict[str, Callable[[World], Any]] = {
    "agent.get_agent": lambda w: sorted(w.client.agent.get_agent()),
    "agent.get_members": lambda w: sorted(w.client.agent.get_members()["Members"][0]),
    "allocation.get_allocation": lambda w: w.client.allocation.get_allocation(w.alloc),
    "allocations.get_allocations": lambda w: w.client.allocations.get_allocations(prefix=w.alloc, resources=True),
    "client.cat.read_file": lambda w: w.client.client.cat.read_file(w.alloc, "alloc/logs/main.stdout.0"),
    "client.ls.list_files": lambda w: sorted(one["Name"] for one in w.client.client.ls.list_files(w.alloc, "/alloc")),
    "client.read_at.read_file_offset": lambda w: w.client.client.read_at.read_file_offset(
        w.alloc, 1, 3, "alloc/logs/main.stdout.0"
    ),
    "client.stat.stat_file": lambda w: sorted(w.client.client.stat.stat_file(w.alloc, "alloc/logs/main.stdout.0")),
    "client.stats.read_stats": lambda w: sorted(w.client.client.stats.read_stats())[:2],
    "client.stream_logs.stream": _logs,
    "deployments.get_deployments": lambda w: w.client.deployments.get_deployments(),
    "evaluation.get_allocations": lambda w: w.client.evaluation.get_allocations(w.evaluation),
    "evaluation.get_evaluation": lambda w: w.client.evaluation.get_evaluation(w.evaluation),
    "evaluations.get_evaluations": lambda w: w.client.evaluations.get_evaluations(prefix=w.evaluation),
    "event.stream.get_stream": lambda w: [type(one).__name__ for one in w.client.event.stream.get_stream()[1:2]],
    "job.dispatch_job": lambda w: w.client.job.dispatch_job(w.parent, meta={"a": "1"}),
    "job.evaluate_job": lambda w: w.client.job.evaluate_job(w.job["ID"]),
    "job.get_allocations": lambda w: w.client.job.get_allocations(w.job["ID"]),
    "job.get_deployment": lambda w: w.client.job.get_deployment(w.job["ID"]),
    "job.get_deployments": lambda w: w.client.job.get_deployments(w.job["ID"]),
    "job.get_evaluations": lambda w: w.client.job.get_evaluations(w.job["ID"]),
    "job.get_job": lambda w: w.client.job.get_job(w.job["ID"]),
    "job.get_summary": lambda w: w.client.job.get_summary(w.job["ID"]),
    "job.get_versions": lambda w: w.client.job.get_versions(w.job["ID"]),
    "job.plan_job": lambda w: w.client.job.plan_job(w.job["ID"], {"Job": w.job}, diff=True),
    "job.register_job": lambda w: w.client.job.register_job(w.job["ID"], {"Job": w.job}),
    "jobs.get_jobs": lambda w: w.client.jobs.get_jobs(prefix=w.job["ID"]),
    "jobs.parse": lambda w: w.client.jobs.parse(HCL),
    "jobs.register_job": lambda w: w.client.jobs.register_job({"Job": w.job}),
    "namespace.get_namespace": lambda w: w.client.namespace.get_namespace("default"),
    "namespaces.get_namespaces": lambda w: [one["Name"] for one in w.client.namespaces.get_namespaces()],
    "node.drain_node": lambda w: w.client.node.drain_node(w.node),
    "node.drain_node_with_spec": lambda w: w.client.node.drain_node_with_spec(w.node, None, mark_eligible=True),
    "node.eligible_node": lambda w: w.client.node.eligible_node(w.node, eligible=True),
    "node.get_allocations": lambda w: (
        {one["NodeID"] == w.node for one in w.client.node.get_allocations(w.node)} == {True}
    ),
    "node.get_node": lambda w: sorted({*w.client.node.get_node(w.node)} - {*KNOWN}),
    "nodes.get_nodes": lambda w: sorted(w.client.nodes.get_nodes(resources=True)[0]),
    "regions.get_regions": lambda w: w.client.regions.get_regions(),
    "scaling.get_scaling_policies": lambda w: w.client.scaling.get_scaling_policies(),
    "search.search": lambda w: w.client.search.search(w.job["ID"], "jobs"),
    "status.leader.get_leader": lambda w: w.client.status.leader.get_leader().count(":"),
    "status.peers.get_peers": lambda w: len(w.client.status.peers.get_peers()),
    "validate.validate_job": lambda w: w.client.validate.validate_job({"Job": w.job}).json(),
    "variables.get_variables": lambda w: w.client.variables.get_variables(prefix="fedml/nothing"),
    "variable.create_variable": lambda w: w.client.variable.create_variable("fedml/x", {"Items": {"a": "1"}}),
    "variable.get_variable": lambda w: w.client.variable.get_variable("fedml/x"),
    "variable.delete_variable": lambda w: w.client.variable.delete_variable("fedml/x"),
    "allocation.stop_allocation": lambda w: w.client.allocation.stop_allocation(w.alloc),
    "job.deregister_job": lambda w: w.client.job.deregister_job(w.job["ID"]),
    "system.initiate_garbage_collection": lambda w: w.client.system.initiate_garbage_collection(),
}
ABOUT_OTHER_OBJECTS = {
    "acl": "see test_acls",
    **dict.fromkeys(
        ("deployment", "metrics", "operator", "scaling", "sentinel"), "objects that batch work doesn't have"
    ),
    **dict.fromkeys(("agent.force_leave", "agent.join_agent"), "servers"),
    **dict.fromkeys(("agent.get_servers", "agent.update_servers"), "servers"),
    "client.stream_file": "follows a file for ever",
    "client.allocation": "measures and restarts: see test_sessions",
    **dict.fromkeys(("client.gc_allocation", "client.gc_all_allocations"), "a node's own housekeeping"),
    **dict.fromkeys(("job.periodic_job", "job.revert_job", "job.stable_job"), "periodic jobs and deployments"),
    **dict.fromkeys(("namespace.create_namespace", "namespace.update_namespace"), "declared, not managed"),
    **dict.fromkeys(("namespace.delete_namespace", "node.purge_node"), "declared, not managed"),
    "node.evaluate_node": "an operator's repair",
    "search.fuzzy_search": "the user interface's",
    "system.reconcile_summaries": "an operator's repair",
}
"""What isn't called, and why: by endpoint, or by method."""


def test_it_is_answered_as_by_nomad(federation, world):
    path = FOLDER / f"python-nomad-{federation.regions['us'].version()}.json"
    said = {name: _said(CALLS[name], world) for name in sorted(CALLS, key=_changes_something)}
    if IS_RECORDING and federation.engine != "embedded":
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    recorded = json.loads(path.read_text())
    for name, answer in said.items():
        changes = difflib.unified_diff(lines(recorded[name]), lines(answer), "real", "here", n=2, lineterm="")
        difference = "\n".join(changes)
        assert not difference, f"{name}\n{difference}"


def _changes_something(name: str) -> bool:
    """Such calls come last; what one writes, the one after it reads and removes."""
    is_read = name.rpartition(".")[2].startswith(("get_", "read_", "list_", "stat_", "search", "stream"))
    return name.startswith("variable.") or not is_read


def _said(call: Callable[[World], Any], world: World) -> Any:
    try:
        said = shape(call(world))
    except nomad.api.exceptions.BaseNomadException as error:
        response = error.nomad_resp
        said = {"status": getattr(response, "status_code", None), "text": plain(getattr(response, "text", str(error)))}
    except ValueError:
        said = "no JSON"  # what python-nomad makes of an empty answer
    return json.loads(json.dumps(said, default=str).replace(world.job["ID"], "<job>").replace(world.parent, "<parent>"))


def test_every_public_method_is_called_or_its_absence_explained():
    client = nomad.Nomad(host="127.0.0.1")
    missing = []
    for name, endpoint in vars(client).items():
        if not type(endpoint).__module__.startswith("nomad.api"):
            continue
        for method in _methods(endpoint):
            full = f"{name.lstrip('_')}.{method}"
            known = (full, full.rpartition(".")[0], full.partition(".")[0])
            if full not in CALLS and not any(one in ABOUT_OTHER_OBJECTS for one in known):
                missing.append(full)
    assert missing == []


def _methods(endpoint: Any) -> list[str]:
    found = []
    for name in dir(endpoint):
        value = getattr(endpoint, name)
        if name.startswith("_") or name == "request":
            continue
        if type(value).__module__.startswith("nomad.api") and not callable(value):
            found += [f"{name}.{inner}" for inner in _methods(value)]
        elif callable(value):
            found.append(name)
    return found
