"""Entries of the index's log and of a run's, manifests and kept logs: right in their chain, wrong in what they say."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.home import RunKeys
from federation.manifest import Manifest
from tests.attack.scene import HONEST_RUN, NODE_ALLOC, OPEN_RUN, TIME, Scene, dumped, record_of
from tests.attack.shapes import BYTES, attacked, json_bytes, spoilt
from tests.attack.test_records import FREES, READS

CHANGES: tuple[dict[str, Any], ...] = (
    {"type": "open", "run": "r", "job": "sales", "version": "5", "spec_hash": "5", "slots": 1, "expected_keys": 1},
    {"type": "close", "run": OPEN_RUN, "state": "done", "reason": ""},
    {"type": "tag", "name": "champion", "alloc_id": NODE_ALLOC, "previous": "", "rollback": False},
    {"type": "untag", "name": "champion", "previous": NODE_ALLOC},
    {"type": "retire", "alloc_id": NODE_ALLOC, "undo": False},
    {"type": "note", "alloc_id": NODE_ALLOC, "text": "good"},
    {"type": "locate", "alloc_id": NODE_ALLOC, "store": "file:///nowhere", "prefix": "artifacts/"},
    {"type": "sign", "alloc_id": NODE_ALLOC, "public_key": "00", "signature": "00", "said": {}},
    {"type": "doom", "alloc_id": NODE_ALLOC, "until": TIME},
    {"type": "remove", "alloc_id": NODE_ALLOC},
    {"type": "adopt", "alloc_id": NODE_ALLOC, "pattern": "models/*"},
    {"type": "of-a-newer-fedml", "alloc_id": NODE_ALLOC},
)
RUN_CHANGES: tuple[dict[str, Any], ...] = (
    {"type": "bind", "slot": 0, "attempt": 1, "region": "us"},
    {"type": "ack", "slot": 0, "attempt": 1, "job_id": "sales/dispatch-1"},
    {"type": "fail", "slot": 0, "attempt": 1, "cause": "exit", "reason": "it said no"},
    {"type": "cancel", "reason": "enough", "author": "ann"},
    {"type": "halt", "reason": "enough"},
    {"type": "retry", "slots": [0]},
    {"type": "rebind", "region": "us"},
    {"type": "of-a-newer-fedml", "slot": 0},
)
RUN_READS = (
    ("runs", "list"),
    ("runs", "list", "--json"),
    ("runs", "show", OPEN_RUN),
    ("runs", "show", OPEN_RUN, "--json"),
    ("runs", "logs", OPEN_RUN),
    ("runs", "logs", OPEN_RUN, "--json"),
    ("index", "sync"),
    ("index", "sync", "--yes"),
    ("index", "verify"),
)
KEPT: dict[str, Any] = {
    "format": 1,
    "slot": 0,
    "attempt": 1,
    "region": "us",
    "is_failed": True,
    "story": {
        "id": NODE_ALLOC,
        "job_id": "sales/dispatch-1",
        "group": "train",
        "index": 0,
        "node_name": "us-1",
        "client_status": "failed",
        "tasks": {
            "train": {
                "state": "dead",
                "is_failed": True,
                "restarts": 0,
                "exit_code": 1,
                "is_oom_killed": False,
                "started": TIME,
                "finished": TIME,
                "cpu_mhz": 100,
                "memory_mb": 100,
                "events": [{"time": TIME, "type": "Terminated", "text": "Exit 1"}],
            }
        },
    },
    "output": {"train": {"stdout": "epoch 1\n", "stderr": "no\n"}},
    "used": {},
}


def manifest(**given: Any) -> Manifest:
    """The manifest of the open run."""
    fields: dict[str, Any] = {
        "run": OPEN_RUN,
        "job": "sales",
        "job_file": "sales.nomad.hcl",
        "spec_hash": "5pec",
        "version": "9",
        "slots": 2,
        "groups": {"train": 1},
        "regions": ("us", "eu"),
        "one_each": False,
        "meta": {"lr": "0.1"},
        "payload": b"",
        "policy": "spread",
        "results": "publish",
        "max_attempts": 3,
        "author": "ann@host",
        "created": TIME,
    }
    return Manifest(**(fields | given))


def open_run(scene: Scene, text: bytes | None = None) -> None:
    """The run in the index and, whatever it says, its manifest."""
    made = manifest()
    scene.append(
        [
            {"type": "open", "run": OPEN_RUN, "job": made.job, "version": made.version, "spec_hash": made.spec_hash}
            | {"slots": made.slots, "expected_keys": made.expected_keys}
        ]
    )
    scene.home.put(RunKeys(OPEN_RUN).manifest, made.to_json() if text is None else text)


@attacked
@given(st.data())
def test_a_change_in_the_index(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    scene.append([{"type": "add", "record": record_of(scene.us.url).to_dict()}])
    scene.append([data.draw(spoilt(data.draw(st.sampled_from(CHANGES))))])
    scene.attack([data.draw(st.sampled_from(READS)), data.draw(st.sampled_from(READS)), *FREES])
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_who_wrote_an_entry_when_and_why(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    about = {"author": "mallory", "reason": "because", "time": TIME}
    spoilt_about = data.draw(spoilt(about))
    scene.append(
        [{"type": "note", "alloc_id": NODE_ALLOC, "text": "x"}],
        **(spoilt_about if isinstance(spoilt_about, dict) else {}),
    )
    scene.attack([("index", "log"), ("index", "log", "--json"), data.draw(st.sampled_from(READS))])
    scene.attack([("index", "rebuild"), ("index", "rebuild", "--salvage")])
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_an_object_in_the_log_that_is_no_entry(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    scene.home.put("index/log/00000000000000000006.json", data.draw(BYTES))
    scene.attack([data.draw(st.sampled_from(READS)), ("index", "verify"), ("index", "rebuild", "--salvage")])
    scene.assert_nothing_lost()


@attacked
@given(st.data())
def test_a_manifest(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    document = json.loads(manifest().to_json())
    open_run(scene, data.draw(st.one_of(spoilt(document).map(json_bytes), BYTES)))
    scene.append([{"type": "bind", "slot": 0, "attempt": 1, "region": "us"}], prefix=f"runs/{OPEN_RUN}/log/")
    scene.attack([*data.draw(st.lists(st.sampled_from(RUN_READS), min_size=3, max_size=3))], limit_s=20)
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_a_change_in_a_run_s_log(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    open_run(scene)
    prefix = f"runs/{OPEN_RUN}/log/"
    for change in RUN_CHANGES[: data.draw(st.integers(0, 3))]:
        scene.append([change], prefix=prefix)
    scene.append([data.draw(spoilt(data.draw(st.sampled_from(RUN_CHANGES))))], prefix=prefix)
    scene.attack([*data.draw(st.lists(st.sampled_from(RUN_READS), min_size=3, max_size=3))], limit_s=20)
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_what_was_kept_of_an_attempt(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    open_run(scene)
    content = data.draw(st.one_of(spoilt(KEPT).map(json_bytes).map(gzip.compress), BYTES, BYTES.map(gzip.compress)))
    scene.home.put(f"runs/{OPEN_RUN}/logs/000000000/1/{NODE_ALLOC}.json.gz", content)
    scene.append([RUN_CHANGES[0]], prefix=f"runs/{OPEN_RUN}/log/")
    done = scene.attack([("runs", "logs", OPEN_RUN, "--json"), ("runs", "show", OPEN_RUN)], limit_s=20)
    assert all(one.code in (0, 1, 2) for one in done)
    scene.assert_nothing_lost()


@pytest.mark.parametrize("command", RUN_READS, ids=" ".join)
def test_every_command_here_takes_a_right_run(scene: Scene, command: tuple[str, ...]) -> None:
    open_run(scene)
    for change in RUN_CHANGES[:2]:
        scene.append([change], prefix=f"runs/{OPEN_RUN}/log/")
    scene.home.put(f"runs/{OPEN_RUN}/logs/000000000/1/{NODE_ALLOC}.json.gz", gzip.compress(dumped(KEPT)))
    (done,) = scene.attack([command])
    assert done.code == (1 if command == ("index", "verify") else 0), done.err + done.out
    scene.assert_index_goes_on()


def test_the_scene_has_both_runs(scene: Scene) -> None:
    open_run(scene)
    assert OPEN_RUN[-8:] in scene.run("runs", "list").out
    assert HONEST_RUN[-8:] in scene.run("index", "list").out
