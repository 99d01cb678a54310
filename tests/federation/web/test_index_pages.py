"""The pages of the index, of results and of history: what they show, filter and refuse. No region answers here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from federation.cli import run
from federation.result import ResultRecord
from federation.web.pages import result
from federation.web.shared import Shared
from federation.web.site import Settings
from federation.workflows.run_curves import RunCurves
from regions.storage import open_store
from regions.storage.errors import Unavailable
from regions.storage.file.store import FileStore
from tests.federation.web.client import Client
from tests.federation.web.served import served
from tests.federation.web.shop import Shop, page, png

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x1b]0;x"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def swept(shop: Shop) -> list[ResultRecord]:
    return shop.sweep(6)


@pytest.fixture
def browser(shop: Shop) -> Iterator[Client]:
    with served(shop.toml) as pages:
        yield Client(pages)


def command(shop: Shop, capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capfd.readouterr()
    assert run([*arguments, "--config", str(shop.toml)]) == 0
    return json.loads(capfd.readouterr().out)


# ── the index ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", ()),
        ("where=metrics.auc+%3E+0.8", ("--where", "metrics.auc > 0.8")),
        ("region=us&sort=metrics.auc:desc", ("--region", "us", "--sort", "metrics.auc:desc")),
        ("tag=best", ("--tag", "best")),
        ("revision=1", ("--at", "1")),
    ],
)
def test_the_json_is_the_commands(
    shop: Shop,
    swept: list[ResultRecord],
    browser: Client,
    capfd: pytest.CaptureFixture[str],
    query: str,
    options: tuple[str, ...],
) -> None:
    shop.index.tag("best", swept[2].alloc_id)
    assert browser.get(f"/index?{query}&format=json").json() == command(
        shop, capfd, "index", "list", "--json", *options
    )


def test_rows_and_their_number_come_from_one_condition(swept: list[ResultRecord], browser: Client) -> None:
    html = browser.get("/index?region=us").text
    assert html.count("<tr id=") == 3
    assert "3 of 3 results" in html


def test_pages_of_a_hundred_rows(shop: Shop, browser: Client) -> None:
    shop.index.commit([shop.record(metrics={"auc": number / 100}) for number in range(130)])
    first = browser.get("/index?sort=metrics.auc").text
    assert "100 of 130 results" in first
    further = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(further).text.count("<tr id=") == 30
    assert len(first) <= 200_000


def test_an_error_stands_under_the_caret_and_the_condition_stays(swept: list[ResultRecord], browser: Client) -> None:
    answer = browser.get("/index", params={"where": "metrics.acu > 0.5 and <b>"})
    assert answer.status == 400
    assert "metrics.acu &gt; 0.5" in answer.text
    assert "<b>" not in answer.text.replace("<body", "")
    assert 'aria-invalid="true"' in answer.text
    answer = browser.get("/index", params={"where": "metrics.acu > 0.5"})
    assert "did you mean metrics.auc?" in answer.text
    assert browser.get("/index?where=nonsense&format=json").status == 400


@pytest.mark.parametrize(
    "query", ["tag=none", "region=mars", "state=odd", "sort=nothing", "columns=nothing", "run=nobody"]
)
def test_what_is_not_there_is_refused_as_the_command_does(
    swept: list[ResultRecord], browser: Client, query: str
) -> None:
    answer = browser.get(f"/index?{query}")
    assert answer.status == 400
    assert 'role="alert"' in answer.text


def test_the_columns_of_the_address(swept: list[ResultRecord], browser: Client) -> None:
    lines = browser.get("/index?columns=version&columns=metrics.auc,params.lr&format=csv").text.splitlines()
    assert lines[0] == "version,metrics.auc,params.lr"
    assert lines[1].startswith("4,0.")


def test_an_earlier_revision_is_shown_as_it_was(shop: Shop, swept: list[ResultRecord], browser: Client) -> None:
    shop.index.tag("best", swept[0].alloc_id)
    shop.index.retire([swept[1].alloc_id])
    now, then = browser.get("/index").text, browser.get("/index?revision=2").text
    assert (now.count("<tr id="), then.count("<tr id=")) == (5, 6)
    assert ">best<" in now.replace(" ", "")
    assert "data-live" in now
    assert "data-live" not in then.partition("<main")[0]
    assert f"/results/{swept[0].alloc_id}?revision=2" in then
    assert "none" in browser.get(f"/results/{swept[0].alloc_id}?revision=2").text
    for number in (1, 2, 3):  # more of them than are kept
        assert browser.get(f"/index?revision={number}").status == 200
    assert browser.get("/index?revision=99").status == 400


def test_an_empty_index_names_the_next_command(browser: Client) -> None:
    assert "fedml run SCRIPT" in browser.get("/index").text
    assert "fedml run SCRIPT" in browser.get("/history").text


def test_a_home_that_stops_answering_shows_what_was_known(
    swept: list[ResultRecord], browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.get("/index")

    def gone(*_: object, **__: object) -> None:
        raise Unavailable("the home is gone", store="file://home", operation="get")

    browser.served.site.shared.renew("index")
    for name in ("get", "get_small", "stat", "list", "exists"):
        monkeypatch.setattr(FileStore, name, gone)
    html = browser.get("/index").text
    assert "the home is gone" in html
    assert html.count("<tr id=") == 6


def test_an_index_that_is_lost_says_what_the_command_says(shop: Shop, swept: list[ResultRecord]) -> None:
    home = open_store(shop.config.home)
    for info in [*home.list("index/log/")]:
        home.delete(info.key)
    home.put("runs/run-1/manifest.json", b"{}")
    with served(shop.toml) as pages:
        answer = Client(pages).get("/index")
    assert answer.status == 409
    assert "index rebuild" in answer.text


# ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_result_by_its_tag_and_as_the_commands_json(
    shop: Shop, swept: list[ResultRecord], browser: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    row = shop.index.result(swept[3].alloc_id)
    shop.index.tag("best", row.alloc_id, reason="by hand")
    shop.index.note(row.alloc_id, "looked at")
    answer = browser.get("/results/best")
    assert answer.path == f"/results/{row.alloc_id}"
    for text in (
        "looked at",
        "by hand",
        "auc",
        "Lineage",
        "5e1f",
        f"/do/tag?result={row.alloc_id}",
        "/do/untag?tag=best",
    ):
        assert text in answer.text
    shown = browser.get(f"/results/{row.alloc_id}?format=json").json()
    assert shown == command(shop, capfd, "index", "show", row.alloc_id, "--json")
    assert browser.get("/results/nobody").status == 404


def test_a_tag_is_moved_only_by_a_form_that_says_where_it_points(
    shop: Shop, swept: list[ResultRecord], browser: Client
) -> None:
    shop.index.tag("best", swept[0].alloc_id)
    asked = f"/do/tag?result={swept[1].alloc_id}"
    nameless = browser.get(asked).text
    assert 'method="get" action="/do/tag"' in nameless
    assert 'name="deed"' not in nameless
    named = browser.get(f"{asked}&tag=best&reason=better").text
    assert 'method="post" action="/actions/tag"' in named
    assert f"points to {swept[0].alloc_id[:8]}" in named
    assert 'value="better"' in named


def test_a_read_only_site_offers_no_action(shop: Shop, swept: list[ResultRecord]) -> None:
    with served(shop.toml, Settings(read_only=True)) as pages:
        assert "/do/" not in Client(pages).get(f"/results/{swept[0].alloc_id}").text


@pytest.mark.parametrize("name", ["report.txt", "roc.png", "metrics.jsonl"])
def test_a_file_is_downloaded_whole(swept: list[ResultRecord], browser: Client, name: str) -> None:
    answer = browser.get(f"/results/{swept[0].alloc_id}/files/{name}")
    file = next(file for file in swept[0].files if file.path == name)
    assert len(answer.content) == file.size_bytes == int(answer.headers["content-length"])
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.head(f"/results/{swept[0].alloc_id}/files/{name}").headers["content-length"] == str(file.size_bytes)


def test_only_pictures_are_shown_as_pictures(shop: Shop, browser: Client) -> None:
    files = {
        "a.png": png(),
        "fake.png": b"<html>",
        "b.svg": SVG,
        "c.html": b"<script>alert(1)</script>",
        "big.bin": b"\0" * 10,
    }
    record = shop.record(files)
    shop.index.commit([record])
    at = f"/results/{record.alloc_id}/files"
    shown = browser.get(f"{at}/a.png?as=picture")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert (
        browser.get(f"{at}/b.svg?as=picture")
        .headers["content-security-policy"]
        .startswith("sandbox; default-src 'none'")
    )
    for name in ("fake.png", "c.html"):
        refused = browser.get(f"{at}/{name}?as=picture")
        assert refused.status == 400
        assert "alert(1)" not in refused.text
    assert escape("<script>alert(1)</script>") in browser.get(f"{at}/c.html?as=text").text
    assert "not a text" in browser.get(f"{at}/big.bin?as=text").text
    assert browser.get(f"{at}/c.html").headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path", ["..%2Ffedml.toml", "%2e%2e/%2e%2e/secret", "%2Fetc%2Fpasswd", "model.bin%00", "roc.png/../x"]
)
def test_paths_that_the_record_lacks_are_refused(swept: list[ResultRecord], browser: Client, path: str) -> None:
    answer = browser.get(f"/results/{swept[0].alloc_id}/files/{path}")
    assert answer.status in (400, 404)
    assert "root:" not in answer.text


def test_a_changed_file_never_arrives_whole(shop: Shop, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.workflows.result_file.CHUNK_BYTES", 100)
    record = shop.record({"small.txt": b"x" * 50, "large.bin": b"y" * 1000})
    shop.index.commit([record])
    store = open_store(shop.config.regions["us"].datacenters["dc1"].store)
    store.put(record.artifact_prefix + "small.txt", b"z" * 50)
    store.put(record.artifact_prefix + "large.bin", b"y" * 999 + b"z")
    small = browser.get(f"/results/{record.alloc_id}/files/small.txt")
    assert small.status == 502
    assert "sha256 differs" in small.text
    large = browser.get(f"/results/{record.alloc_id}/files/large.bin")
    assert not large.is_whole
    assert len(large.content) < int(large.headers["content-length"]) == 1000


def test_a_store_that_fails_in_the_middle_ends_the_connection(
    shop: Shop, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.workflows.result_file.CHUNK_BYTES", 100)
    record = shop.record({"large.bin": b"y" * 1000})
    shop.index.commit([record])
    real = FileStore.get_range

    def get_range(store: FileStore, key: str, start: int, size_bytes: int) -> bytes:
        if start >= 300:
            raise Unavailable("the line broke", store=store.url, operation="get")
        return real(store, key, start, size_bytes)

    monkeypatch.setattr(FileStore, "get_range", get_range)
    answer = browser.get(f"/results/{record.alloc_id}/files/large.bin")
    assert not answer.is_whole
    assert answer.content == b"y" * 300


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_comparison_shows_differences_and_is_the_commands_json(
    shop: Shop, swept: list[ResultRecord], browser: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = [record.alloc_id for record in swept[:2]]
    address = "/index/compare?" + "&".join(f"select={one}" for one in ids)
    html = browser.get(address).text
    assert html.index(">metrics<") < html.index(">parameters<") < html.index(">place<")
    assert html.count("roc.png of ") == 2
    assert browser.get(f"{address}&format=json").json() == command(shop, capfd, "index", "compare", *ids, "--json")
    assert browser.get(f"{address}&format=svg&chart=scatter").headers["content-type"].startswith("image/svg+xml")


def test_rows_outside_a_range_are_grey(swept: list[ResultRecord], browser: Client) -> None:
    html = browser.get("/index/compare?brush.metrics.auc=0.8..").text
    good = sum(float(record.metrics["auc"]) >= 0.8 for record in swept)
    assert html.count('class="outside"') == len(swept) - good
    assert f"{good} of 6 are within" in html
    assert browser.get("/index/compare?brush.metrics.auc=high").status == 400
    assert browser.get("/index/compare?brush.metrics.auc=nan..1").status == 400


def test_all_that_match_are_drawn_up_to_a_limit_that_is_said(
    swept: list[ResultRecord], browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.web.pages.compare.DRAWN_MAX", 4)
    assert "drawn are 4 of 6, drawn by reservoir" in browser.get("/index/compare").text
    assert "drawn are 3 of 3." in browser.get("/index/compare?region=us").text


def test_too_many_or_unknown_results_are_refused(swept: list[ResultRecord], browser: Client) -> None:
    assert browser.get("/index/compare?" + "&".join(f"select=x{n}" for n in range(101))).status == 400
    assert browser.get("/index/compare?select=nobody").status == 404


# ── history ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "options"),
    [("", ()), ("kind=tag", ("--kind", "tag")), ("author=ann&job=churn", ("--author", "ann", "--job", "churn"))],
)
def test_history_is_the_commands_json(
    shop: Shop,
    swept: list[ResultRecord],
    browser: Client,
    capfd: pytest.CaptureFixture[str],
    query: str,
    options: tuple[str, ...],
) -> None:
    shop.index.tag("best", swept[0].alloc_id)
    answer = browser.get(f"/history?{query}&format=json").json()
    assert answer == command(shop, capfd, "index", "log", "--json", "--limit", "100", *options)
    assert answer["revisions"]


def test_history_says_who_asked_for_a_cancel(shop: Shop, swept: list[ResultRecord], browser: Client) -> None:
    from federation.home import run_log
    from federation.run.brain.changes import Cancel

    run_log(open_store(shop.config.home), "run-1", author="bob@desk").append([Cancel("too dear").to_json()])
    shop.index.close_run("run-1", "cancelled", "too dear")
    html = browser.get("/history?kind=cancel").text
    assert "asked for by bob@desk" in html
    assert "too dear" in html
    assert "/runs/run-1" in html


# ── hostile texts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hostile_texts_are_texts_everywhere(shop: Shop, browser: Client) -> None:
    records = [
        shop.record(
            {"a<b>\"'.svg": SVG, "t.txt": HOSTILE.encode()},
            job=HOSTILE.replace("\x1b", ""),
            version=f"{number}", run=f"run-{number}", metrics={f"m{HOSTILE}": 0.5 + number, "text": HOSTILE},
            params={f"p{HOSTILE}": f"{HOSTILE}{number}"}, environment={"git_commit": HOSTILE, "parent": HOSTILE},
        )
        for number in range(2)
    ]  # fmt: skip
    shop.index.commit(records, reason=HOSTILE.replace("\x1b", "").replace("\u202e", ""))
    ids = [record.alloc_id for record in records]
    for address in (
        "/index", "/index/compare", f"/index/compare?select={ids[0]}&select={ids[1]}", f"/results/{ids[0]}", "/history",
        f"/results/{ids[0]}/files/t.txt?as=text",
    ):  # fmt: skip
        answer = browser.get(address)
        assert answer.status == 200, (address, answer.text[:3000])
        assert "<script>alert" not in answer.text, address
        assert "<img src=x" not in answer.text, address
        assert "\u202e" not in answer.text, address
        assert "\x1b" not in answer.text, address


def test_curves_that_could_not_be_read_are_drawn_when_they_can_be(
    shop: Shop, swept: list[ResultRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, alloc_id, now_s = shop.site(), swept[0].alloc_id, [0.0]
    site.shared = Shared(lambda: now_s[0])
    path = f"/results/{alloc_id}"
    try:
        with monkeypatch.context() as patched:
            patched.setattr(result, "result_curves", lambda *_: RunCurves((), ("no answer",)))
            assert "curve of loss" not in page(result.view, site, path, alloc_id=alloc_id).charts
        now_s[0] += result.UNREAD_S
        assert "curve of loss" in page(result.view, site, path, alloc_id=alloc_id).charts
    finally:
        site.app.close()
