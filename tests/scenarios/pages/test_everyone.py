"""Every page is for everybody: in the dark, on a phone and on a wall, in any time zone, read-only, by keyboard alone, by screen
readers, and without JavaScript. One done and one failed run are looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect

from federation.web.site import Settings
from tests.federation.web.served import Served, served
from tests.scenarios.pages.browser import visiting
from tests.scenarios.project import Project

SCRIPT = """\
[ "$NOMAD_META_epochs" = 3 ] && echo "epochs may be 1 or 2" >&2 && exit 7
mkdir out && echo "layers: $NOMAD_META_epochs" > out/model.txt && echo "{\\"score\\": 0.$NOMAD_META_epochs}" > out/metrics.json
exec fedml publish out
"""
PHONE_PX, DESK_PX, WALL_PX = 360, 1280, 2560
ZONE = "Asia/Kolkata"
MISSING = "/runs/018f0000-0000-7000-8000-000000000000"
REFUSED = ("status of 400", "status of 404")
"""What the browser itself says about the page of a run that doesn't exist, and of actions that are left out."""
SERIOUS = ("serious", "critical")
TOO_WIDE = """() => document.scrollingElement.scrollWidth <= innerWidth ? [] : ["page", ...document.querySelectorAll("body *")]
  .filter((one) => one === "page" || one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll, .log, svg svg"))
  .map((one) => one.outerHTML?.slice(0, 120) ?? one)"""


@dataclass(frozen=True, slots=True)
class Walk:
    """All pages of the project, each with a fact that it must show."""

    pages: Served
    facts: Mapping[str, str]
    failed: str


@pytest.fixture(scope="module")
def walk(project: Project) -> Iterator[Walk]:
    """A run of two slots with results, and one of a slot that failed, in one region without a second try."""
    once = ("--config", project.variant("once", ("[federation]\n", "[federation]\nmax_attempts = 1\n")))
    job = project.job("everyone", SCRIPT)
    project.ran(
        "dispatch", "--job", job, "--sweep", "epochs=1,2", "--version", "1", "--name", "good", "--regions", "us"
    )
    wrong = ("-meta", "epochs=3", "--version", "2", "--name", "wrong", "--regions", "us")
    ended = project.fedml("dispatch", "--job", job, *wrong, *once)
    assert ended.code == 2, ended.err
    listed = project.ran("runs", "list", "--json", "--job", "everyone").json["runs"]
    runs = {row["name"]: row["run"] for row in listed}
    first, second = (row["alloc_id"] for row in project.rows("--job", "everyone"))
    project.ran("index", "tag", "everyone-best", first)
    facts = {
        "/": "onprem",
        "/regions/us": "us-1",
        f"/plan?job={job}&n=2&version=3": "version 3: 2 slots",
        "/runs?job=everyone": "failed",
        f"/runs/{runs['good']}": "score",
        f"/runs/{runs['wrong']}": "Exit Code: 7",
        f"/runs/{runs['good']}/slots/0/1": "epochs=1",
        f"/runs/{runs['wrong']}/slots/0/1": "epochs may be 1 or 2",
        f"/runs/{runs['wrong']}/log": "us",
        "/index?job=everyone": first[:8],
        f"/index/compare?select={first}&select={second}": "epochs",
        f"/results/{first}": "everyone-best",
        f"/results/{first}/files/model.txt?as=text": "layers:",
        "/history": "everyone-best",
        "/jobs": "everyone",
        "/jobs/everyone": "us",
        "/doctor": "what to do",
        f"/do/tag?result={second}&tag=everyone-best": f"points to {first[:8]}",
        MISSING: "fedml runs list",
    }
    with served(project.root / "fedml.toml") as pages:
        yield Walk(pages, facts, runs["wrong"])


def too_wide(page: Page) -> list[str]:
    """What lets the page itself be moved sideways. A wide table moves in its own frame."""
    found: list[str] = page.evaluate(TOO_WIDE)
    return [f"{page.url} {name}" for name in found]


def findings(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [
        f"{page.url} {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


def visited(page: Page, walk: Walk) -> Iterator[str]:
    """Goes to each page, and waits until its fact stands there. Yields its path."""
    for path, fact in walk.facts.items():
        page.goto(f"{walk.pages.root}{path}")
        expect(page.locator("main")).to_contain_text(fact)
        yield path


@pytest.mark.parametrize(("scheme", "width_px"), [("light", DESK_PX), ("dark", PHONE_PX)])
def test_screen_readers_and_all_eyes_can_read_every_page(
    browser: Browser, walk: Walk, scheme: str, width_px: int
) -> None:
    found, wide = [], []
    measures = {"color_scheme": scheme, "bypass_csp": True}  # axe styles the page while it measures
    with visiting(browser, walk.pages, allowed=REFUSED, width_px=width_px, **measures) as page:
        for _ in visited(page, walk):
            found += findings(page)
            wide += too_wide(page)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ("255, 255, 255" in background) == (scheme == "light")
        page.get_by_role("button", name="Light or dark").click()
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    assert not found, "\n".join(found)
    assert not wide, "\n".join(wide)


def test_a_wall_is_used_and_times_are_local_there(browser: Browser, walk: Walk) -> None:
    with visiting(browser, walk.pages, allowed=REFUSED, width_px=WALL_PX, timezone_id=ZONE) as page:
        for path in visited(page, walk):
            assert not too_wide(page)
            for time in page.locator("main time").all()[:5]:
                at = datetime.fromisoformat(time.get_attribute("datetime") or "")
                local = at.astimezone(ZoneInfo(ZONE))
                assert time.inner_text() == f"{local:%Y-%m-%d %H:%M}", path
                assert time.get_attribute("title") == f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z", path


def test_without_javascript_and_read_only_every_page_shows_its_facts(
    browser: Browser, walk: Walk, project: Project
) -> None:
    settings = Settings(read_only=True)
    with (
        served(project.root / "fedml.toml", settings) as pages,
        visiting(browser, pages, allowed=REFUSED, width_px=PHONE_PX, java_script_enabled=False) as page,
    ):
        for path, fact in walk.facts.items():
            page.goto(f"{pages.root}{path}")
            if path.startswith("/do/"):
                expect(page.locator("main")).to_contain_text("these pages only show")
                continue
            if path == "/doctor":
                while not page.locator("#checks").count():
                    page.reload()
            expect(page.locator("main")).to_contain_text(fact)
            assert page.locator("form[method=post], a[href^='/do/']").count() == 0, path
            assert page.locator("button:visible, [role=button]:visible").evaluate_all(
                "all => all.every(one => one.form)"
            )


def test_keys_alone_lead_through_the_pages(browser: Browser, walk: Walk) -> None:
    with visiting(browser, walk.pages) as page:
        arrived(page, f"{walk.pages.root}/", goes=True)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("g")
        page.keyboard.press("r")
        arrived(page, f"{walk.pages.root}/runs")

        arrived(page, f"{walk.pages.root}/runs?job=everyone", goes=True)
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("#runs tbody tr").nth(1)).to_have_class(re.compile(r"\bat\b"))
        page.keyboard.press("k")
        expect(page.locator("#runs tbody tr").first.locator("a").first).to_be_focused()
        page.keyboard.press("Enter")
        arrived(page, f"{walk.pages.root}/runs/{walk.failed}")
        assert reaches(page, page.locator("#attempts tbody a").first)

        page.keyboard.press("g")
        page.keyboard.press("i")
        arrived(page, f"{walk.pages.root}/index")
        page.keyboard.press("/")
        expect(page.locator("#where")).to_be_focused()
        page.keyboard.type("job = 'everyone'")
        page.keyboard.press("Enter")
        arrived(page, re.compile("/index.*where="))
        expect(page.locator("#results tbody tr")).to_have_count(2)
        for key in "jxjx":
            page.keyboard.press(key)
        expect(page.locator("#results input:checked")).to_have_count(2)
        page.keyboard.press("c")
        arrived(page, re.compile("/index/compare"))
        expect(page.locator("#differences")).to_contain_text("epochs")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def arrived(page: Page, address: str | re.Pattern[str], *, goes: bool = False) -> None:
    """Waits until the page of the address listens to keys; its button for help is shown then."""
    if goes:
        page.goto(str(address))
    expect(page).to_have_url(address)
    expect(page.locator("[data-keys-help]")).to_be_visible()


def reaches(page: Page, target: Locator, tabs_max: int = 200) -> bool:
    """Whether Tab comes to it."""
    for _ in range(tabs_max):
        page.keyboard.press("Tab")
        if target.evaluate("one => one === document.activeElement"):
            return True
    return False
