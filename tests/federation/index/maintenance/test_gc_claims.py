"""gc takes no target from a record: whatever records and log entries say, only what is a result's own is deleted."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import IndexCorrupt
from federation.index.home import LOG_PREFIX
from federation.index.maintenance.gc import GcOutcome, Orphan, orphans, plan_gc, remove_orphans, run_gc
from federation.index.maintenance.removal import own_prefix, remove_result
from federation.index.maintenance.retention import Retention
from federation.log import Log
from federation.result import Key, ResultRecord
from regions.model import Region
from tests.examples import examples
from tests.federation.index.conftest import Clouds

DAY = timedelta(days=1)
HASH = "0f" * 32


def contents(clouds: Clouds) -> dict[str, bytes]:
    """Every object of all stores, the home's log left out."""
    return {
        f"{name}: {info.key}": store.get(info.key)
        for name, store in (("us", clouds.us), ("eu", clouds.eu), ("home", clouds.home))
        for info in store.list()
        if not (name == "home" and info.key.startswith(("index/", "format.json")))
    }


def enter(clouds: Clouds, record: ResultRecord) -> None:
    append(clouds, {"type": "add", "record": record.to_dict()})


def append(clouds: Clouds, *changes: dict[str, Any]) -> None:
    """Write an entry as somebody who may write to the home store can: nothing is compared with anything."""
    log = Log(clouds.home, LOG_PREFIX)
    log.refresh()
    log.append(changes)


def gc_twice(clouds: Clouds, rule: Retention, *, regions: dict[str, Region] | None = None) -> list[GcOutcome]:
    stores = clouds.stores
    if regions is not None:
        stores._regions = regions
    return [
        run_gc(clouds.index, stores, rule, datetime.now(UTC) + days * DAY, grace=timedelta(hours=1)) for days in (0, 2)
    ]


@pytest.fixture
def published(clouds: Clouds) -> list[ResultRecord]:
    """Results in eu and us that must stay: each holds a tag."""
    kept = [clouds.publish(0, region="eu", run=f"nomad:eu/{number}", version=str(number)) for number in (7, 8)]
    kept.append(clouds.publish(0, run="nomad:us/1", version="10"))
    for record in kept:
        clouds.index.tag(f"production-{record.version}", record.alloc_id)
    return kept


def forged(clouds: Clouds, **given: Any) -> ResultRecord:
    """A record that lies at its right place in us, of a job of its own, and says more than is so."""
    record = clouds.publish(0, run="nomad:us/forged", job="forged", version="1", files={"a": b"x"}, commit=False)
    lie = replace(record, **given)
    clouds.us.put(record.key.record_key(record.alloc_id), lie.to_json())
    enter(clouds, lie)
    return lie


PREFIXES = ["artifacts/", "", "artifacts", "results/", "artifacts/nomad:eu/", "artifacts/../", "/", "runs/", "index/"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("store", ["us", "eu", "home"])
def test_a_record_with_a_prefix_removes_nothing(
    clouds: Clouds, published: list[ResultRecord], store: str, prefix: str
) -> None:
    forged(clouds, prefix=prefix, store=getattr(clouds, store).url)
    for number in range(4):
        clouds.publish(0, run=f"nomad:us/f{number}", job="forged", version=str(number + 2))
    before = contents(clouds)

    outcomes = gc_twice(clouds, Retention(last=4))

    assert contents(clouds) == before
    assert [outcome.removed for outcome in outcomes] == [[], []]


def test_a_prefix_that_looks_like_its_own_is_in_place_too(clouds: Clouds, published: list[ResultRecord]) -> None:
    plain = forged(clouds)
    taken = published[0]
    for prefix in (plain.artifact_prefix, taken.artifact_prefix):
        lie = replace(plain, alloc_id=str(uuid.uuid4()), prefix=prefix, store=clouds.eu.url, region="eu")
        enter(clouds, lie)
    own = replace(plain, alloc_id=str(uuid.uuid4()))
    enter(clouds, replace(own, prefix=own.artifact_prefix))
    clouds.index.change(lambda _: [{"type": "remove", "alloc_id": own.alloc_id}])  # the log may be forged as well
    clouds.us.put(own.artifact_prefix + "file", b"is not fedml's")
    before = contents(clouds)

    outcome = gc_twice(clouds, Retention())[-1]

    gone = before.keys() - contents(clouds).keys()
    assert gone
    assert all(plain.alloc_id in key for key in gone)  # it is a result of its own, which nothing keeps
    assert [problem.kind for problem in outcome.problems] == ["artifact-foreign"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"store": "eu"}, "no such store for region 'us'|another store for us/us-1"),
        ({"region": "eu"}, "no datacenter 'us-1' in region 'eu'"),
        ({"region": "mars"}, "no region 'mars'"),
        ({"datacenter": "us-9"}, "no datacenter 'us-9' in region 'us'"),
        ({"region": "eu", "datacenter": "eu-1"}, "another store for eu/eu-1"),
        ({"store": "s3://other?endpoint=http://127.0.0.1:1"}, "another store for us/us-1"),
        ({"store": "file:///srv/../etc"}, "whose URL is not valid"),
        ({"store": "home"}, "another store for us/us-1"),
    ],
)
def test_a_result_in_a_store_that_is_not_its_datacenters_is_told_and_left_alone(
    clouds: Clouds, published: list[ResultRecord], given: dict[str, str], why: str
) -> None:
    store = getattr(clouds, given.get("store", "us"), None)
    given = given | ({"store": store.url} if store else {})
    record = forged(clouds, **given)
    before = contents(clouds)

    outcomes = gc_twice(clouds, Retention())

    problems = [problem for problem in outcomes[-1].problems if record.alloc_id in problem.what]
    assert [problem.kind for problem in problems] == ["store-refused"]
    assert problems[0].what.endswith("the result is left alone")
    assert "further_stores" in problems[0].mend or "fedml index show" in problems[0].mend
    assert any(part in problems[0].what for part in why.split("|"))
    assert contents(clouds) == before
    assert clouds.index.result(record.alloc_id).state == "committed"
    plan = plan_gc(clouds.index, clouds.stores, Retention(), datetime.now(UTC) + 9 * DAY)
    assert (plan.doom, plan.remove, len(plan.skipped)) == ([], [], 1)


def test_a_region_that_left_is_told_until_its_store_is_named(clouds: Clouds) -> None:
    record = clouds.publish(0, region="eu", run="nomad:eu/1")
    regions = clouds.regions()
    del regions["eu"]
    before = contents(clouds)

    first = gc_twice(clouds, Retention(), regions=regions)[-1]

    assert (contents(clouds), len(first.problems)) == (before, 1)
    moved = clouds.regions() | {"eu": replace(clouds.regions()["us"], further_stores=(eu_config(clouds),))}
    assert [row.alloc_id for row in gc_twice(clouds, Retention(), regions=moved)[-1].removed] == [record.alloc_id]
    assert contents(clouds) == {}


def eu_config(clouds: Clouds) -> Any:
    return clouds.regions()["eu"].datacenters["eu-1"].store


def test_a_forged_copy_deletes_nothing_but_the_results_own_prefix(
    clouds: Clouds, published: list[ResultRecord]
) -> None:
    record = forged(clouds)
    beside = clouds.eu.url
    clouds.index.change(lambda _: [{"type": "locate", "alloc_id": record.alloc_id, "store": beside}])
    before = contents(clouds)

    gc_twice(clouds, Retention())

    gone = before.keys() - contents(clouds).keys()
    assert gone == {key for key in before if record.alloc_id in key} != set()


def test_a_copy_in_a_store_that_nothing_names_keeps_the_result(clouds: Clouds) -> None:
    record = clouds.publish(0, run="nomad:us/1")
    clouds.index.change(
        lambda _: [{"type": "locate", "alloc_id": record.alloc_id, "store": "s3://backup?endpoint=http://127.0.0.1:1"}]
    )
    before = contents(clouds)

    outcome = gc_twice(clouds, Retention())[-1]

    assert (contents(clouds), outcome.removed) == (before, [])
    assert [problem.kind for problem in outcome.problems] == ["store-refused"]


@pytest.mark.parametrize("manifest", ["", "0" * 63, "g" * 64, "F" * 64, "..", f"../{HASH}", f"{HASH}/x", f"{HASH}\n"])
def test_what_is_no_hash_makes_no_prefix(manifest: str) -> None:
    assert own_prefix(Key("run-1", 0, "train", 0), "a1", manifest) is None


@pytest.mark.parametrize(
    ("key", "alloc_id"),
    [
        (Key("", 0, "train", 0), "a1"),
        (Key("run", 0, "", 0), "a1"),
        (Key("run", 0, "train", 0), ""),
        (Key("run", 0, "train", 0), ".."),
        (Key("run", 0, "train", 0), "a/b"),
        (Key("..", 0, "train", 0), "a1"),
        (Key("a//b", 0, "train", 0), "a1"),
        (Key("run", -1, "train", 0), "a1"),
        (Key("run", 0, "train", -1), "a1"),
        (Key("run", 0, "x/y", 0), "a1"),
        (Key(f"run/000000000/train/0/a1/{HASH}", 0, "train", 0), "a1"),
    ],
)
def test_what_is_no_key_makes_no_prefix(key: Key, alloc_id: str) -> None:
    assert own_prefix(key, alloc_id, HASH) is None


def test_the_record_and_signatures_of_like_named_allocations_stay(clouds: Clouds) -> None:
    key = Key("run", 0, "train", 0)
    prefix = own_prefix(key, "a", HASH)
    assert prefix is not None
    others = [
        "results/run/000000000/train/0/a.json.json",
        "results/run/000000000/train/0/a.json/x.json",
        "results/run/000000000/train/0/ab.json",
        f"results/run/000000000/train/0/a.b.{'0' * 16}.sig.json",
        f"artifacts/run/000000000/train/0/a/{'1' * 64}/file",
        f"artifacts/run/000000000/train/0/ab/{HASH}/file",
        f"artifacts/run/000000000/train/00/a/{HASH}/file",
    ]
    own = [key.record_key("a"), f"results/run/000000000/train/0/a.{'0' * 16}.sig.json", f"{prefix}file"]
    for name in [*own, *others]:
        if name != "results/run/000000000/train/0/a.json/x.json":  # a folder can't have a file's name
            clouds.us.put(name, b"12345")

    assert remove_result(clouds.us, key, "a", prefix) == 15

    assert {info.key for info in clouds.us.list()} == {name for name in others if "/x.json" not in name}


def test_orphans_are_found_by_listing_and_removed_by_their_own_prefix_only(clouds: Clouds) -> None:
    kept = clouds.publish(0, run="nomad:us/1")
    clouds.us.put(f"artifacts/run/000000000/train/0/a/{'z' * 64}/file", b"no hash")
    later = datetime.now(UTC) + 9 * DAY

    assert orphans(clouds.stores, clouds.index, later, DAY) == []
    for prefix in ("artifacts/", "", f"artifacts/nomad:us/1/000000000/train/0/{kept.alloc_id}/"):
        with pytest.raises(IndexCorrupt):
            remove_orphans(clouds.stores, [Orphan(clouds.us.url, prefix, 1)])

    assert clouds.us.exists(kept.artifact_prefix + "metrics.json")


SOME_STORES = st.sampled_from(
    ["us", "eu", "home", "us/..", "eu/.", "EU", "s3://other", "gs://x?endpoint=http://127.0.0.1:1", "", "file:///", "x"]
)
SOME_TEXTS = st.one_of(
    st.sampled_from(["us", "eu", "us-1", "eu-1", "..", ".", "", "nomad:eu/7", "train", "a", "artifacts", HASH]),
    st.text(st.sampled_from("ab./%0\\"), max_size=6),
)
SOME_PREFIXES = st.one_of(st.none(), st.sampled_from([*PREFIXES, "taken", "own"]), SOME_TEXTS)
LIES = st.fixed_dictionaries(
    {
        "store": SOME_STORES,
        "prefix": SOME_PREFIXES,
        "region": SOME_TEXTS,
        "datacenter": SOME_TEXTS,
        "run": SOME_TEXTS,
        "slot": st.sampled_from([0, 1, -1, 10**12]),
        "group": SOME_TEXTS,
        "alloc_id": st.one_of(st.uuids().map(str), SOME_TEXTS),
        "manifest_sha256": st.one_of(st.just(HASH), SOME_TEXTS),
        "copy": st.one_of(st.none(), SOME_STORES),
        "is_removed": st.booleans(),
    }
)


@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(LIES, min_size=1, max_size=4))
def test_whatever_records_say_all_that_is_not_their_own_survives(lies: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        clouds = Clouds(Path(folder))
        kept = [clouds.publish(0, region=name, run=f"nomad:{name}/7", version="7") for name in ("us", "eu")]
        for record in kept:
            clouds.index.tag(f"kept-{record.region}", record.alloc_id)
            clouds.us.put("models/mine.bin", b"mine")
        before = contents(clouds)
        for lie in lies:
            tell(clouds, kept, dict(lie))

        gc_twice(clouds, Retention())

        assert before.items() <= contents(clouds).items()
        clouds.index.close()


def tell(clouds: Clouds, kept: list[ResultRecord], lie: dict[str, Any]) -> None:
    """Enter a record that says all this, as a node or another writer of the home store could."""
    copy, is_removed = lie.pop("copy"), lie.pop("is_removed")
    root = clouds.root.as_uri()
    place = {"store": lie["store"] if ":" in lie["store"] else f"{root}/{lie['store']}"}
    key = Key(lie.pop("run"), lie.pop("slot"), lie.pop("group"), 0)
    record = replace(kept[0], **(lie | place), key=key, version="1", job="lies")
    if record.prefix in ("taken", "own"):
        prefix = kept[1].artifact_prefix if record.prefix == "taken" else replace(record, prefix=None).artifact_prefix
        record = replace(record, prefix=prefix)
    enter(clouds, record)
    changes: list[Any] = []
    if copy is not None:
        url = copy if ":" in copy else f"{root}/{copy}"
        changes.append({"type": "locate", "alloc_id": record.alloc_id, "store": url})
    if is_removed:
        changes.append({"type": "remove", "alloc_id": record.alloc_id})
    if changes:
        append(clouds, *changes)
