"""The pages of runs: filters and counts by one predicate, hostile texts, the documents of the commands. No region answers."""

from __future__ import annotations

import csv
import http.cookiejar
import io
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from federation.app import App
from federation.cli import run as fedml
from federation.config.load import load
from federation.home import RunKeys, run_log
from federation.index import Index
from federation.manifest import Manifest, new_run_id
from federation.result import Key, ResultFile, ResultRecord
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Change, Fail
from federation.run.kept_logs import KEPT_FORMAT
from federation.web.pages.attempt import task_to_read
from jobs.params.sweep import Axis, Sweep
from regions.nomad.task_history import TaskStory
from regions.storage.store import Create
from tests.federation.web.served import Served, served

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e'\"&"
TOML = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
price_per_hour = 36
[regions.us.datacenters.dc1]
store = "file://./us"
[regions.eu]
addresses = ["http://127.0.0.1:9"]
[regions.eu.datacenters.dc1]
store = "file://./eu"
"""
SLOTS = 12


class Visitor:
    """A signed-in browser without JavaScript."""

    def __init__(self, pages: Served) -> None:
        self.root = pages.root
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._opener.open(f"{pages.link}&next=%2Fruns", timeout=60)

    def get(self, path: str) -> str:
        """The page, whatever its status."""
        try:
            with self._opener.open(self.root + path, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()


def opened(folder: Path, *, slots: int = SLOTS, version: str = "1", name: str = "", minute: int = 0) -> str:
    """A run with an open slot, some that failed and some results, of regions us and eu."""
    with closing(App(load(folder / "fedml.toml"))) as app:
        run = new_run_id(1_790_000_000_000 + minute)
        app.index.open_run(run, "train", version, "5ec", slots, slots, name=name)
        manifest = Manifest(
            run=run, job="train", job_file="train.nomad.hcl", spec_hash="5ec", version=version, slots=slots,
            groups={"g": 1}, regions=("us", "eu"), one_each=False, meta={}, payload=b"", policy="spread",
            results="publish", max_attempts=1, author="ann@laptop", created="2026-11-25T00:00:00Z",
            sweep=Sweep((Axis("lr", ("0.1", "0.01")), Axis("depth", tuple(map(str, range(slots // 2)))))),
        )  # fmt: skip
        app.home.put(RunKeys(run).manifest, manifest.to_json(), Create())
        log = run_log(app.home, run, author="ann@laptop")
        bound = range(slots - 1)
        log.append([Bind(n, 1, "us" if n < 8 else "eu").to_json() for n in bound])
        log.append([Ack(n, 1, f"train/dispatch-{n}").to_json() for n in bound])
        failed: list[Change] = [Fail(2, 1, Cause.EXIT, f"task train: Exit Code: 3: {HOSTILE}")]
        failed += [Fail(n, 1, Cause.OOM, "task train: killed for its memory (OOM)") for n in (3, 9)]
        log.append([change.to_json() for change in failed])
        app.index.commit([_record(run, n, version) for n in (0, 1, 4, 8)])
    return run


def _record(run: str, slot: int, version: str) -> ResultRecord:
    return ResultRecord(
        key=Key(run, slot, "g", 0), attempt=1, job="train", version=version, spec_hash="5ec",
        region="us" if slot < 8 else "eu", datacenter="dc1", node="node-1", alloc_id=f"{slot:08x}{run[8:]}",
        job_id=f"train/dispatch-{slot}", store="file:///srv/models", manifest_sha256="0" * 64,
        files=(ResultFile("model", 1000, "0" * 64),), created="2026-11-25T00:00:40Z",
        metrics={"auc": 0.5 + slot / 100, HOSTILE[:20]: 1.0},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    (made / "fedml.toml").write_text(TOML)
    return made


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[str]:
    return [opened(folder), opened(folder, version="2", name="nightly", minute=1)]


@pytest.fixture(scope="module")
def visitor(folder: Path, runs: list[str]) -> Iterator[Visitor]:
    with served(folder / "fedml.toml") as pages:
        yield Visitor(pages)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_filters_by_each_field_and_counts_what_it_shows(visitor: Visitor, runs: list[str]) -> None:
    for query, wanted in (("version=2", runs[1:]), ("name=nightly", runs[1:]), ("region=eu", runs[::-1]),
                          ("region=onprem", []), ("state=open&version=1", runs[:1]), ("state=failed", [])):  # fmt: skip
        rows = rows_of(visitor.get(f"/runs?{query}&format=csv"))
        assert [row["run"] for row in rows] == wanted, query
    html = visitor.get("/runs?version=2")
    assert ">open 1</a>" in html.replace("\n", "")
    assert re.search(r"1 of 1 run\b", html)
    assert "1 exit, 2 oom" in html
    assert "Next:" not in visitor.get("/runs?state=failed")


def test_older_runs_come_by_key(visitor: Visitor, runs: list[str]) -> None:
    assert [row["run"] for row in rows_of(visitor.get(f"/runs?after={runs[1]}&format=csv"))] == runs[:1]
    assert "No older runs." in visitor.get(f"/runs?after={runs[0]}")
    assert "there is no run nobody" in visitor.get("/runs?after=nobody")


def test_the_list_and_a_run_give_the_documents_of_their_commands(
    visitor: Visitor, runs: list[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for path, arguments in (
        ("/runs?version=1", ["runs", "list", "--version", "1"]),
        (f"/runs/{runs[0]}", ["runs", "show", runs[0]]),
    ):
        page = json.loads(visitor.get(f"{path}{'&' if '?' in path else '?'}format=json"))
        fedml([*arguments, "--json"])
        told = json.loads(capsys.readouterr().out)
        for document in (page, told):
            if "timeline" in document:
                document["timeline"].pop("time_spent")  # until now: each reads its own clock
        assert page == told


def test_a_run_shows_how_its_slots_stand_and_why_some_failed(visitor: Visitor, runs: list[str]) -> None:
    html = visitor.get(f"/runs/{runs[0]}")
    for text in ("4 done", "3 failed", "1 waiting", "of 12 slots", "No process drives run", "3 of 8",
                 "us doesn't say how its slots stand", "killed for its memory"):  # fmt: skip
        assert text in html, text
    assert 'aria-label="slots, ' in html
    assert len(html) < 200_000


@pytest.mark.parametrize("path", ["", "/log", "/slots/2/1", "?metric=auc&x=lr&state=failed", "?curves=1"])
def test_nothing_of_a_hostile_text_leaves_its_frame(visitor: Visitor, runs: list[str], path: str) -> None:
    html = visitor.get(f"/runs/{runs[0]}{path}")
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert " style=" not in html
    if "?" not in path:
        assert "&lt;script&gt;alert" in html


def test_attempts_are_filtered_sorted_and_counted_by_one_predicate(visitor: Visitor, runs: list[str]) -> None:
    path = f"/runs/{runs[0]}"
    every = rows_of(visitor.get(f"{path}?format=csv"))
    assert [row["slot"] for row in every] == [str(n) for n in range(SLOTS - 1)]
    for query, wanted in (("cause=oom", "3 9"), ("region=eu", "8 9 10"), ("state=done", "0 1 4 8"), ("slots=2-3", "2 3"),
                          ("cause=oom&region=us", "3"), ("sort=slot:desc&region=eu", "10 9 8"),
                          ("after=8.1", "9 10")):  # fmt: skip
        found = rows_of(visitor.get(f"{path}?{query}&format=csv"))
        assert " ".join(row["slot"] for row in found) == wanted, query
    html = visitor.get(f"{path}?region=us")
    assert "8 of 8 attempts" in html
    assert ">oom 1</a>" in html
    assert ">eu 3</a>" in html


@pytest.mark.parametrize("query", ["slots=9-2", "slots=a", "slots=99", "state=odd", "sort=secret", "best=middle"])
def test_an_address_that_makes_no_sense_is_refused_in_one_sentence(
    visitor: Visitor, runs: list[str], query: str
) -> None:
    html = visitor.get(f"/runs/{runs[0]}?{query}")
    assert "in the address" in html
    assert "Traceback" not in html


@pytest.mark.parametrize(
    ("path", "said"),
    [("/slots/2/7", "slot 2 has no attempt 7"), ("/slots/99/1", "there is no slot 99"), ("/slots/x/1", "not a number"),
     ("/slots/2/" + "9" * 400, "not a number")],
)  # fmt: skip
def test_an_attempt_that_is_not_there_is_named(visitor: Visitor, runs: list[str], path: str, said: str) -> None:
    assert said in visitor.get(f"/runs/{runs[0]}{path}")


def test_the_log_of_a_task_that_has_begun_is_shown_first() -> None:
    def task(hook: str, started: str = "", *, is_failed: bool = False) -> TaskStory:
        return TaskStory("running", is_failed, 0, None, False, started, "", 100, 64, (), hook)

    now = "2026-11-25T00:00:10Z"
    assert task_to_read({"store": task(""), "train": task("prestart", now)}) == "train"
    assert task_to_read({"train": task("prestart", now), "store": task("", now)}) == "store"
    assert task_to_read({"train": task("prestart", now, is_failed=True), "store": task("", now)}) == "train"
    assert task_to_read({"train": task("prestart"), "store": task("")}) == "train"


def test_an_attempt_of_a_silent_region_shows_what_was_kept(visitor: Visitor, runs: list[str], folder: Path) -> None:
    import gzip

    task = {"state": "dead", "is_failed": True, "restarts": 0, "exit_code": 137, "is_oom_killed": True,
            "started": "2026-11-25T00:00:10Z", "finished": "2026-11-25T00:00:20Z", "cpu_mhz": 100, "memory_mb": 64,
            "events": [{"time": "2026-11-25T00:00:09Z", "type": "Received", "text": HOSTILE}]}  # fmt: skip
    kept = {"format": KEPT_FORMAT, "slot": 3, "attempt": 1, "region": "us", "is_failed": True,
            "story": {"id": "a" * 36, "job_id": "train/dispatch-3", "group": "g", "index": 0, "node_name": "node-7",
                      "client_status": "failed", "tasks": {"train": {**task, "hook": ""},
                                                           "log": {**task, "hook": "prestart", "is_sidecar": True}}},
            "output": {"train": {"stderr": f"{'x' * 200_000}last words {HOSTILE}", "stdout": "hello"}, "log": {}},
            "used": {"train": {"cpu_mhz": 90.0, "memory_mb": 63.5}}}  # fmt: skip
    with closing(App(load(folder / "fedml.toml"))) as app:
        key = RunKeys(runs[0]).kept_log(3, 1, "a" * 36)
        app.home.put(key, gzip.compress(json.dumps(kept).encode()), Create())
    html = visitor.get(f"/runs/{runs[0]}/slots/3/1")
    for text in ("us doesn't answer", "node-7", "last words &lt;script&gt;", "killed for its memory", "137",
                 "at most the last 64 kB", "sidecar", "of what it asked for",
                 'href="http://127.0.0.1:9/ui/allocations/aaaaaaaa'):  # fmt: skip
        assert text in html, text
    assert "<script>alert" not in html
    assert len(html) < 120_000
    assert "hello" in visitor.get(f"/runs/{runs[0]}/slots/3/1?task=train&stream=stdout")
    assert json.loads(visitor.get(f"/runs/{runs[0]}/slots/3/1?format=json"))["allocations"][0]["is_kept"] is True


def test_the_log_is_a_list_with_what_each_entry_did(visitor: Visitor, runs: list[str]) -> None:
    rows = rows_of(visitor.get(f"/runs/{runs[0]}/log?format=csv"))
    assert [row["what happened"].split(";")[0] for row in rows] == [
        f"slot 2 ended, exit: task train: Exit Code: 3: {HOSTILE}".replace("\x1b", "\\x1b").replace(
            "\u202e", "\\u202e"
        ),
        "11 slots dispatched",
        "bound 8 slots to us, 3 slots to eu",
    ]
    assert len(rows_of(visitor.get(f"/runs/{runs[0]}/log?kind=fail&format=csv"))) == 1


def test_a_short_id_leads_to_the_whole_one(visitor: Visitor, runs: list[str]) -> None:
    assert f'data-copy="{runs[1]}"' in visitor.get(f"/runs/{runs[1][-8:]}?state=failed")


def test_read_only_pages_offer_nothing_to_do(folder: Path, runs: list[str]) -> None:
    from federation.web.site import Settings

    with served(folder / "fedml.toml") as pages:
        assert "/do/cancel?run=" in Visitor(pages).get(f"/runs/{runs[0]}")
    with served(folder / "fedml.toml", replace(Settings(), read_only=True)) as pages:
        assert "/do/" not in Visitor(pages).get(f"/runs/{runs[0]}")


def test_a_run_that_goes_on_is_read_on_and_the_rest_stays(folder: Path, runs: list[str]) -> None:
    from federation.web.run_now import RunFollower
    from federation.web.site import Site

    with closing(App(load(folder / "fedml.toml"))) as app, closing(_index(folder, app)) as index:
        follower = RunFollower(Site(app), runs[1])
        first = follower.look()
        assert follower.look() is first
        index.commit([_record(runs[1], 5, "2")])
        second = follower.look()
        assert second.version != first.version
        assert (first.states.count("done"), second.states.count("done")) == (4, 5)


def _index(folder: Path, app: App) -> Index:
    return Index(app.home, cache_dir=folder / "other-cache", owner=app.owner)


def test_open_shows_the_page_of_the_run_that_is_named(
    folder: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from federation.web import serve

    shown: list[tuple[str, bool]] = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        serve,
        "serve",
        lambda site, address, *, start_page, opens_browser, note: shown.append((start_page, opens_browser)),
    )
    assert fedml(["runs", "show", "nightly", "--open"]) == 0
    assert shown == [(f"/runs/{runs[1]}", True)]


def test_a_region_that_takes_the_question_and_never_answers_keeps_no_page_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "fedml.toml").write_text(TOML.replace("http://127.0.0.1:9", address))
        run = opened(tmp_path)
        with served(tmp_path / "fedml.toml") as pages:
            visitor = Visitor(pages)
            html = visitor.get(f"/runs/{run}")
            assert "us doesn't say how its slots stand" in html
            assert "4 lost" in html
            attempt = visitor.get(f"/runs/{run}/slots/5/1")
            assert "us doesn't answer" in attempt
            assert "Nomad has removed it" not in attempt, "who knows"
