"""The pages, where an answer of a region or an object in a store is wrong somewhere: each page answers, in every form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.app import App
from federation.config.load import load
from tests.attack.region import SPOILABLE, FakeRegion
from tests.attack.scene import NODE_ALLOC, OPEN_RUN, Scene, record_of
from tests.attack.shapes import BYTES, attacked, json_bytes, spoilt
from tests.attack.test_logs import CHANGES, KEPT, RUN_CHANGES, manifest, open_run
from tests.attack.test_pages import PAGES
from tests.attack.test_regions import replies
from tests.federation.web.asking import Browser

RUN_LOG = f"runs/{OPEN_RUN}/log/"
FORMS = ("", "format=json", "format=csv")
OF_REGIONS = [
    page for page in PAGES if page.startswith(("/regions", "/plan", "/runs/", "/jobs", "/doctor")) or page == "/"
]
OF_RUNS = [page for page in PAGES if page.startswith(("/runs", "/do/cancel", "/history", "/index"))]
OF_RESULTS = [page for page in PAGES if page.startswith(("/index", "/results", "/history", "/do/tag", "/runs"))]


@pytest.fixture(scope="module")
def scene(two_regions: Scene) -> Scene:
    """Of the two regions us is the attacker's."""
    return two_regions


@contextmanager
def browsing(scene: Scene) -> Iterator[Browser]:
    """A browser that is signed in to pages that know nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDML_CACHE_DIR", str(scene.root / "cache"))
        app = App(load(scene.root / "fedml.toml"))
        try:
            yield Browser(app)
        finally:
            app.close()


def look(scene: Scene, data: st.DataObject, pages: list[str]) -> None:
    """Looks at some of the pages. None fails."""
    with browsing(scene) as browser:
        for page in data.draw(st.lists(st.sampled_from(pages), min_size=3, max_size=3)):
            form = data.draw(st.sampled_from(FORMS))
            answer = browser.get(f"{page}{'&' if '?' in page else '?'}{form}" if form else page)
            assert answer.status in (200, 303, 400, 404, 409, 502), (
                f"{page} {form}: {answer.status} {answer.text[-3000:]}"
            )


@attacked
@given(st.data())
def test_an_answer_of_a_region(scene: Scene, us: FakeRegion, data: st.DataObject) -> None:
    scene.reset()
    open_run(scene)
    for change in RUN_CHANGES[:2]:
        scene.append([change], prefix=RUN_LOG)
    route = data.draw(st.sampled_from(SPOILABLE))
    us.spoilt = {route: data.draw(replies(route))}
    look(scene, data, OF_REGIONS)
    us.spoilt = {}


@attacked
@given(st.data())
def test_a_change_in_a_run_s_log_and_what_was_kept(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    open_run(scene)
    for change in RUN_CHANGES[: data.draw(st.integers(1, 3))]:
        scene.append([change], prefix=RUN_LOG)
    scene.append([data.draw(spoilt(data.draw(st.sampled_from(RUN_CHANGES))))], prefix=RUN_LOG)
    kept = data.draw(st.one_of(spoilt(KEPT).map(json_bytes).map(gzip.compress), BYTES))
    scene.home.put(f"runs/{OPEN_RUN}/logs/000000000/1/{NODE_ALLOC}.json.gz", kept)
    look(scene, data, OF_RUNS)


@attacked
@given(st.data())
def test_a_manifest(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    open_run(scene, data.draw(spoilt(json.loads(manifest().to_json())).map(json_bytes)))
    scene.append([RUN_CHANGES[0]], prefix=RUN_LOG)
    look(scene, data, OF_RUNS)


@attacked
@given(st.data())
def test_a_record_or_a_change_in_the_index(scene: Scene, data: st.DataObject) -> None:
    scene.reset()
    add = {"type": "add", "record": record_of(scene.us.url).to_dict()}
    scene.append([data.draw(st.one_of(st.just(add), spoilt(add)))])
    scene.append([data.draw(spoilt(data.draw(st.sampled_from(CHANGES))))])
    look(scene, data, OF_RESULTS)
