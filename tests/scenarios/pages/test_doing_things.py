"""People do things on the pages: plan and dispatch, promote a result, roll a tag back. Others may only look."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from federation.web.site import Settings
from tests.federation.web.served import served
from tests.scenarios.pages.browser import visiting
from tests.scenarios.project import Project


def test_what_was_planned_is_dispatched_and_promoted(browser: Browser, project: Project) -> None:
    job = project.job("promoted")
    proxied = Settings(user_header="X-Forwarded-User")
    signed_in = {"X-Forwarded-User": "ann@example.com"}
    with (
        served(project.root / "fedml.toml", proxied) as pages,
        visiting(browser, pages, extra_http_headers=signed_in) as page,
    ):
        page.goto(f"{pages.root}/plan?job={job}")
        page.get_by_label("Slots", exact=True).fill("2")
        page.get_by_label("Version").fill("7")
        expect(page.locator("#plan")).to_contain_text("version 7: 2 slots")
        expect(page.locator("#plan .command code")).to_have_text(f"fedml dispatch --job={job} -n2 --version=7 --detach")
        page.get_by_role("button", name="Dispatch 2 slots").click()
        expect(page.get_by_role("heading")).to_contain_text("Done")
        (run,) = {row["run"] for row in project.ran("runs", "list", "--json", "--job", "promoted").json["runs"]}
        assert project.ran("runs", "watch", run).code == 0
        first, second = (row["alloc_id"] for row in project.rows("--run", run))

        for result, before in ((first, "points to nothing now"), (second, f"points to {first[:8]}")):
            page.goto(f"{pages.root}/results/{result}")
            page.get_by_role("link", name="Tag…").click()
            page.get_by_label("Tag").fill("shown")
            page.get_by_label("Why").fill("looks better")
            page.get_by_role("button", name="Continue").click()
            expect(page.locator("main")).to_contain_text(before)
            page.get_by_role("button", name="Point a tag").click()
            expect(page).to_have_url(re.compile(f"/results/{result}$"))
        moves = project.ran("index", "tag", "shown", "--json").json["history"]
        assert [(move["author"], move["reason"]) for move in moves] == [("ann@example.com", "looks better")] * 2

        page.goto(f"{pages.root}/do/rollback?tag=shown")
        expect(page.locator("main")).to_contain_text(f"It would point to {first[:8]}")
        page.get_by_role("button", name="Roll a tag back").click()
        expect(page).to_have_url(re.compile("/results/"))
        assert project.ran("index", "tag", "shown", "--json").json["alloc_id"] == first


def test_a_decision_on_what_has_changed_is_refused(browser: Browser, project: Project) -> None:
    project.ran("dispatch", "--job", project.job("contested"), "-n", "2", "--version", "1")
    first, second = (row["alloc_id"] for row in project.rows("--job", "contested"))
    with served(project.root / "fedml.toml") as pages, visiting(browser, pages) as page:
        page.goto(f"{pages.root}/do/tag?result={first}&tag=contested-best")
        project.ran("index", "tag", "contested-best", second)
        page.get_by_role("button", name="Point a tag").click()
        expect(page.get_by_role("heading")).to_contain_text("exit code 1")
        expect(page.locator(".log")).to_contain_text("points to")
        assert project.ran("index", "tag", "contested-best", "--json").json["alloc_id"] == second


def test_who_may_only_look_is_offered_nothing(browser: Browser, project: Project) -> None:
    refused = ("400", "404")
    settings = Settings(read_only=True)
    with served(project.root / "fedml.toml", settings) as pages, visiting(browser, pages, allowed=refused) as page:
        page.goto(f"{pages.root}/plan?n=1")
        expect(page.get_by_role("button", name="Dispatch")).to_have_count(0)
        page.goto(f"{pages.root}/do/cancel?run=last")
        expect(page.locator(".notice.problem").last).to_contain_text("these pages only show")
        answer = page.request.post(f"{pages.root}/actions/cancel", form={"run": "last"}, headers={"Origin": pages.root})
        assert answer.status == 404
