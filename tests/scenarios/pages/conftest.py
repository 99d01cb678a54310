"""A browser for all stories on the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.emulators.requirements import missing
from tests.scenarios.pages.browser import FLAGS, PATIENCE_MS
from tools.chromium import found


@pytest.fixture(scope="package")  # while it is there, no test of this process can run an event loop of its own
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    path = found()
    if not path:
        missing("browser", "no Chromium on this machine")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
