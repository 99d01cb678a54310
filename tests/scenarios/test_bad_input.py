"""Bad input: one clear error, the documented exit code, nothing half-done."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.scenarios.project import Done, Project, light_job

pytestmark = pytest.mark.xdist_group("scenarios")

STORY = Path(__file__).parent.parent / "fixtures" / "story-2021.nomad.hcl"


def assert_refused(done: Done, *said: str, code: int = 1) -> None:
    """One error on stderr that says all of this, and nothing else went out."""
    assert done.code == code, done.err
    assert len(done.errors) == 1, done.err
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err
    assert done.out == ""
    for text in said:
        assert text in done.err


@pytest.fixture
def refused(project: Project) -> Callable[..., None]:
    """Both `plan` and `dispatch` refuse with these arguments, and leave nothing."""

    def check(*arguments: str, said: tuple[str, ...], commands: tuple[str, ...] = ("plan", "dispatch")) -> None:
        before = project.traces()
        for command in commands:
            done = project.fedml(command, *arguments)
            assert_refused(done, *said, code=255 if command == "plan" else 1)
        assert project.traces() == before

    return check


Refused = Callable[..., None]


# ── the project ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [("plan",), ("dispatch",), ("index", "list"), ("runs", "list"), ("dev", "up")])
def test_no_fedml_toml(project: Project, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = project.fedml(*command, cwd=tmp_path)
    assert_refused(done, "fedml.toml", "fedml init", code=255 if command == ("plan",) else 1)
    assert list(tmp_path.iterdir()) == []


def test_broken_toml(project: Project, refused: Refused) -> None:
    broken = project.variant("broken", ("[regions.us]", "[regions.us"))
    refused("--config", broken, said=("broken.toml:14:12: no valid TOML",))


def test_an_unknown_key_is_told_with_the_key_that_was_meant(project: Project, refused: Refused) -> None:
    mistyped = project.variant("mistyped", ('addresses = ["dev:us"]', 'adresses = ["dev:us"]'))
    refused("--config", mistyped, said=("regions.us.adresses", "did you mean 'addresses'?"))


# ── the jobspec ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_broken_hcl_is_shown_with_its_place_and_a_caret(project: Project, refused: Refused) -> None:
    job = project.write("broken.nomad.hcl", light_job("broken").replace('group "work" {', 'group "work" = {'))
    refused("--job", job, said=("Error: broken.nomad.hcl:16:", '\n    group "work" = {\n', "^"))


def test_an_unknown_function_is_shown_with_its_place(project: Project, refused: Refused) -> None:
    job = project.write("odd.nomad.hcl", light_job("odd").replace("count = var.count", 'count = lenght("x")'))
    refused("--job", job, said=("odd.nomad.hcl:17:", "lenght", "^"))


def test_a_service_job(project: Project, refused: Refused) -> None:
    job = project.write("web.nomad.hcl", light_job("web").replace('= "batch"', '= "service"'))
    refused("--job", job, said=('type "service"', 'type = "batch"'))


def test_a_job_that_is_not_parameterized(project: Project, refused: Refused) -> None:
    text = light_job("plain")
    block = text[text.index("  parameterized {") : text.index("  group ")]
    job = project.write("plain.nomad.hcl", text.replace(block, ""))
    refused("--job", job, said=("no parameterized block", "parameterized {"))


def test_no_such_jobspec(project: Project, refused: Refused) -> None:
    refused("--job", "nowhere.nomad.hcl", said=("nowhere.nomad.hcl", "--job"))


def test_an_unknown_variable(project: Project, refused: Refused) -> None:
    refused("--job", project.job("vars"), "-var", "cuont=2", said=("cuont",))


# ── a dispatch's parameters ───────────────────────────────────────────────────────────────────────────────────────────


def test_missing_required_meta(project: Project, refused: Refused) -> None:
    job = project.job("needs", required=("model_version", "region_code"))
    refused("--job", job, said=("requires meta that is missing: region_code", "-meta region_code="), commands=DISPATCH)


DISPATCH = ("dispatch",)


def test_unknown_meta_is_told_with_the_key_that_was_meant(project: Project, refused: Refused) -> None:
    job = project.job("light")
    refused("--job", job, "-meta", "epoch=3", said=("no meta key 'epoch'", "did you mean 'epochs'?"), commands=DISPATCH)


def test_meta_without_a_value_and_meta_given_twice(project: Project, refused: Refused) -> None:
    job = project.job("light")
    refused("--job", job, "-meta", "epochs", said=("'epochs' is not of the form key=value",), commands=DISPATCH)
    refused("--job", job, "-meta", "epochs=1", "-meta", "epochs=2", said=("epochs is given twice",), commands=DISPATCH)


def test_meta_that_is_fedmls_own(project: Project, refused: Refused) -> None:
    refused("--job", project.job("light"), "-meta", "fedml_slot=7", said=("fedml's own",), commands=DISPATCH)


def test_a_payload_of_one_byte_too_many(project: Project, refused: Refused) -> None:
    job = project.job("light")
    (project.root / "payload.bin").write_bytes(b"x" * 16385)
    refused("--job", job, "--payload", "payload.bin", said=("16385 bytes", "16384"), commands=DISPATCH)
    refused("--job", job, "--payload", "missing.bin", said=("missing.bin",), commands=DISPATCH)


def test_meta_over_16_kib_in_sum(project: Project, refused: Refused) -> None:
    job = project.job("light")
    long = "y" * 8200
    refused(
        "--job", job, "-meta", f"epochs={long}", "-meta", f"note={long}", said=("bytes, more than 16384",),
        commands=DISPATCH,
    )  # fmt: skip


@pytest.mark.parametrize("version", ["", "../4", "next", "é", "v" * 65])
def test_a_version_that_is_no_version(project: Project, refused: Refused, version: str) -> None:
    refused("--job", project.job("light"), f"--version={version}", said=("is no version", "1 to 64 letters"))


@pytest.mark.parametrize("path", ["../../x", "models/../../x", "..\\x"])
def test_a_path_that_would_escape(project: Project, refused: Refused, path: str) -> None:
    refused("--job", project.job("light"), "-meta", f"save_path={path}", said=("save_path", "'..'"), commands=DISPATCH)


@pytest.mark.parametrize("slots", ["0", "-3", "many"])
def test_a_number_of_slots_that_is_none(project: Project, refused: Refused, slots: str) -> None:
    refused("--job", project.job("light"), "-n", slots, said=("-n",))


def test_meta_that_looks_like_a_credential(project: Project, refused: Refused) -> None:
    job = project.job("creds", required=("model_version", "gcp_creds"), script="exit 0")
    secret = "AKIA-very-secret"
    refused(
        "--job", job, "-meta", f"gcp_creds={secret}",
        said=("'gcp_creds' looks like a credential", "workload identity", "Nomad variable", "SDK credentials",
              "--allow-secret-meta"),
        commands=DISPATCH,
    )  # fmt: skip
    done = project.fedml("dispatch", "--job", job, "-meta", f"gcp_creds={secret}")
    assert secret not in done.err


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
    assert "ACL token not found" in planned.err
    dispatched = project.fedml("dispatch", "--config", config)
    assert_refused(dispatched, "no region can be asked", "ACL token not found")
    assert secret not in planned.out + planned.err + dispatched.err
    assert project.traces() == before


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
    assert "exit code 1" in done.err
    assert project.rows("--job", "storeless") == []


def test_a_disk_that_is_full_while_publishing(project: Project) -> None:
    from tests.emulators.tmpfs import tmpfs

    script = "head -c 600000 /dev/zero > model.bin && exec fedml publish model.bin"
    job = project.job("bulky", script)
    with tmpfs(project.root / "small", 256) as small:
        config = project.variant("full", ("file://./stores/eu", "file://./small"))
        done = project.fedml("dispatch", "--config", config, "--job", job, "--regions", "eu")
        assert done.code == 2, done.err
        assert "exit code 1" in done.err
        records = [path for path in small.rglob("*.json") if "results" in path.parts]
        assert records == []
    assert project.rows("--job", "bulky") == []


# ── the story's own job ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_storys_job_names_what_a_region_lacks(project: Project) -> None:
    """It parses and renders; without Docker no region can place it, in Nomad's words."""
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
    assert "missing drivers" in planned.json["regions"][0]["detail"]
    assert planned.json["is_complete"] is False
    dispatched = project.fedml(
        "dispatch", "--version", "4", "--job", STORY.name,
        "-meta", "save_path=gs://models/sales", "-meta", "data_url=https://example.com/sales.csv",
    )  # fmt: skip
    assert dispatched.code == 2, dispatched.err
    assert "missing drivers" in dispatched.err
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
