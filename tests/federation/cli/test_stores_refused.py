"""No command sends anything to a host that only a record names; what --allow-store names gets requests without credentials."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import federation
from federation.errors import StoreRefused
from tests.federation.cli.index.conftest import cli, filled, project  # noqa: F401 - fixtures
from tests.federation.cli.index.helpers import ALLOCATION, Cli, Project

SECRETS = ("AKIDEXAMPLE", "wJalrXUtnFEMI", "session-token", "sv=2024&sig=", "sig=", "netrc-password")


class Listener:
    """A host that counts what reaches it, and answers 404."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.requests: list[str] = []
        """First line and headers of each."""


@pytest.fixture
def host() -> Iterator[Listener]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            listener.requests.append(f"{self.requestline}\n{self.headers}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = Listener(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield listener
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def ambient(host: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for every cloud, as a person's shell has them. Google's token comes from the host too, so that asking for
    one counts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "a@b", "private_key": pem, "token_uri": f"{host.url}/token"}
    (tmp_path / "google.json").write_text(json.dumps(account))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-password\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "AWS_SESSION_TOKEN": "session-token",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "google.json"),
        "AZURE_STORAGE_SAS_TOKEN": "sv=2024&sig=secret",
        "NETRC": str(tmp_path / "netrc"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


STORES = [
    "s3://models?endpoint={host}",
    "gs://models?endpoint={host}",
    "az://account/models?endpoint={host}",
    "s3://models?endpoint={host}&anonymous=true",
    "gs://models/us?endpoint={host}/us",
]


def forge(filled: Project, host: Listener, store: str) -> str:  # noqa: F811
    """Results that say that they lie at the host: in the index, in a store only, as copies, in place."""
    url = store.format(host=host.url)
    honest = filled.index.record(filled.index.result(ALLOCATION.format("b")))
    us = filled.store("us")
    for name, prefix in (("c", None), ("d", "artifacts/"), ("e", ""), ("f", None)):
        alloc_id = ALLOCATION.format(name)
        key = replace(honest.key, run=f"nomad:us/{name}")
        lie = replace(honest, alloc_id=alloc_id, key=key, store=url, prefix=prefix, region="us", datacenter="us-east-1")
        us.put(key.record_key(alloc_id), lie.to_json())
        if name != "f":
            filled.index.change(lambda _, lie=lie: [{"type": "add", "record": lie.to_dict()}])  # type: ignore[misc]
    filled.index.change(lambda _: [{"type": "locate", "alloc_id": ALLOCATION.format("a"), "store": url}])
    return url


COMMANDS = [
    (1, "get", "c000"),
    (1, "get", "d000", "--to", "model", "--force"),
    (1, "get", "e000"),
    (0, "get", "a000"),
    (1, "get", "c000", "--allow-store", "s3://models"),
    (1, "verify"),
    (1, "verify", "--deep"),
    (1, "verify", "--signature"),
    (1, "copy", "c000", "eu"),
    (1, "copy", "d000", "eu"),
    (0, "copy", "a000", "eu"),
    (1, "sign", "c000", "--key", "file:key.pem"),
    (1, "gc", "--keep", "best=-auc:1", "--grace", "1m", "--dry-run"),
    (1, "gc", "--keep", "best=-auc:1", "--grace", "0m", "--yes"),
    (1, "gc", "--keep", "best=-auc:1", "--grace", "0m", "--yes"),
    (0, "gc", "--orphans", "7d", "--yes"),
    (1, "sync"),
    (1, "sync", "--yes"),
    (1, "rebuild"),
    (0, "list"),
    (0, "show", "c000"),
    (0, "export"),
    (0, "log"),
]


@pytest.mark.parametrize("store", STORES)
def test_no_command_sends_anything(
    filled: Project,  # noqa: F811
    cli: Cli,  # noqa: F811
    host: Listener,
    store: str,
    tmp_path: Path,
) -> None:
    url = forge(filled, host, store)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)

    for code, *arguments in COMMANDS:
        done, out, err = cli(*arguments)

        assert (arguments, done) == (arguments, code), out + err
        assert "Traceback" not in err
        assert host.requests == [], arguments
    with federation.open() as opened, pytest.raises(StoreRefused):
        opened.index.get("c000", to=tmp_path / "by-face", allow_stores=[url.partition("?")[0]])
    for info in [*filled.home.list("index/log/"), *filled.home.list("index/checkpoints/")]:
        filled.home.delete(info.key)
    for arguments in (["rebuild"], ["rebuild", "--yes"], ["verify"], ["sync", "--yes"]):
        assert "Traceback" not in cli(*arguments)[2]

    assert host.requests == []


def test_the_error_says_what_is_so_and_what_to_do(filled: Project, cli: Cli, host: Listener) -> None:  # noqa: F811
    forge(filled, host, "s3://models?endpoint={host}")

    code, out, err = cli("get", "c000")

    assert (code, out) == (1, "")
    assert f"result '{ALLOCATION.format('c')}' says that it lies in 's3://models?endpoint={host.url}'" in err
    assert "fedml.toml has no such store for region 'us'; the store wasn't asked" in err
    assert f"{filled.root.as_uri()}/us" in err
    assert "add it to further_stores under [regions.us] in fedml.toml" in err
    assert "--allow-store URL" in err
    code, out, _ = cli("verify", "--json")
    problems = json.loads(out)["problems"]
    assert {problem["kind"] for problem in problems} >= {"store-refused"}


@pytest.mark.parametrize("store", STORES[:3])
def test_what_is_allowed_is_asked_without_credentials(
    filled: Project,  # noqa: F811
    cli: Cli,  # noqa: F811
    host: Listener,
    store: str,
    tmp_path: Path,
) -> None:
    url = forge(filled, host, store)
    for arguments in (["get", "c000"], ["copy", "c000", "eu"], ["verify"]):
        host.requests.clear()

        code, _, err = cli(*arguments, "--allow-store", url)

        assert code == 1, err
        assert host.requests, arguments
        for request in host.requests:
            assert not any(secret in request for secret in SECRETS), request
            assert "authorization" not in request.lower()
            assert "x-amz-security-token" not in request.lower()
            assert "/token" not in request.partition("\n")[0]
    host.requests.clear()
    with federation.open() as opened, pytest.raises(Exception, match=r"gone|not found"):
        opened.index.get("c000", to=tmp_path / "by-face", allow_stores=[url])

    assert host.requests


def test_no_variable_says_where_an_allowed_store_is(
    filled: Project,  # noqa: F811
    host: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from federation.index.stores import allowed_store
    from regions.storage import open_store

    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.setenv(name, host.url)

    s3, gcs, azure = (open_store(allowed_store(url)) for url in ("s3://models", "gs://models", "az://account/models"))

    assert "amazonaws.com" in s3._new_client().meta.endpoint_url  # type: ignore[attr-defined]
    assert gcs._new_client().api_endpoint == "https://storage.googleapis.com"  # type: ignore[attr-defined]
    assert azure._new_client().url == "https://account.blob.core.windows.net/models"  # type: ignore[attr-defined]
    assert host.requests == []


def test_a_store_that_moved_is_refused_until_it_is_named_or_allowed(
    filled: Project,  # noqa: F811
    cli: Cli,  # noqa: F811
) -> None:
    root = filled.root.as_uri()
    config = filled.root / "fedml.toml"
    moved = config.read_text().replace(f'store = "{root}/us"', f'store = "{root}/us-new"')
    config.write_text(moved)

    code, _, err = cli("get", "a000", "--to", "refused")
    assert code == 1
    assert f"says that it lies in '{root}/us', and fedml.toml has no such store for region 'us'" in err
    assert f"stores that fedml.toml has for it: '{root}/us-new'" in err
    assert not (filled.root / "refused").exists()
    code, out, _ = cli("gc", "--keep", "best=auc:1", "--grace", "0m", "--yes")
    assert code == 1
    assert f"store-refused: result '{ALLOCATION.format('a')}' says that it lies in '{root}/us'" in out
    assert "fedml.toml has another store for us/us-east-1; the store wasn't asked; the result is left alone" in out
    assert cli("get", "a000", "--to", "allowed", "--allow-store", f"{root}/us")[0] == 0
    assert cli("get", "a000", "--to", "other", "--allow-store", f"{root}/us-other")[0] == 1
    assert cli("get", "a000", "--allow-store", f"{root}/x/../us")[0] == 1
    config.write_text(moved.replace("[regions.us]", f'[regions.us]\nfurther_stores = ["{root}/us"]'))
    assert cli("get", "a000", "--to", "named")[0] == 0

    removed = [cli("gc", "--keep", "best=auc:1", "--grace", "0m", "--yes")[:2] for _ in range(2)]

    assert [code for code, _ in removed] == [0, 0]
    assert f"{ALLOCATION.format('a')}  version 4" in removed[1][1]
    assert not list(filled.store("us").list())
    assert list(filled.store("eu").list())
