"""People look at a federation: where devices are free, who waits for them, what a region's silence means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from federation.web import regions as reading
from federation.web.pages import federation as page_module
from federation.workflows import region_state
from tests.federation.web.served import served
from tests.scenarios.pages.browser import accessible, press, visiting
from tests.scenarios.project import Project

DEVICES = '[{ vendor = "nvidia", name = "A100", count = 2 }]'
GPU_NODE = (
    f'{{ name = "us-gpu-1", datacenter = "us-east-1", node_pool = "gpu", node_class = "a100", devices = {DEVICES} }}'
)
AXE_DOES = ("Applying inline style", "preload assets")
"""What axe itself does on a page, which the policy forbids."""
JOB = """
job "tune" {
  type        = "batch"
  datacenters = ["*"]
  node_pool   = "gpu"
  parameterized {}
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["3600"]
      }
      resources {
        cpu    = 100
        memory = 32
        device "nvidia/gpu" {
          count = 2
        }
      }
    }
  }
}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Three regions; one has a node with two devices. Pages look often."""
    monkeypatch.setattr(reading, "MAX_AGE_S", 0.2)
    monkeypatch.setattr(region_state, "ASK_S", 1.0)
    monkeypatch.setattr(page_module, "PAUSE_S", 0.2)
    project = Project.made(tmp_path / "lab")
    toml = project.root / "fedml.toml"
    text = toml.read_text()
    node = next(line for line in text.splitlines() if '"us-1"' in line)
    text = text.replace(node, node.replace("}]", f"}}, {GPU_NODE}]"))
    toml.write_text(text.replace("[regions.us]\n", "[regions.us]\nelastic_slots = 2\n", 1))
    monkeypatch.chdir(project.root)
    project.write("tune.nomad.hcl", JOB)
    try:
        project.ran("dev", "up")
        yield project
    finally:
        project.fedml("dev", "down", "--purge", "--yes")


def test_devices_queues_and_a_silent_region(browser: Browser, lab: Project) -> None:
    job = str(lab.root / "tune.nomad.hcl")
    lab.ran("deploy", "--job", job, "--regions", "us")
    with served(lab.root / "fedml.toml") as pages, visiting(browser, pages) as page:
        expect(page.locator("#regions tbody tr")).to_have_count(3)
        expect(page.locator("#regions-us")).to_contain_text("0 of 2")
        expect(page.locator("#held")).to_contain_text("No allocation holds a device.")

        lab.ran("dispatch", "--job", job, "-n", "2", "--version", "1", "--regions", "us", "--detach")
        expect(page.locator("#regions-us")).to_contain_text("2 of 2")  # without a reload
        expect(page.locator("#waiting tbody tr")).to_contain_text("tune")
        expect(page.locator("#waiting tbody tr")).to_contain_text("@")  # whose it is
        expect(page.locator("#devices tbody tr")).to_contain_text("us-gpu-1")

        page.get_by_role("link", name="gpu", exact=True).click()
        expect(page.locator("#nodes tbody tr")).to_have_count(1)
        assert "pool=gpu" in page.url

        lab.ran("dev", "region", "cut", "eu")
        page.goto(f"{pages.root}/")
        expect(page.locator("#regions-eu .state")).to_contain_text("unreachable")
        expect(page.locator("#nodes")).to_contain_text("eu-1")  # as it was
        expect(page.locator("#freshness")).to_contain_text("Shown as of")
        page.get_by_role("link", name="eu", exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Region eu")

        press(page, "gd")
        expect(page.locator("#checks tbody tr").first).to_contain_text("failed")
        expect(page.locator("#checks tbody tr").first).to_contain_text("fedml dev up")
        lab.ran("dev", "region", "restore", "eu")
        page.get_by_role("button", name="Run again").click()
        expect(page.locator("#checks")).not_to_contain_text("region eu failed")
        expect(page.locator("#outcome")).to_contain_text("nothing needed is missing")

        press(page, "gj")
        page.get_by_role("link", name="tune", exact=True).click()
        expect(page.locator("#difference")).to_contain_text("as fedml registered it")

        with visiting(browser, pages, allowed=AXE_DOES) as page:
            for address in ("/", "/regions/us", "/jobs", "/jobs/tune", "/doctor"):
                page.goto(f"{pages.root}{address}")
                accessible(page)


def test_the_pages_show_their_facts_without_scripts_on_a_phone(
    browser: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    with (
        served(project.root / "fedml.toml") as pages,
        visiting(browser, pages, width_px=360, java_script_enabled=False, color_scheme="dark") as page,
    ):
        for address in ("/", "/regions/us", "/jobs", "/doctor"):
            page.goto(f"{pages.root}{address}")
            expect(page.locator("table tbody tr").first).to_be_visible()
