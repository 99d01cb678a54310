"""Regions and stores that can't be used as they are: one clear error, the documented exit code, nothing half-done."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.emulators.tmpfs import tmpfs
from tests.scenarios.project import Project, assert_refused

STORY = Path(__file__).parent.parent / "fixtures" / "story-2021.nomad.hcl"

Refused = Callable[..., None]


# ── the regions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_region(project: Project, refused: Refused) -> None:
    refused("--regions", "us,onprm", said=("no region 'onprm'", "did you mean 'onprem'?"))
    refused("--regions", "mars", said=("no region 'mars'", "us, eu, onprem"))


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that belongs to nobody else, and where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def web_server(status: int, content_type: str, body: bytes) -> Iterator[int]:
    """Something that answers everything in the same way, and isn't Nomad."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def moved(project: Project, name: str, region: str, port: int) -> str:
    """A configuration in which that region is looked for at that port."""
    return project.variant(name, (f'addresses = ["dev:{region}"]', f'addresses = ["http://127.0.0.1:{port}"]'))


def test_a_region_that_is_down(project: Project) -> None:
    """plan goes on with the others and says so; dispatch wants to be told to leave it out."""
    job = project.job("down")
    with closed_port() as port:
        config = moved(project, "down", "us", port)
        before = project.traces()
        planned = project.fedml("plan", "--config", config, "--job", job, "-n", "6", "--json")
        assert planned.code == 1
        assert "Warning: region us is left out" in planned.err
        regions = {region["region"]: region for region in planned.json["regions"]}
        assert regions["us"]["problem"] == "unreachable"
        assert (regions["us"]["now"], regions["eu"]["now"] + regions["onprem"]["now"]) == (0, 6)

        refused = project.fedml("dispatch", "--config", config, "--job", job)
        assert_refused(refused, "unreachable: us", "nothing was dispatched", "--skip-unreachable", "--regions")
        assert project.traces() == before

        skipped = project.fedml("dispatch", "--config", config, "--job", job, "--skip-unreachable", "--version", "1")
        assert skipped.code == 0, skipped.err
        assert "Left out: us: unreachable" in skipped.err
        chosen = project.fedml("dispatch", "--config", config, "--job", job, "--regions", "eu,onprem")
        assert chosen.code == 0, chosen.err
    rows = project.rows("--job", "down")
    assert sorted((row["version"], row["region"]) for row in rows) == [
        ("1", "eu"), ("1", "onprem"), ("2", "eu"), ("2", "onprem"),
    ]  # fmt: skip


def test_all_regions_down(project: Project) -> None:
    with closed_port() as port, closed_port() as second, closed_port() as third:
        ports = {"us": port, "eu": second, "onprem": third}
        config = project.variant(
            "dark", *((f'"dev:{name}"', f'"http://127.0.0.1:{number}"') for name, number in ports.items())
        )
        before = project.traces()
        planned = project.fedml("plan", "--config", config)
        assert planned.code == 255, planned.err
        assert len(planned.errors) == 1
        for extra in ((), ("--skip-unreachable",)):
            assert_refused(project.fedml("dispatch", "--config", config, *extra), "no region can be asked", "us")
        assert project.traces() == before


def test_a_development_federation_that_is_not_up(tmp_path: Path) -> None:
    project = Project.made(tmp_path / "cold")
    planned = project.fedml("plan")
    assert planned.code == 255, planned.err
    assert len(planned.errors) == 1
    assert "fedml dev up" in planned.err
    assert_refused(project.fedml("dispatch"), "fedml dev up")
    assert not project.home.exists()


def test_a_wrong_token(project: Project) -> None:
    secret = "3b5cbb0e-0000-4000-8000-nottherightone"
    project.write("wrong-token", secret + "\n")
    config = project.variant(
        "intruder",
        *((f'addresses = ["dev:{name}"]', f'addresses = ["dev:{name}"]\ntoken = {{ file = "wrong-token" }}')
          for name in ("us", "eu", "onprem")),
    )  # fmt: skip
    before = project.traces()
    planned = project.fedml("plan", "--config", config)
    assert planned.code == 255, planned.err
    assert len(planned.errors) == 1
    assert "region us: " in planned.err
    assert re.search("ACL token not found|Permission denied", planned.err)
    dispatched = project.fedml("dispatch", "--config", config)
    assert_refused(dispatched, "no region can be asked", "region us: ")
    assert secret not in planned.out + planned.err + dispatched.err
    assert project.traces() == before


def test_a_wrong_token_for_one_region(project: Project) -> None:
    """As if it were down: dispatch goes on without it only when it is told to."""
    project.write("wrong-token", "not-the-right-one\n")
    config = project.variant(
        "locked", ('addresses = ["dev:eu"]', 'addresses = ["dev:eu"]\ntoken = { file = "wrong-token" }')
    )
    job = project.job("locked")
    before = project.traces()
    planned = project.fedml("plan", "--config", config, "--job", job, "--json")
    assert planned.code == 1, planned.err
    assert [region["problem"] for region in planned.json["regions"]] == [None, "refused", None]
    assert "Warning: region eu is left out" in planned.err
    refused = project.fedml("dispatch", "--config", config, "--job", job)
    assert_refused(refused, "refused: eu", "nothing was dispatched", "--skip-unreachable")
    assert project.traces() == before
    skipped = project.fedml("dispatch", "--config", config, "--job", job, "--skip-unreachable")
    assert skipped.code == 0, skipped.err
    assert {row["region"] for row in project.rows("--job", "locked")} == {"us", "onprem"}


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/plain", b"hello"),
        (404, "text/html", b"<html><h1>Not Found</h1></html>"),
        (200, "application/json", b'{"hello": "world"}'),
        (200, "application/json", b"[1, 2]"),
        (200, "application/json", b"null"),
        (500, "text/html", b"<html>oops</html>"),
    ],
    ids=["hello", "html-404", "object", "list", "null", "html-500"],
)
def test_a_port_where_something_else_answers(project: Project, status: int, content_type: str, body: bytes) -> None:
    with web_server(status, content_type, body) as port:
        config = moved(project, "stranger", "eu", port)
        before = project.traces()
        planned = project.fedml("plan", "--config", config, "--json")
        assert planned.code in (0, 1), planned.err
        assert "Warning: region eu is left out" in planned.err
        assert "Traceback" not in planned.err
        assert_refused(project.fedml("dispatch", "--config", config), "unreachable: eu", f"127.0.0.1:{port}")
        assert project.traces() == before


# ── the stores ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_home_store_that_cannot_be_written(project: Project) -> None:
    """Found before anything runs anywhere: no job is registered."""
    project.write("blocked", "a file where a folder should be\n")
    config = project.variant("homeless", ("file://./stores/home", "file://./blocked/home"))
    job = project.job("homeless")
    before = project.traces()
    assert_refused(project.fedml("dispatch", "--config", config, "--job", job), "blocked")
    assert project.traces() == before


def test_a_region_store_that_cannot_be_written(project: Project) -> None:
    """Only the node can know: its task fails, the run says so, and no result is claimed."""
    job = project.job("storeless")
    config = project.variant("storeless", ("file://./stores/eu", "file://./blocked/eu"))
    project.write("blocked", "a file where a folder should be\n")
    done = project.fedml("dispatch", "--config", config, "--job", job, "--regions", "eu")
    assert done.code == 2, done.err
    assert "task make" in done.err
    assert "task make: Exit Code: 1: Error: store" in done.err
    assert project.rows("--job", "storeless") == []


def test_a_disk_that_is_full_while_publishing(project: Project) -> None:
    script = "head -c 600000 /dev/zero > model.bin && exec fedml publish model.bin"
    job = project.job("bulky", script)
    with tmpfs(project.root / "small", 256) as small:
        config = project.variant("full", ("file://./stores/eu", "file://./small"))
        done = project.fedml("dispatch", "--config", config, "--job", job, "--regions", "eu")
        assert done.code == 2, done.err
        assert "Exit Code: 1: Error: " in done.err
        assert "no space" in done.err.lower()
        records = [path for path in small.rglob("*.json") if "results" in path.parts]
        assert records == []
    assert project.rows("--job", "bulky") == []


# ── the story's own job ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_storys_job_names_what_a_region_lacks(project: Project) -> None:
    """It parses and renders; without Docker no region can place it, and what is missing is named."""
    shutil.copy(STORY, project.root / STORY.name)
    text = (project.root / STORY.name).read_text()
    (project.root / STORY.name).write_text(text.replace('["dc1"]', '["*"]'))
    valid = project.fedml("job", "validate", "--job", STORY.name)
    assert valid.code == 0, valid.err
    rendered = project.ran("job", "render", "--job", STORY.name).json["us"]
    args = rendered["TaskGroups"][0]["Tasks"][1]["Config"]["args"]
    assert '${env["TARGET_DIR"]}' in args[1]
    before = project.traces()
    planned = project.fedml("plan", "--job", STORY.name, "--json")
    assert planned.code == 1, planned.err
    assert "no node has driver docker" in planned.json["regions"][0]["detail"]
    assert planned.json["is_complete"] is False
    dispatched = project.fedml(
        "dispatch", "--version", "4", "--job", STORY.name,
        "-meta", "save_path=gs://models/sales", "-meta", "data_url=https://example.com/sales.csv",
    )  # fmt: skip
    assert dispatched.code == 2, dispatched.err
    assert "no node has driver docker" in dispatched.err
    assert len(dispatched.errors) == 1
    assert project.traces() == before


def test_a_job_that_requires_credentials_gets_them_empty(project: Project) -> None:
    """And as they were given with --allow-secret-meta: never without it."""
    script = 'mkdir out && echo "[$NOMAD_META_gcp_creds]" > out/seen && exec fedml publish out'
    job = project.job("old", script, required=("model_version", "gcp_creds"))
    project.ran("dispatch", "--job", job, "--regions", "eu", "--version", "1")
    project.ran(
        "dispatch", "--job", job, "--regions", "eu", "--version", "2", "-meta", "gcp_creds=x1", "--allow-secret-meta"
    )
    for version, seen in (("1", "[]\n"), ("2", "[x1]\n")):
        (row,) = project.rows("--job", "old", "--version", version)
        folder = project.root / f"got-{version}"
        project.ran("index", "get", row["alloc_id"], "--to", str(folder))
        assert (folder / "seen").read_text() == seen
        assert "gcp_creds" not in row["params"]
