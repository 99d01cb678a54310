"""A region's Nomad may name any place in a job's meta. Adoption opens none that fedml.toml doesn't name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from federation.app import App
from federation.config.load import load
from federation.deploy.prepare import PreparedJob
from federation.errors import StoreRefused
from federation.result import Key
from federation.run.brain.commands import Look
from federation.run.records import look
from federation.workflows.adopt import AdoptedPlaces
from federation.workflows.adopt_backfill import find_old
from tests.federation.workflows.test_adopt import ALLOC, RUN, Client, allocation, manifest

TOML = """
[federation]
home = "file://./home"
results = "adopt"
adopt = "{adopt}"
[regions.us]
addresses = ["http://127.0.0.1:9"]
{further}
[regions.us.datacenters.a]
store = {{ url = "s3://own/models", endpoint = "{host}", access_key_id = {{ env = "K" }}, secret_access_key = {{ env = "S" }} }}
"""
KEY = Key(RUN, 0, "pipeline", 1)


@pytest.fixture
def host() -> Iterator[Any]:
    """The server of the datacenter's own store, which notes each request and answers 404."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            noted.requests.append(self.requestline)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        noted = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", requests=[])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield noted
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def credentials(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"K": "AKIDEXAMPLE", "S": "secret", "STORAGE_EMULATOR_HOST": host.url}.items():
        monkeypatch.setenv(name, value)


def opened(root: Path, host: Any, meta: dict[str, str], *, adopt: str, further: str = "") -> App:
    (root / "fedml.toml").write_text(TOML.format(host=host.url, adopt=adopt, further=further))
    app = App(load(root))
    app._clients["us"] = cast("Any", Client({"train/dispatch-1-a": {**meta, "fedml_slot": "0"}}, [allocation()]))
    return app


def places(app: App, **sent: str) -> AdoptedPlaces:
    shape = SimpleNamespace(version_key="model_version")
    run = manifest(meta={"model_version": "4", **sent})
    return AdoptedPlaces(app, run, cast("PreparedJob", SimpleNamespace(shape=shape)))


@pytest.mark.parametrize(
    ("adopt", "told"),
    [
        ("{place}/{alloc_id}.json", "s3://theirs/models"),
        ("{place}/{alloc_id}.json", "s3://own-not/models"),
        ("{place}/{alloc_id}.json", "s3://own/models-of-others"),
        ("{place}/{alloc_id}.json", "s3://own"),
        ("{place}/{alloc_id}.json", "s3://theirs?endpoint={host}/x"),
        ("{place}/{alloc_id}.json", "gs://theirs/models"),
        ("{place}/{alloc_id}.json", "az://account/theirs/models"),
        ("{place}/{alloc_id}.json", "file:///etc"),
        ("{place}/{alloc_id}/", "s3://theirs/models"),
        ("s3://{place}/{alloc_id}.json", "theirs"),
        ("s3://own-{place}/{alloc_id}.json", "theirs"),
        ("az://account/{place}/{alloc_id}.json", "theirs"),
        ("file:///{place}/{alloc_id}.json", "etc"),
    ],
)
def test_a_place_that_only_the_region_names_is_refused_and_asked_nothing(
    tmp_path: Path, host: Any, adopt: str, told: str
) -> None:
    app = opened(tmp_path, host, {"place": told.format(host=host.url)}, adopt=adopt)
    with pytest.raises(StoreRefused, match=r"adopt names a result in .* the store wasn't asked") as caught:
        places(app).read("us", KEY, allocation())
    assert "add its bucket to further_stores under [regions.us]" in caught.value.hint
    ports = cast("Any", SimpleNamespace(read=places(app).read))
    assert "the store wasn't asked" in look(manifest(), ports, Look(0, 1, "us", allocation())).error
    assert host.requests == []


def test_a_value_that_leaves_its_folder_finds_nothing(tmp_path: Path, host: Any) -> None:
    app = opened(tmp_path, host, {"place": "s3://own/models/../../theirs"}, adopt="{place}/{alloc_id}.json")
    assert places(app).read("us", KEY, allocation()) is None
    assert host.requests == []


def test_what_was_dispatched_wins_over_what_the_region_says(tmp_path: Path, host: Any) -> None:
    app = opened(tmp_path, host, {"place": "s3://theirs/models"}, adopt="{place}/{alloc_id}.json")
    assert places(app, place="s3://own/models/sent").read("us", KEY, allocation()) is None
    assert [request.split("?")[0] for request in host.requests] == [f"HEAD /own/models/sent/{ALLOC}.json HTTP/1.1"]


@pytest.mark.parametrize(
    ("adopt", "told"),
    [("s3://theirs/{place}/{alloc_id}.json", "models"), ("{place}/{alloc_id}.json", "s3://old/models")],
)
def test_a_bucket_that_fedml_toml_names_is_asked(tmp_path: Path, host: Any, adopt: str, told: str) -> None:
    old = f'further_stores = [{{ url = "s3://old", endpoint = "{host.url}", anonymous = true }}]'
    app = opened(tmp_path, host, {"place": told}, adopt=adopt, further=old)
    assert places(app).read("us", KEY, allocation()) is None
    bucket = "theirs" if "theirs" in adopt else "old"
    assert [request.split("?")[0] for request in host.requests] == [f"HEAD /{bucket}/models/{ALLOC}.json HTTP/1.1"]


def test_the_search_for_old_results_lists_no_bucket_of_a_value(tmp_path: Path, host: Any) -> None:
    app = opened(tmp_path, host, {}, adopt="s3://own-{place}/{alloc_id}.json")
    ((where, what, mend),) = find_old(app, "train", known=()).problems
    assert (where, host.requests) == ("us/a", [])
    assert "can't be listed: adopt names a result" in what
    assert "further_stores" in mend
