"""A browser for stories on the pages. It fails a test for anything that a browser complains about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect

from tests.federation.web.served import Served

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 15_000
"""How long a state may take on a slow machine."""


@dataclass
class Complaints:
    """What a page did that it mustn't: errors in the console, violations of the policy, requests to anywhere else."""

    root: str
    found: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()
    """Texts of complaints that the story wants."""

    def console(self, message: ConsoleMessage) -> None:
        """Keeps errors and warnings."""
        if message.type in ("error", "warning") and not any(text in message.text for text in self.allowed):
            self.found.append(f"{message.type}: {message.text}")

    def failed(self, error: Error) -> None:
        """Keeps what a script raised."""
        self.found.append(f"script: {error}")

    def request(self, request: Request) -> None:
        """Keeps requests to other hosts."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and f"{parts.scheme}://{parts.netloc}" != self.root:
            self.found.append(f"request to {request.url}")


@contextmanager
def visiting(
    browser: Browser, served: Served, *, allowed: tuple[str, ...] = (), width_px: int = 1280, **context: Any
) -> Iterator[Page]:
    """A signed-in page. Fails at the end where a browser complained (but for `allowed`)."""
    opened = browser.new_context(viewport={"width": width_px, "height": 900}, **context)
    try:
        opened.set_default_timeout(PATIENCE_MS)
        page = opened.new_page()
        complaints = Complaints(served.root, allowed=allowed)
        page.on("console", complaints.console)
        page.on("pageerror", complaints.failed)
        page.on("request", complaints.request)
        page.goto(served.link)
        yield page
        assert not complaints.found, "\n".join(complaints.found)
    finally:
        opened.close()


def accessible(page: Page) -> None:
    """Fails for what keeps people with a screen reader or a keyboard out."""
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert not found, [(one["id"], one["nodes"][0]["html"]) for one in found]


def screenshot(page: Page, folder: Path, name: str) -> None:
    """Keeps a picture of the whole page, with its width in the name."""
    width_px = (page.viewport_size or {"width": 0})["width"]
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}-{width_px}.png", full_page=True)


def press(page: Page, keys: str) -> None:
    """Presses keys one after another, when the page listens to them."""
    expect(page.locator("[data-keys-help]")).to_be_visible()
    for key in keys:
        page.keyboard.press(key)
