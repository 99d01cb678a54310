"""Real tasks: hand-over between them, logs, files, failing, restarting, rescheduling, stopping."""

from __future__ import annotations

import os

import pytest

from regions.errors import NotFound
from tests.conformance.conftest import all_in

PRESTART = {"Hook": "prestart", "Sidecar": False}


def test_a_prestart_task_hands_over_to_the_main_task(us, federation, new_job, task):
    job = new_job(
        tasks=[
            task("train", 'echo model > "$NOMAD_ALLOC_DIR/data/model"; echo trained; echo oh >&2', Lifecycle=PRESTART),
            task("store", 'cat "$NOMAD_ALLOC_DIR/data/model"; echo kept > "$NOMAD_TASK_DIR/done"', Leader=True),
        ]
    )
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    assert alloc.client_status == "complete"
    assert {name: (one.state, one.failed, one.exit_code) for name, one in alloc.tasks.items()} == {
        "train": ("dead", False, 0),
        "store": ("dead", False, 0),
    }
    assert us.logs(alloc.id, "train") == b"trained\n"
    assert us.logs(alloc.id, "train", kind="stderr") == b"oh\n"
    assert us.logs(alloc.id, "store") == b"model\n"
    assert us.logs(alloc.id, "store", tail_bytes=3) == b"el\n"
    assert us.read_file(alloc.id, "alloc/data/model") == b"model\n"
    assert us.read_file(alloc.id, "store/local/done") == b"kept\n"
    assert us.read_file(alloc.id, "alloc/logs/train.stderr.0") == b"oh\n"
    names = {entry["Name"] for entry in federation.get(f"/v1/client/fs/ls/{alloc.id}", path="/")}
    assert names >= {"alloc", "train", "store"}


def test_files_that_are_not_there_or_not_ones_to_read(us, federation, new_job):
    job = new_job()
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    # The status of `cat` can't be trusted: the error comes as content. That of `stat` can.
    for endpoint, expected in (("cat", 200), ("stat", 404)):
        status, _, text = federation.raw("GET", f"/v1/client/fs/{endpoint}/{alloc.id}", path="alloc/nothing")
        assert (status, text[:5], text[-25:]) == (expected, "stat ", "no such file or directory")
    for path in ("alloc/nothing", "../../../../../../etc/passwd"):
        with pytest.raises(NotFound):
            us.read_file(alloc.id, path)
    with pytest.raises(NotFound, match="nobody"):
        us.logs(alloc.id, "nobody")


def test_a_file_that_grows_is_read_from_where_the_last_read_ended(us, federation, new_job):
    """What live curves rest on: a task that runs, a file that isn't there yet, then is, and is read in pieces."""
    path = "alloc/output/metrics.jsonl"
    waits = 'cd "$NOMAD_ALLOC_DIR"; until [ -e data/go ]; do sleep 0.1; done; mkdir output; '
    job = new_job(waits + r'printf "one\ntwo\n" > output/metrics.jsonl')
    us.register(job, enforce_index=0)
    (stub,) = federation.wait_for_allocations(job["ID"], all_in("running"))
    alloc_id = stub["ID"]
    with pytest.raises(NotFound):
        us.read_file_from(alloc_id, path, offset_bytes=0, limit_bytes=100)
    go = new_job(f'touch "$NOMAD_ALLOC_DIR/../../{alloc_id}/alloc/data/go"')
    us.register(go, enforce_index=0)
    assert federation.finished(go["ID"]).client_status == "complete"
    assert federation.finished(job["ID"]).client_status == "complete"
    assert us.read_file_from(alloc_id, path, offset_bytes=0, limit_bytes=5) == (b"one\nt", 8)
    assert us.read_file_from(alloc_id, path, offset_bytes=5, limit_bytes=1 << 20) == (b"wo\n", 8)
    assert us.read_file_from(alloc_id, path, offset_bytes=8, limit_bytes=5) == (b"", 8)
    assert us.read_file_from(alloc_id, path, offset_bytes=20, limit_bytes=5) == (b"", 8)
    for nowhere in ("../../../../../../etc/passwd", "alloc/output/none"):
        with pytest.raises(NotFound):
            us.read_file_from(alloc_id, nowhere, offset_bytes=0, limit_bytes=5)


def test_a_failing_prestart_task_keeps_main_from_running(us, federation, new_job, task):
    job = new_job(tasks=[task("get", "exit 7", Lifecycle=PRESTART), task("main", "echo ran")])
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    assert alloc.client_status == "failed"
    assert (alloc.tasks["get"].failed, alloc.tasks["get"].exit_code) == (True, 7)
    assert alloc.tasks["main"].exit_code is None
    assert us.job(job["ID"])["Status"] == "dead"


def test_the_environment_of_a_task(us, federation, new_job, task):
    main = task("main", "env", Env={"WHERE": "${node.datacenter}/${NOMAD_META_k}", "PLAIN": "$x"})
    job = new_job(tasks=[main], Meta={"k": "v"})
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    env = dict(line.split("=", 1) for line in us.logs(alloc.id, "main").decode().splitlines() if "=" in line)
    assert env["WHERE"] == "us-east-1/v"
    assert env["PLAIN"] == "$x"
    expected = {
        "NOMAD_ALLOC_ID": alloc.id,
        "NOMAD_ALLOC_NAME": f"{job['ID']}.g[0]",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_JOB_ID": job["ID"],
        "NOMAD_JOB_NAME": job["ID"],
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_TASK_NAME": "main",
        "NOMAD_REGION": "us",
        "NOMAD_DC": "us-east-1",
        "NOMAD_NAMESPACE": "default",
        "NOMAD_CPU_LIMIT": "20",
        "NOMAD_MEMORY_LIMIT": "10",
        "NOMAD_META_k": "v",
        "NOMAD_META_K": "v",
    }
    assert {name: env.get(name) for name in expected} == expected
    folders = ("NOMAD_ALLOC_DIR", "NOMAD_TASK_DIR", "NOMAD_SECRETS_DIR")
    assert [os.path.basename(env[name]) for name in folders] == ["alloc", "local", "secrets"]  # noqa: PTH119


def test_restarts_within_the_allocation(us, federation, new_job):
    policy = {"Attempts": 2, "Mode": "fail", "Interval": 10**12, "Delay": 10**8}
    job = new_job("echo try; exit 3", group={"RestartPolicy": policy})
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    assert alloc.client_status == "failed"
    assert (alloc.tasks["main"].restarts, alloc.tasks["main"].failed, alloc.tasks["main"].exit_code) == (2, True, 3)
    assert us.logs(alloc.id, "main") == b"try\n" * 3
    kinds = [event["Type"] for event in federation.get(f"/v1/allocation/{alloc.id}")["TaskStates"]["main"]["Events"]]
    assert kinds.count("Terminated") == 3
    assert kinds.count("Restarting") == 2
    assert kinds[-1] == "Not Restarting"


def test_rescheduling_in_a_new_allocation(us, federation, new_job, in_states):
    policy = {"Attempts": 1, "Interval": 10**12, "Delay": 5 * 10**9, "DelayFunction": "constant", "Unlimited": False}
    job = new_job("exit 3", group={"ReschedulePolicy": policy})
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], lambda stubs: len(stubs) == 2 and in_states("failed")(stubs))
    allocations = {one.id: one for one in (us.allocation(one.id) for one in us.allocations(job_id=job["ID"])[0])}
    (first,) = (one for one in allocations.values() if one.next_allocation)
    second = allocations[first.next_allocation]
    assert (second.index, second.next_allocation, first.desired_status) == (0, "", "stop")
    assert us.job(job["ID"])["Status"] == "dead"


def test_stopping_kills(us, federation, new_job, in_states):
    job = new_job("trap 'echo asked; exit 0' INT TERM; echo up; sleep 300 & wait")
    us.register(job, enforce_index=0)
    (stub,) = federation.wait_for_allocations(job["ID"], in_states("running"))
    us.stop_job(job["ID"])
    alloc = federation.finished(job["ID"])
    assert (alloc.id, alloc.client_status, alloc.desired_status) == (stub["ID"], "complete", "stop")
    assert us.logs(alloc.id, "main").startswith(b"up\n")
    assert us.job(job["ID"])["Status"] == "dead"


def test_a_command_that_does_not_exist(us, federation, new_job, task):
    job = new_job(tasks=[task("main", "", Config={"command": "/nonexistent/command"})])
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    assert (alloc.client_status, alloc.tasks["main"].failed, alloc.tasks["main"].exit_code) == ("failed", True, None)
    kinds = [event["Type"] for event in federation.get(f"/v1/allocation/{alloc.id}")["TaskStates"]["main"]["Events"]]
    assert "Driver Failure" in kinds


def test_the_allocations_whole_object(us, federation, new_job):
    job = new_job()
    us.register(job, enforce_index=0)
    alloc = federation.get(f"/v1/allocation/{federation.finished(job['ID']).id}")
    assert alloc["Name"] == f"{job['ID']}.g[0]"
    assert alloc["Job"]["ID"] == job["ID"]
    assert (alloc["DesiredStatus"], alloc["ClientStatus"]) == ("run", "complete")
    assert (alloc["NodeName"], alloc["Namespace"]) == ("us-1", "default")
    assert alloc["AllocatedResources"]["Tasks"]["main"]["Cpu"]["CpuShares"] == 20
    assert alloc["AllocatedResources"]["Tasks"]["main"]["Memory"]["MemoryMB"] == 10
    events = alloc["TaskStates"]["main"]["Events"]
    assert [event["Type"] for event in events] == ["Received", "Task Setup", "Started", "Terminated"]
    assert events[-1]["DisplayMessage"] == "Exit Code: 0"
    assert events[-1]["Details"]["exit_code"] == "0"
    assert alloc["TaskStates"]["main"]["StartedAt"]
    stubs = federation.get("/v1/allocations", resources="true", prefix=alloc["ID"][:8])
    assert stubs[0]["AllocatedResources"]["Tasks"]["main"]["Cpu"]["CpuShares"] == 20
