"""Attacks that once worked, each as it was reported: the smallest input and what must not happen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from federation.result import Key, ResultFile
from tests.attack.honeypot import Honeypot
from tests.attack.region import FakeRegion
from tests.attack.scene import HONEST_RUN, NODE_ALLOC, OPEN_RUN, Scene, record_of
from tests.attack.test_logs import manifest, open_run
from tests.regions.conftest import Reply

GC = ("index", "gc", "--keep", "last=1", "--grace", "0h", "--yes")


@pytest.fixture(scope="module")
def google_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A service account's key of the person's own, whose tokens come from a server on loopback."""
    tokens = Honeypot(b'{"access_token": "planted-c1", "expires_in": 3600, "token_type": "Bearer"}')
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    key = {"type": "service_account", "client_email": "ann@example.test", "private_key": pem, "project_id": "own"}
    file = tmp_path_factory.mktemp("google") / "key.json"
    file.write_text(json.dumps(key | {"token_uri": f"http://{tokens.address}/token"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        yield
    tokens.close()


def enter(scene: Scene, **given: Any) -> None:
    """A record of the node's in the index: written there by somebody who may, or by an older fedml."""
    scene.append([{"type": "add", "record": record_of(scene.us.url).to_dict() | given}])


@pytest.mark.parametrize("folder", ["artifacts/", f"artifacts/{HONEST_RUN}/", "models/", "results/", ""])
@pytest.mark.parametrize("place", ["us", "eu"])
@pytest.mark.parametrize("is_in_index", [False, True], ids=["by sync", "in the index"])
def test_a_record_names_what_gc_deletes(scene: Scene, place: str, folder: str, is_in_index: bool) -> None:
    files = scene.files_below(place, folder)
    if not files:
        pytest.skip(f"{place} has no {folder}")
    record = record_of(getattr(scene, place).url, files=files, prefix=folder)
    scene.put_record(record.to_json())
    if is_in_index:
        scene.append([{"type": "add", "record": record.to_dict()}])
    scene.attack([("index", "sync", "--yes")])
    scene.supersede_version()
    scene.attack([GC, GC])
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize(
    "command",
    [
        ("index", "get", NODE_ALLOC, "--to", "got/x"),
        ("index", "verify", "--deep"),
        ("index", "copy", NODE_ALLOC, "eu"),
        GC,
    ],
    ids=" ".join,
)
def test_a_record_sends_credentials_to_a_stranger(
    scene: Scene, honeypot: Honeypot, scheme: str, command: tuple[str, ...], google_key: None
) -> None:
    honeypot.requests.clear()
    place = "account/bucket" if scheme == "az" else "bucket"
    enter(scene, store=f"{scheme}://{place}?endpoint=http://{honeypot.address}", version="0")
    scene.attack([command], limit_s=15)
    if command == GC:
        scene.attack([GC], limit_s=15)
    assert honeypot.requests == []


def enter_run(scene: Scene, **claims: Any) -> None:
    """A whole record for a slot of a run that is over, with what it claims besides; `sync` takes what it believes."""
    open_run(scene)
    scene.append([{"type": "bind", "slot": 0, "attempt": 1, "region": "us"}], prefix=f"runs/{OPEN_RUN}/log/")
    scene.append([{"type": "close", "run": OPEN_RUN, "state": "failed", "reason": ""}])
    right = record_of(scene.us.url, key=Key(OPEN_RUN, 0, "train", 0), version="9")
    record = replace(right, **claims)
    scene.us.put(record.artifact_prefix + "model.bin", b"a model")
    scene.put_record(record.to_json(), key=record.key.record_key(NODE_ALLOC))
    scene.attack([("index", "sync", "--yes")])


def test_a_right_record_of_a_run_that_is_over_is_taken(scene: Scene) -> None:
    enter_run(scene)
    assert "9" in {row["version"] for row in json.loads(scene.run("index", "list", "--json").out)["results"]}


@pytest.mark.parametrize(
    "claims",
    [{"region": "eu"}, {"datacenter": "dc9"}, {"attempt": 7}, {"spec_hash": "another"}],
    ids=str,
)
def test_a_record_says_another_place_than_the_run_log(scene: Scene, claims: dict[str, Any]) -> None:
    enter_run(scene, **claims)
    entries = json.loads(scene.run("index", "list", "--json").out)["results"]
    ((name, value),) = claims.items()
    assert value not in [row[name] for row in entries if row["run"] == OPEN_RUN]


@pytest.mark.parametrize(
    "key", [Key(OPEN_RUN, 5, "train", 0), Key(OPEN_RUN, 0, "another", 0), Key(OPEN_RUN, 0, "train", 9)], ids=str
)
def test_a_record_is_of_a_slot_that_the_run_has_not(scene: Scene, key: Key) -> None:
    enter_run(scene, key=key)
    entries = json.loads(scene.run("index", "list", "--json").out)["results"]
    assert (key.slot, key.group, key.index) not in {
        (row["slot"], row["group"], row["index"]) for row in entries if row["run"] == OPEN_RUN
    }


@pytest.mark.parametrize("version", ["99", "9999999999999999999", "9" * 200])
def test_a_record_decides_the_next_version(scene: Scene, version: str) -> None:
    enter_run(scene, version=version)
    listed = json.loads(scene.run("index", "list", "--json").out)["results"]
    assert version not in {row["version"] for row in listed}, "the manifest says version 9"


@pytest.mark.parametrize("job", ["another", "index"])
def test_a_record_enters_another_job(scene: Scene, job: str) -> None:
    enter_run(scene, job=job)
    listed = json.loads(scene.run("index", "list", "--json").out)["results"]
    assert job not in {row["job"] for row in listed}


def test_a_record_ends_the_index_by_the_sum_of_its_sizes(scene: Scene) -> None:
    files = tuple(ResultFile(f"f{number}", 2**53 - 1, "0" * 64) for number in range(1_100))
    record = record_of(scene.us.url, files=files)
    (scene.root / "got").mkdir()
    (scene.root / "got/given.jsonl").write_text(json.dumps({"record": record.to_dict()}) + "\n")
    scene.put_record(record.to_json())
    scene.attack([("index", "sync", "--yes"), ("index", "import", "got/given.jsonl")])
    scene.assert_index_goes_on()


def test_an_entry_that_is_there_already_ends_the_index(scene: Scene) -> None:
    files = [{"path": f"f{number}", "size_bytes": 2**53 - 1, "sha256": "0" * 64} for number in range(1_100)]
    scene.append([{"type": "add", "record": record_of(scene.us.url).to_dict() | {"files": files}}])
    scene.attack([("index", "list"), ("index", "rebuild", "--salvage", "--yes")])
    scene.assert_index_goes_on()


@pytest.mark.parametrize("place", ["job", "region", "author", "reason", "time", "nonce", "metric", "param", "type"])
def test_a_lone_surrogate_ends_the_index(scene: Scene, place: str) -> None:
    record = record_of(scene.us.url).to_dict()
    if place in record:
        record[place] = "\ud800"
    record |= {"metric": {"metrics": {"\ud800": 1.0}}, "param": {"params": {"\ud800": "\ud800"}}}.get(place, {})
    changes = [{"type": "\ud800"}] if place == "type" else [{"type": "add", "record": record}]
    scene.append(changes, **({place: "\ud800"} if place in ("author", "reason", "time", "nonce") else {}))
    scene.attack([("index", "list"), ("index", "log")])
    scene.assert_index_goes_on()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(record_of("file:///x").to_dict() | {"metrics": []}),
        json.dumps(record_of("file:///x").to_dict() | {"format": float("inf")}),
        json.dumps(record_of("file:///x").to_dict() | {"files": [{"path": None, "size_bytes": 1, "sha256": "0" * 64}]}),
        "[" * 5_000,
        '{"format":' + "[" * 5_000,
    ],
    ids=["metrics []", "format Infinity", "path null", "brackets", "brackets inside"],
)
def test_a_record_ends_the_command_that_reads_it(scene: Scene, text: str) -> None:
    scene.put_record(text.replace("file:///x", scene.us.url).encode())
    scene.attack([("index", "sync", "--yes"), ("index", "verify"), ("index", "sync")])
    scene.assert_nothing_lost()
    scene.assert_index_goes_on()


@pytest.mark.parametrize("levels", [5_000, 100_000])
def test_a_region_ends_the_list_of_all_regions(
    scene: Scene, levels: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    us, eu = FakeRegion(), FakeRegion()
    try:
        us.spoilt = {"GET /v1/agent/members": Reply(body=b"[" * levels)}
        both = Scene.made(tmp_path_factory.mktemp("attack") / "both", address=us.address, eu_address=eu.address)
        (done,) = both.attack([("regions", "list")], limit_s=40)
        assert any(line.split()[:2] == ["eu", "ready"] for line in done.out.splitlines()), done.err
    finally:
        us.close()
        eu.close()


@pytest.mark.parametrize("text", ["[" * 5_000, '{"format": 1e999}', "{}", json.dumps({"format": 1, "slots": 10**12})])
def test_a_manifest_ends_every_command_that_lists_runs(scene: Scene, text: str) -> None:
    open_run(scene, text.encode())
    scene.attack(
        [("runs", "list"), ("runs", "show", OPEN_RUN), ("runs", "logs", OPEN_RUN), ("index", "sync")], limit_s=20
    )
    scene.assert_index_goes_on()
    assert OPEN_RUN[-8:] in scene.run("runs", "list").out
    assert manifest().run == OPEN_RUN


@pytest.mark.parametrize("place", ["created", "policy", "slots", "groups", "regions", "spec_hash"])
def test_a_manifest_of_an_open_run_ends_what_looks_at_regions(scene: Scene, place: str) -> None:
    document = json.loads(manifest().to_json()) | {place: "\x1b[2J"}
    open_run(scene, json.dumps(document).encode())
    scene.attack([("regions", "list"), ("plan",), ("runs", "show", OPEN_RUN)], limit_s=20)


@pytest.mark.parametrize(
    "changes", [[{"text": "?"}], [{"type": None}], ["add"], [None], [[]], "add", {}, None, 7], ids=str
)
def test_an_entry_whose_changes_are_none_ends_the_index(scene: Scene, changes: object) -> None:
    scene.append(changes)
    scene.assert_index_goes_on()
    log = scene.run("index", "log")
    assert "without effect: it is not a change" in log.out, log.out
    scene.attack([("index", "verify"), ("index", "rebuild", "--salvage", "--yes")])
    scene.assert_index_goes_on()


def test_a_tag_with_hostile_text_ends_the_list_of_tags(scene: Scene) -> None:
    scene.append([{"type": "tag", "name": "tag\x1b[2J\0x", "alloc_id": NODE_ALLOC, "previous": ""}])
    scene.attack([("index", "tag"), ("index", "tag", "--json")])
    scene.assert_index_goes_on()
