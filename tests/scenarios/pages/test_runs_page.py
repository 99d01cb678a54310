"""People look for a run."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.federation.web.served import served
from tests.scenarios.pages.browser import visiting
from tests.scenarios.project import Project


def test_the_list_of_runs_filters_by_its_address(browser: Browser, project: Project) -> None:
    project.ran("dispatch", "--job", project.job("listed"), "-n", "2", "--version", "1")
    with served(project.root / "fedml.toml") as pages, visiting(browser, pages) as page:
        page.goto(f"{pages.root}/runs?job=listed")
        expect(page.locator("#runs tbody tr")).to_have_count(1)
        expect(page.locator("#runs tbody tr .state")).to_contain_text("done")
        page.get_by_label("version", exact=True).fill("9")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator(".empty")).to_be_visible()
        assert "version=9" in page.url
