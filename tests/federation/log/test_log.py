"""The log: what every reader sees is one history, whatever the line to the store does."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.errors import FederationError, FormatTooNew, IndexCorrupt, LogConflict
from federation.log import Entry, Log, default_author, timestamp
from regions.model import StoreConfig
from regions.storage.errors import AlreadyExists, IntegrityError, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.store import Store

PREFIX = "index/log/"


def key(number: int) -> str:
    return f"{PREFIX}{number:020d}.json"


def note(text: object) -> dict[str, Any]:
    return {"type": "note", "text": text}


def texts(entries: list[Entry]) -> list[object]:
    return [change["text"] for entry in entries for change in entry.changes]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, memory_store: Store, tmp_path: Path) -> Store:
    return memory_store if request.param == "memory" else FileStore(StoreConfig(url=(tmp_path / "home").as_uri()))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.log.log.time.sleep", lambda seconds: None)


def test_entries_are_numbered_objects_that_chain(store: Store) -> None:
    log = Log(store, PREFIX, author="ann@host")

    log.append([note("one")], reason="first")
    log.append([note("two"), note("three")])

    first, second = store.get(key(1)), store.get(key(2))
    document = json.loads(first)
    assert document.pop("nonce")
    assert document.pop("time").endswith("Z")
    assert document == {
        "format": 1,
        "number": 1,
        "author": "ann@host",
        "reason": "first",
        "previous": "",
        "changes": [note("one")],
    }
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    assert log.head == 2
    assert log.position.sha256 == hashlib.sha256(second).hexdigest()


def test_refresh_gives_each_entry_once_whoever_wrote_it(store: Store) -> None:
    ours, theirs = Log(store, PREFIX, author="a"), Log(store, PREFIX, author="b")
    ours.append([note(1)])
    theirs.append([note(2)])
    ours.append([note(3)])

    assert texts(ours.take()) == [1, 2, 3]
    assert texts(theirs.refresh()) == [1, 2, 3]
    assert ours.refresh() == theirs.refresh() == []


def test_a_log_starts_at_a_known_position(store: Store) -> None:
    writer = Log(store, PREFIX, author="a")
    writer.append([note(1)])
    known = writer.position
    writer.append([note(2)])

    reader = Log(store, PREFIX, author="b")
    reader.start_at(known)

    assert texts(reader.refresh()) == [2]


def test_a_long_tail_is_read_ahead_without_listing(memory_store: Any) -> None:
    writer = Log(memory_store, PREFIX, author="a")
    for number in range(130):
        writer.append([note(number)])
    memory_store.requests.clear()

    assert texts(Log(memory_store, PREFIX, author="b").refresh()) == list(range(130))
    assert {kind for kind, _ in memory_store.requests} == {"get"}
    assert len(memory_store.requests) < 130 + 33


def test_reading_an_up_to_date_log_is_one_request(memory_store: Any) -> None:
    log = Log(memory_store, PREFIX, author="a")
    log.append([note(1)])
    memory_store.requests.clear()

    assert log.refresh() != []
    assert memory_store.requests == [("get", key(2))]


def race(make_log: Callable[[int], Log], *, writers: int, appends: int) -> tuple[set[object], set[object]]:
    """What was told to have been appended, and what has an unknown outcome."""
    told: set[object] = set()
    unknown: set[object] = set()
    start = threading.Barrier(writers)

    def write(writer: int) -> None:
        log = make_log(writer)
        start.wait()
        for number in range(appends):
            text = f"{writer}/{number}"
            try:
                log.append([note(text)])
                told.add(text)
            except Unavailable:
                unknown.add(text)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told, unknown


@pytest.mark.parametrize("fault_rate", [0.0, 0.25])
def test_racing_writers_make_one_history(store: Store, faulty: Any, fault_rate: float) -> None:
    told, unknown = race(
        lambda writer: Log(
            faulty(store, seed=writer, fault_rate=fault_rate), PREFIX, author=f"writer-{writer}", patience_s=60
        ),
        writers=8,
        appends=8,
    )

    entries = Log(store, PREFIX, author="reader").refresh()
    counted = Counter(texts(entries))
    assert len(told | unknown) == 64
    assert fault_rate or not unknown
    assert all(counted[text] == 1 for text in told)
    assert all(counted[text] <= 1 for text in unknown)
    assert set(counted) <= told | unknown
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    for writer in range(8):  # each writer's own entries stand in the order in which it wrote them
        own = [str(text) for text in texts(entries) if str(text).startswith(f"{writer}/")]
        assert own == sorted(own)


def test_a_lost_answer_to_a_write_that_succeeded_is_a_success(memory_store: Any, faulty: Any) -> None:
    line = faulty(memory_store, fault_rate=0)
    line.script = ["after"]

    entry = Log(line, PREFIX, author="a").append([note("once")])

    assert entry.number == 1
    assert texts(Log(memory_store, PREFIX, author="b").refresh()) == ["once"]


def test_a_lost_request_is_sent_again(memory_store: Any, faulty: Any) -> None:
    line = faulty(memory_store, fault_rate=0)
    line.script = ["before", "ok", "before"]

    Log(line, PREFIX, author="a").append([note("once")])

    assert texts(Log(memory_store, PREFIX, author="b").refresh()) == ["once"]


def test_a_write_that_lands_late_is_recognised_as_ones_own(memory_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try times out, is not found on looking, and takes effect just before the second."""
    put = memory_store.put
    held: list[tuple[Any, ...]] = []

    def slow_line(*request: Any, **options: Any) -> Any:
        if not held:
            held.append(request)
            raise Unavailable("timed out")
        put(*held[0])
        return put(*request, **options)

    monkeypatch.setattr(memory_store, "put", slow_line)

    entry = Log(memory_store, PREFIX, author="a").append([note("once")])

    assert entry.number == 1
    assert texts(Log(memory_store, PREFIX, author="b").refresh()) == ["once"]


def test_a_silent_store_is_told_as_such(memory_store: Any, faulty: Any, no_pauses: None) -> None:
    line = faulty(memory_store, fault_rate=0)
    line.script = ["before", "before"]

    with pytest.raises(Unavailable):
        Log(line, PREFIX, author="a").append([note("never")])
    assert memory_store.objects == {}


def test_a_crash_after_the_write_leaves_an_entry_that_all_see(memory_store: Any, faulty: Any) -> None:
    line = faulty(memory_store, fault_rate=0)
    line.script = ["after", "before"]
    with pytest.raises(Unavailable):
        Log(line, PREFIX, author="a").append([note("said")])

    again = Log(memory_store, PREFIX, author="a")

    assert texts(again.refresh()) == ["said"]


def test_rebase_sees_what_came_between_and_decides_anew(memory_store: Any) -> None:
    log, other = Log(memory_store, PREFIX, author="a"), Log(memory_store, PREFIX, author="b")
    other.append([note("theirs")])
    seen: list[object] = []

    def rebase(entries: list[Entry]) -> list[dict[str, Any]]:
        seen.extend(texts(entries))
        return [note("after theirs")]

    entry = log.append([note("first")], rebase=rebase)

    assert seen == ["theirs"]
    assert (entry.number, entry.changes) == (2, (note("after theirs"),))
    assert texts(log.take()) == ["theirs", "after theirs"]


def test_rebase_may_give_up(memory_store: Any) -> None:
    Log(memory_store, PREFIX, author="b").append([note("theirs")])

    with pytest.raises(LogConflict, match="no longer holds") as told:
        Log(memory_store, PREFIX, author="a").append([note("mine")], rebase=lambda entries: None)
    assert told.value.hint
    assert list(memory_store.objects) == [key(1)]


def test_a_busy_writer_starves_nobody(memory_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes whenever another pauses: so nobody may pause between looking and writing."""
    busy = Log(memory_store, PREFIX, author="busy")
    busy.append([note("busy")])
    monkeypatch.setattr("federation.log.log.time.sleep", lambda seconds: busy.append([note("busy")]))

    assert Log(memory_store, PREFIX, author="a", patience_s=1).append([note("mine")]).number == 3


def test_patience_ends(memory_store: Any, monkeypatch: pytest.MonkeyPatch, no_pauses: None) -> None:
    def taken(*request: Any, **options: Any) -> Any:
        raise AlreadyExists("taken")

    monkeypatch.setattr(memory_store, "put", taken)

    with pytest.raises(LogConflict, match=r"index/log/: entry 1 is there already, and can't be read for 0\.01 s"):
        Log(memory_store, PREFIX, author="a", patience_s=0.01).append([note("mine")])


def test_a_writer_waits_as_long_as_others_make_progress(memory_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others win a hundred tries, over many times the patience."""
    now_s, others, put = [0.0], Log(memory_store, PREFIX, author="others"), memory_store.put

    def put_after_others(*request: Any, **options: Any) -> Any:
        if others.head < 100:
            monkeypatch.setattr(memory_store, "put", put)
            others.append([note("theirs")])
            monkeypatch.setattr(memory_store, "put", put_after_others)
        return put(*request, **options)

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now_s[0] += seconds

    monkeypatch.setattr("federation.log.log.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("federation.log.log.time.sleep", sleep)
    monkeypatch.setattr("federation.log.log.random.uniform", lambda low, high: high)
    monkeypatch.setattr(memory_store, "put", put_after_others)

    assert Log(memory_store, PREFIX, author="a", patience_s=0).append([note("mine")]).number == 101
    assert max(pauses) > 1 > 100 * pauses[-1], "pauses grow at first, and shrink for a writer that has waited long"


WRITES_IN_A_PROCESS = """
import sys
from federation.log import Log
from regions.model import StoreConfig
from regions.storage.file.store import FileStore

log = Log(FileStore(StoreConfig(url=sys.argv[1])), "index/log/", author=sys.argv[2], patience_s=0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(3):
    log.append([{"type": "note", "text": f"{sys.argv[2]}-{number}"}])
"""


def test_of_many_processes_that_write_at_once_none_gives_up(tmp_path: Path) -> None:
    home = (tmp_path / "home").as_uri()
    command = [sys.executable, "-c", WRITES_IN_A_PROCESS, home]
    writers = [
        subprocess.Popen(
            [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in range(12)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        said = [writer.communicate() for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    assert [writer.returncode for writer in writers] == [0] * 12, said
    written = texts(Log(FileStore(StoreConfig(url=home)), PREFIX, author="checker").refresh())
    assert sorted(map(str, written)) == sorted(f"{writer}-{number}" for writer in range(12) for number in range(3))


@pytest.fixture
def three(memory_store: Any) -> Any:
    log = Log(memory_store, PREFIX, author="a")
    for number in (1, 2, 3):
        log.append([note(number)])
    return memory_store


def edited(data: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(data) | fields).encode()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda data: data[:40], "torn"),
        (lambda data: b"[]", "torn"),
        (lambda data: b"", "torn"),
        (lambda data: edited(data, number=7), "number 7"),
        (lambda data: edited(data, previous="0" * 64), "doesn't chain"),
        (lambda data: edited(data, number=True), "number is true or false"),
        (lambda data: edited(data, format=None), "format is null"),
        (lambda data: b"[" * 100_000, "nested deeper"),
        (lambda data: data.replace(b'"format":1', b'"format":' + b"9" * 5000), "too many digits"),
    ],
)
def test_a_damaged_entry_is_named_with_its_repair(three: Any, spoil: Callable[[bytes], bytes], problem: str) -> None:
    three.objects[key(2)] = spoil(three.objects[key(2)])
    log = Log(three, PREFIX, author="b")

    with pytest.raises(IndexCorrupt, match=problem) as told:
        log.refresh()
    assert f"memory://home/{key(2)}" in str(told.value)
    assert f"restore the object {key(2)}" in told.value.hint
    assert texts(log.take()) == [1]


@pytest.mark.parametrize(
    "said",
    [
        *({"time": value} for value in (5, None, "x", "2026-01-01", "\ud800", "2" * 101)),
        *({name: value} for name in ("author", "reason", "nonce") for value in (5, None, [], "\ud800\x1b")),
        *({"changes": value} for value in ("abc", None, {}, [[]], [{"text": "?"}], [{"type": 5}])),
    ],
    ids=str,
)
def test_an_entry_in_its_place_is_kept_whatever_it_says(three: Any, said: dict[str, object]) -> None:
    """Else whoever may append could end the log for all."""
    before = json.loads(three.objects[key(3)])
    three.objects[key(4)] = json.dumps(
        before | {"number": 4, "previous": hashlib.sha256(three.objects[key(3)]).hexdigest()} | said
    ).encode()
    log = Log(three, PREFIX, author="b")
    added = log.append([note(5)])
    entries = log.take()
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    assert added.number == 5
    odd = entries[3]
    assert "\ud800" not in odd.author + odd.reason + odd.nonce + odd.time
    expected = {"type": "unreadable", "kind": "?", "problem": "it is not a change"}
    assert odd.changes == ((expected,) if "changes" in said else tuple(before["changes"]))


def test_a_forged_entry_is_seen_by_the_next(three: Any) -> None:
    three.objects[key(2)] = edited(three.objects[key(2)], changes=[note("forged")])

    with pytest.raises(IndexCorrupt, match=r"0{19}3\.json doesn't chain: entry 2"):
        Log(three, PREFIX, author="b").refresh()


def test_a_rewritten_history_is_seen_by_who_holds_an_earlier_head(three: Any, memory_store: Any) -> None:
    reader = Log(three, PREFIX, author="b")
    reader.refresh()
    three.objects.clear()
    forger = Log(three, PREFIX, author="forger")
    for number in range(5):
        forger.append([note(number)])

    with pytest.raises(IndexCorrupt, match="doesn't chain"):
        reader.refresh()


def test_a_missing_entry_is_named(three: Any, no_pauses: None) -> None:
    Log(three, PREFIX, author="a").append([note(4)])
    del three.objects[key(3)]

    with pytest.raises(IndexCorrupt, match=r"0{19}3\.json is missing, though later entries exist"):
        Log(three, PREFIX, author="b").refresh()


def test_a_hole_that_is_only_stale_is_filled(three: Any, faulty: Any, no_pauses: None) -> None:
    line = faulty(three, fault_rate=0)
    stale = [key(2)]
    get = line.get

    def stale_once(wanted: str) -> bytes:
        if wanted in stale:
            stale.remove(wanted)
            line.script = ["stale"]
        return bytes(get(wanted))

    line.get = stale_once

    assert texts(Log(line, PREFIX, author="b").refresh()) == [1, 2, 3]


def test_bytes_that_the_store_itself_refuses_are_named(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(wanted: str) -> bytes:
        raise IntegrityError("sha256 doesn't match")

    monkeypatch.setattr(three, "get", damaged)

    with pytest.raises(IndexCorrupt, match=r"0{19}1\.json is damaged \(sha256"):
        Log(three, PREFIX, author="b").refresh()


def test_a_newer_format_is_refused_in_one_line(three: Any) -> None:
    three.objects[key(2)] = edited(three.objects[key(2)], format=2)

    with pytest.raises(FormatTooNew, match="has format 2, this fedml knows 1: upgrade fedml") as told:
        Log(three, PREFIX, author="b").refresh()
    assert "\n" not in str(told.value)


def test_changes_of_unknown_types_are_kept(memory_store: Any) -> None:
    change = {"type": "from-the-future", "deep": {"list": [1, None, "ü"]}}
    Log(memory_store, PREFIX, author="a").append([change])

    [entry] = Log(memory_store, PREFIX, author="b").refresh()

    assert entry.changes == (change,)


def test_time_never_goes_back(memory_store: Any) -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    clocks = iter([noon, noon, noon - timedelta(seconds=30)])
    memory_store.clock = lambda: noon
    log = Log(memory_store, PREFIX, author="a", clock=lambda: next(clocks))
    log.append([note(1)])
    known = log.position

    entry = log.append([note(2)])

    assert entry.time == "2026-11-24T12:00:00.000000Z"
    late = Log(memory_store, PREFIX, author="b", clock=lambda: noon - timedelta(seconds=50))
    late.start_at(known._replace(number=2, sha256=entry.sha256))
    assert late.append([note(3)]).time == "2026-11-24T12:00:00.000000Z"


@pytest.mark.parametrize(("seconds", "side"), [(61, "ahead of"), (-61, "behind")])
def test_a_writer_with_a_wrong_clock_is_refused(memory_store: Any, seconds: int, side: str) -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    memory_store.clock = lambda: noon
    log = Log(memory_store, PREFIX, author="a", clock=lambda: noon + timedelta(seconds=seconds))

    with pytest.raises(FederationError, match=f"clock is 61 s {side} the clock of memory://home") as told:
        log.append([note(1)])
    assert "NTP" in told.value.hint
    assert memory_store.objects == {}
    assert log.refresh() == []


def test_a_store_without_a_clock_is_believed(memory_store: Any) -> None:
    memory_store.clock = lambda: None

    assert Log(memory_store, PREFIX, author="a").append([note(1)]).number == 1


def test_the_author_is_user_at_host_or_what_ci_says(monkeypatch: pytest.MonkeyPatch, memory_store: Any) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("federation.log.log.socket.gethostname", lambda: "workstation")
    monkeypatch.delenv("FEDML_AUTHOR", raising=False)
    assert default_author() == "ann@workstation"

    monkeypatch.setenv("FEDML_AUTHOR", "ci/build-7")
    assert Log(memory_store, PREFIX).append([note(1)]).author == "ci/build-7"


def test_timestamps_sort_as_times() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)]

    assert [timestamp(moment) for moment in moments] == ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000005Z"]
