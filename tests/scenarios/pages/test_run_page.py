"""People watch a run through the loss of a region to its end, and find out why slots failed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.federation.web.served import served
from tests.scenarios.conftest import federation
from tests.scenarios.pages.browser import visiting
from tests.scenarios.project import Project, expected_keys, gate, run_id, told

SLOTS = 60


@pytest.mark.slow
def test_a_run_is_watched_through_the_loss_of_a_region_to_its_end(browser: Browser, tmp_path: Path) -> None:
    with federation(tmp_path / "fragile", grace_s=15.0) as fragile, gate(fragile.root / "gate") as waiting:
        script = f'test "$FEDML_REGION" != us || cat {waiting}; echo x > model && exec fedml publish model'
        job = fragile.job("watched", script, cpu_mhz=100)
        dispatch = fragile.started("dispatch", "--job", job, "-n", str(SLOTS))
        said = told(dispatch, "running    us-1", 1)
        run = run_id(said)
        with served(fragile.root / "fedml.toml") as pages, visiting(browser, pages, allowed=("404",)) as page:
            page.goto(f"{pages.root}/runs/{run}")
            expect(page.locator("#head")).to_contain_text("open")
            expect(page.locator("#head")).to_contain_text("running")
            address = page.url
            os.kill(fragile.pid("us"), signal.SIGKILL)
            expect(page.locator("#head")).to_contain_text("us doesn't say how its slots stand")
            said += dispatch.communicate(timeout=300)[1]
            assert dispatch.returncode == 0, said
            expect(page.locator("#head .counts")).to_contain_text("60 done")
            expect(page.locator("#head .counts strong")).to_contain_text("done")
            expect(page.locator("#spent")).to_contain_text("computing")
            assert page.url == address
            page.get_by_role("link", name="region lost").click()
            expect(page.locator("#attempts tbody tr").first).to_contain_text("failed")
            expect(page.locator("#attempts tbody tr").first).to_contain_text("us")
            page.get_by_role("link", name="Run log").click()
            expect(page.locator("#entries")).to_contain_text("region lost")
        assert fragile.committed(run) == expected_keys(SLOTS)


def test_the_reason_of_failed_slots_is_found_and_their_log_is_read(browser: Browser, project: Project) -> None:
    script = (
        'echo "reading the data" && if test "$NOMAD_META_epochs" = 5; then echo "bad config: 5 epochs" >&2; exit 3; fi; '
        "mkdir out && echo x > out/model && echo '{\"auc\": 0.9}' > out/metrics.json && exec fedml publish out"
    )
    job = project.job("explained", script)
    project.fedml("dispatch", "--job", job, "--version", "1", "--sweep", "epochs=3,4,5", "--name", "explained")
    with served(project.root / "fedml.toml") as pages, visiting(browser, pages, allowed=("404",)) as page:
        page.goto(f"{pages.root}/runs?name=explained")
        expect(page.locator("#runs tbody tr")).to_contain_text("1 exit")
        page.locator("#runs tbody tr a").first.click()
        expect(page.locator("#failures")).to_contain_text("bad config: 5 epochs")
        expect(page.locator("#failures")).to_contain_text("epochs=5")
        expect(page.locator("#results svg")).not_to_have_count(0)
        page.locator("#failures a").first.click()
        expect(page.locator("#log-text")).to_have_text("bad config: 5 epochs")
        page.get_by_role("link", name="make stdout").click()
        expect(page.locator("#log-text")).to_have_text("reading the data")
        assert "stream=stdout" in page.url
        expect(page.locator("#tasks")).to_contain_text("3")
        expect(page.locator("#events")).to_contain_text("Terminated")


def test_a_log_follows_what_a_task_writes(browser: Browser, project: Project) -> None:
    with gate(project.root / "gate-log") as waiting:
        script = f"seq 1 2000; echo waits; cat {waiting}; echo goes on; sleep 6; echo x > m && exec fedml publish m"
        job = project.job("followed", script)
        dispatch = project.started("dispatch", "--job", job, "-n", "1", "--regions", "us", "--version", "1")
        run = run_id(told(dispatch, "running ", 1))
        with served(project.root / "fedml.toml") as pages, visiting(browser, pages, allowed=("404",)) as page:
            page.goto(f"{pages.root}/runs/{run}/slots/0/1?task=make&stream=stdout")
            expect(page.locator("#log-text")).to_contain_text("waits")
            os.close(os.open(waiting, os.O_RDWR))
            expect(page.locator("#log-text")).to_contain_text("goes on")
            at_end = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 24"
            assert page.locator(".log").evaluate(at_end)
        assert dispatch.wait(120) == 0
