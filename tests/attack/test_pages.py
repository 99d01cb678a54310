"""The pages of a federation where everybody else is hostile: each answers, and nothing foreign becomes markup."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from federation.app import App
from federation.config.load import load
from tests.attack.hostile import forbidden
from tests.attack.scene import DONE_RUN, NODE_ALLOC, OPEN_RUN, Scene
from tests.attack.test_output import scene as poisoned_scene
from tests.federation.web.asking import Browser

scene = poisoned_scene
PAGES = (
    "/",
    "/regions/us",
    "/regions/eu",
    "/plan",
    "/runs",
    f"/runs/{OPEN_RUN}",
    f"/runs/{OPEN_RUN}?curves=1",
    f"/runs/{DONE_RUN}",
    f"/runs/{OPEN_RUN}/log",
    f"/runs/{OPEN_RUN}/slots/0/1",
    f"/runs/{OPEN_RUN}/slots/0/1?stream=stderr",
    "/index",
    "/index?where=metrics.auc+%3E+0",
    "/index/compare",
    f"/results/{NODE_ALLOC}",
    f"/results/{NODE_ALLOC}/files/model.bin?as=text",
    "/history",
    "/jobs",
    "/jobs/sales",
    "/doctor",
    f"/do/tag?result={NODE_ALLOC}",
    f"/do/cancel?run={OPEN_RUN}",
)
OWN_SCRIPT = "/static/main.js"


class Reader(HTMLParser):
    """Collects what a browser could run or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps what no page of ours has."""
        given = dict(attrs)
        if tag in ("iframe", "object", "embed", "base") or (tag == "script" and given.get("src") != OWN_SCRIPT):
            self.problems.append(f"<{tag} {attrs}>")
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.problems.append(f"{name}={value!r}")
            if name in ("href", "src", "action") and not (value or "").startswith(("/", "#", "http://", "?")):
                self.problems.append(f"{name}={value!r}")
            if name in ("href", "src", "action") and (value or "").startswith(("//", "/\\")):
                self.problems.append(f"{name}={value!r}")


@pytest.fixture
def browser(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A signed-in browser."""
    monkeypatch.setenv("FEDML_CACHE_DIR", str(scene.root / "cache"))
    app = App(load(scene.root / "fedml.toml"))
    yield Browser(app)
    app.close()


@pytest.mark.parametrize("page", PAGES)
def test_nothing_foreign_becomes_markup(browser: Browser, page: str) -> None:
    answer = browser.get(page)
    assert answer.status < 500 or ("that failed" not in answer.text and answer.status == 502), answer.text
    reader = Reader()
    reader.feed(answer.text)
    assert not reader.problems
    assert not forbidden(answer.text)


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("page", PAGES)
def test_other_forms_of_a_page_are_answered(browser: Browser, page: str, form: str) -> None:
    answer = browser.get(f"{page}{'&' if '?' in page else '?'}format={form}")
    assert answer.status in (200, 400, 404, 409, 502), answer.text
