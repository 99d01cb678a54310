"""People compare the results of a sweep, look at the index as it was, and open results with hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.federation.web.served import Served, served
from tests.federation.web.shop import Shop, png
from tests.scenarios.pages.browser import accessible, visiting

HOSTILE = "<script>document.title='run'</script>\"'><img src=x onerror=alert(2)>\u202e"
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><script>document.title = "run"</script>
<rect width="40" height="40" fill="red" style="stroke: blue"/><image href="https://example.com/x.png"/></svg>"""
HTML = b"<script>parent.document.title = 'run'; document.title = 'run'</script><h1>a page</h1>"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def pages(shop: Shop) -> Iterator[Served]:
    with served(shop.toml) as up:
        yield up


def brush(page: Page, axis: str, low: float, high: float) -> None:
    """Draws along an axis, from one share of its height to another."""
    place = page.evaluate(
        """(name) => {
            const axis = [...document.querySelectorAll("g.parallel-axis")].find((one) => one.dataset.name === name);
            const box = axis.closest("svg.chart").getBoundingClientRect();
            const {top, bottom, x} = axis.dataset;
            return [box.left + box.width * parseFloat(x) / 100, box.top + +top, box.top + +bottom];
        }""",
        axis,
    )
    x, top, bottom = place
    page.mouse.move(x, bottom - low * (bottom - top))
    page.mouse.down()
    page.mouse.move(x, bottom - high * (bottom - top), steps=4)
    page.mouse.up()


def test_the_best_of_a_sweep_is_found_by_ranges(browser: Browser, shop: Shop, pages: Served) -> None:
    records = shop.sweep(24)
    best = max(records, key=lambda record: float(record.metrics["auc"]))
    with visiting(browser, pages) as page:
        page.goto(f"{pages.root}/index")
        page.get_by_label("Where").fill("metrics.auc > 0 and params.dep")
        expect(page.locator("#fields option").first).to_have_attribute("value", "metrics.auc > 0 and params.depth")
        page.get_by_label("Where").fill("params.depth > 2")
        page.keyboard.press("Enter")
        expect(page.locator("#results tbody tr")).to_have_count(18)
        accessible(page)
        for box in page.locator("#results tbody input").all():
            box.check()
        page.keyboard.press("Escape")
        page.locator("[data-compare]").click()
        expect(page.locator("#results tbody tr")).to_have_count(18)
        expect(page.locator("[data-brush-hint]")).to_be_visible()
        page.locator("#axes").scroll_into_view_if_needed()
        brush(page, "metrics.auc", 0.7, 1.02)
        expect(page.locator("#axes rect.brush")).to_have_count(1)
        assert "brush.metrics.auc=" in page.url
        inside = page.locator("#results tbody tr:not(.outside)")
        assert 0 < inside.count() < 18
        expect(inside.first).to_have_attribute("data-key", best.alloc_id)
        accessible(page)
        inside.first.locator("th a").click()
        expect(page.locator("h1")).to_have_text(f"churn 4, slot {best.key.slot}")
        expect(page.get_by_text("report.txt")).to_be_visible()
        page.locator(".pictures img").scroll_into_view_if_needed()
        expect(page.locator(".pictures img")).to_have_js_property("naturalWidth", 16)
        with page.expect_download() as download:
            page.get_by_role("link", name="report.txt").click()
        assert download.value.path().read_bytes() == b"fine <b>really</b>\n"
        accessible(page)
        page.get_by_role("link", name="Tag…").click()
        assert f"/do/tag?result={best.alloc_id}" in page.url


def test_the_index_is_seen_as_it_was(browser: Browser, shop: Shop, pages: Served) -> None:
    records = shop.sweep(6)
    shop.index.tag("production", records[0].alloc_id)
    shop.index.retire([records[1].alloc_id], reason="wrong data")
    with visiting(browser, pages) as page:
        page.goto(f"{pages.root}/history?kind=retire")
        expect(page.get_by_text("wrong data")).to_be_visible()
        accessible(page)
        page.goto(f"{pages.root}/index")
        expect(page.locator("#results tbody tr")).to_have_count(5)
        page.locator("form.revision input").focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#results tbody tr")).to_have_count(6)
        assert "revision=3" in page.url
        page.wait_for_load_state()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("slot 6")
        page.get_by_role("link", name="Now").click()
        expect(page.locator("form.revision output")).to_have_text("4")
        page.goto(f"{pages.root}/index")
        expect(page.locator("#results tbody tr")).to_have_count(5)
        shop.index.tag("staging", records[2].alloc_id)  # somebody else does
        expect(page.locator(f"tr[data-key='{records[2].alloc_id}']")).to_contain_text("staging")


def test_hostile_texts_run_nowhere(browser: Browser, shop: Shop, pages: Served) -> None:
    records = [
        shop.record(
            {"a<b>'.svg": SVG, "page.html": HTML, "t.txt": HOSTILE.encode(), "ok.png": png(), "bad.png": HTML},
            job=HOSTILE,
            version=f"{number}",
            run=f"run-{number}",
            metrics={f"m{HOSTILE}": 0.5 + number, "text": HOSTILE},
            params={f"p{HOSTILE}": f"{HOSTILE}{number}"},
            environment={"git_commit": HOSTILE, "parent": HOSTILE},
        )
        for number in range(2)
    ]
    shop.index.commit(records)
    shop.index.note(records[0].alloc_id, HOSTILE.replace("\u202e", ""))
    ids = [record.alloc_id for record in records]
    with visiting(
        browser, pages, allowed=("400 (Bad Request)", "404 (Not Found)", "sandboxed", "violates the following")
    ) as page:
        for path in (
            "/index",
            "/history",
            f"/index/compare?select={ids[0]}&select={ids[1]}",
            f"/results/{ids[0]}",
            f"/results/{ids[0]}/files/page.html?as=text",
        ):
            page.goto(f"{pages.root}{path}")
            for picture in page.locator("img").all():
                picture.scroll_into_view_if_needed()
            assert page.title() != "run", path
            assert page.locator("img[src=x]").count() == 0, path
            assert len(page.frames) == 1, path
        page.goto(f"{pages.root}/results/{ids[0]}")
        for name in ("page.html", "a<b>'.svg"):
            with page.expect_download():
                page.get_by_role("link", name=name).first.click()
        with page.expect_download():
            page.evaluate("location.assign(document.querySelector('img[src*=svg]').src)")


def test_further_pages_open_while_many_are_kept_up_to_date(browser: Browser, shop: Shop, pages: Served) -> None:
    """A browser has six connections to a server."""
    shop.sweep(3)
    with visiting(browser, pages) as page:
        page.goto(f"{pages.root}/index")
        tabs = [page.context.new_page() for _ in range(8)]
        for tab in tabs:
            tab.goto(f"{pages.root}/index")
            expect(tab.locator("#results tbody tr")).to_have_count(3)
        expect(tabs[-1].get_by_text("Several pages are open")).to_be_visible()
        shop.index.commit([shop.record()])
        expect(page.locator("#live-new")).to_contain_text("1 new")
