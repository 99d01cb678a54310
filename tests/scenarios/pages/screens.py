"""Makes the pictures of the pages for the documentation: `python -m tests.scenarios.pages.screens docs/how-to/screens`.

A project with three regions on this machine runs a sweep of 25 slots, of which one fails. Names, parameters, metrics and logs
are the same each time; IDs, times and processes aren't.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image  # comes with the extra "demo"
from playwright.sync_api import Browser, expect, sync_playwright

from tests.federation.web.served import Served, served
from tests.scenarios.conftest import running
from tests.scenarios.pages import churn
from tests.scenarios.pages.browser import FLAGS, PATIENCE_MS, visiting
from tests.scenarios.project import Project
from tools.chromium import found

BYTES_MAX = 150_000
DESK_PX, PHONE_PX, HEIGHT_PX = 1280, 400, 860
COLOURS = 240
RESULTS_WHILE_RUNNING = 5
FAILING = 9
"""The slot that asks for too much."""
RATES, DEPTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), (2, 4, 6, 9)
DEVICES = {"us": ("A100", 8, 1.2), "eu": ("L4", 4, 0.7), "onprem": ("A100", 2, 0.4)}
"""Model, number, and what a slot costs an hour."""
JOB = """\
job "churn" {{
  type        = "batch"
  datacenters = ["*"]
  parameterized {{
    meta_required = ["model_version", "lr", "depth"]
  }}
  group "work" {{
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    reschedule {{
      attempts  = 0
      unlimited = false
    }}
    task "train" {{
      driver = "raw_exec"
      env {{
        SCREENS_GO = "{go}"
      }}
      config {{
        command = "/bin/sh"
        args    = ["-c", "{python} {script} out && exec fedml publish out"]
      }}
      resources {{
        cpu    = 500
        memory = 256
        device "nvidia/gpu" {{}}
      }}
    }}
  }}
}}
"""


class Demo(Project):
    """A project of ann's."""

    def environment(self) -> dict[str, str]:
        """With an author who doesn't change."""
        return super().environment() | {"FEDML_AUTHOR": "ann@desk"}


@contextmanager
def sales(root: Path) -> Iterator[Demo]:
    """Three regions with GPUs and prices, a job, and 25 rows of parameters. One of them asks for too much."""
    Demo.made(root)
    project = Demo(root)
    text = (root / "fedml.toml").read_text().replace("sales-close-prediction.nomad.hcl", "churn.nomad.hcl")
    for region, (model, count, per_hour) in DEVICES.items():
        price = f"price_per_hour = {per_hour}"
        devices = f'devices = [{{ vendor = "nvidia", name = "{model}", count = {count} }}]'
        text = text.replace(f'addresses = ["dev:{region}"]', f'addresses = ["dev:{region}"]\n{price}')
        text = text.replace(f'name = "{region}-1",', f'name = "{region}-1", {devices},')
    project.write("fedml.toml", text)
    script = shlex.quote(str(Path(churn.__file__).resolve()))
    project.write("churn.nomad.hcl", JOB.format(python=sys.executable, script=script, go=root / "GO"))
    rows = [(lr, depth) for depth in DEPTHS for lr in RATES]
    rows.insert(FAILING, (0.1, 16))
    lines = [f"{lr},{depth}\n" for lr, depth in rows]
    project.write("rows.csv", "".join(["lr,depth\n", *lines]))
    with running(project):
        yield project


@dataclass(frozen=True, slots=True)
class Camera:
    """Takes pictures of pages."""

    browser: Browser
    pages: Served
    folder: Path

    def take(
        self,
        name: str,
        path: str,
        waits_for: str | re.Pattern[str],
        *,
        at: str = "",
        width_px: int = DESK_PX,
        height_px: int = HEIGHT_PX,
        dark: bool = False,
    ) -> None:
        """What a window of this size shows, when the text stands there; from the element `at` on."""
        scheme = "dark" if dark else "light"
        with visiting(self.browser, self.pages, width_px=width_px, color_scheme=scheme, timezone_id="UTC") as page:
            page.set_viewport_size({"width": width_px, "height": height_px})
            page.goto(f"{self.pages.root}{path}")
            expect(page.locator("main")).to_contain_text(waits_for)
            if at:
                page.locator(at).evaluate("one => one.scrollIntoView()")
            file = self.folder / f"{name}.png"
            page.screenshot(path=file)
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
        size = file.stat().st_size
        print(f"{file} {size // 1000} kB", flush=True)
        assert size < BYTES_MAX, f"{file} has {size} bytes"


def story(project: Demo, camera: Camera) -> None:
    """Runs the sweep, and takes pictures on the way: some tasks wait until the file GO is there."""
    sweep = ("--params", "rows.csv", "--version", "4", "--name", "depth-and-rate")
    camera.take("plan", "/plan?params=rows.csv&version=4", "25 slots")
    process = project.started("dispatch", *sweep)
    run = ""
    while len(project.rows("--version", "4")) < RESULTS_WHILE_RUNNING:
        assert process.poll() is None
        time.sleep(1)
    (row,) = project.ran("runs", "list", "--json").json["runs"]
    run = row["run"]
    camera.pages.site.shared.renew(("job-diff", ""))  # before the dispatch the job was registered nowhere
    camera.take("federation", "/", re.compile(r"same.*[4-8] of 8", re.DOTALL))
    camera.take("federation-dark-400", "/", re.compile("[4-8] of 8"), width_px=PHONE_PX, dark=True)
    camera.take("run-running", f"/runs/{run}", "running")
    (project.root / "GO").touch()
    process.communicate(timeout=300)
    best, second = (row["alloc_id"] for row in project.rows("--version", "4", "--sort", "metrics.auc:desc")[:2])
    for tag, result, reason in (("candidate", second, "good on the first look"), ("candidate", best, "better in all regions"),
                                ("production", best, "two weeks without an alarm")):  # fmt: skip
        project.ran("index", "tag", tag, result, "--reason", reason)
    camera.take("run-done", f"/runs/{run}", "failed")
    camera.take("run-results", f"/runs/{run}", "Results as they land", at="#results")
    camera.take("run-dark-400", f"/runs/{run}", "failed", width_px=PHONE_PX, dark=True)
    camera.take("attempt", f"/runs/{run}/slots/{FAILING}/1?stream=stderr", "this node has 8 GB")
    camera.take("index", "/index?sort=metrics.auc:desc", best[:8])
    camera.take("compare", "/index/compare?version=4&brush.metrics.auc=0.84..0.87", "are within")
    camera.take("result", f"/results/{best}", "production")
    camera.take("history", "/history", "production")


def main(folder: Path) -> None:
    """Makes all pictures."""
    os.environ["FEDML_AUTHOR"] = "ann@desk"
    expect.set_options(timeout=PATIENCE_MS)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.gettempdir()) / "ann"
    scratch.mkdir()  # one name: the pictures show it
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=list(FLAGS))
        with sales(scratch / "sales") as project, served(project.root / "fedml.toml") as pages:
            story(project, Camera(browser, pages, folder))
        browser.close()
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
