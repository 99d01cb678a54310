"""The local S3, GCS and Azure servers of `fedml dev up`, reached as a job's task or a person would reach them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from federation.config.dev_state import Process
from federation.config.load import load
from federation.config.model import Config
from federation.dev import lifecycle, servers
from federation.dev.processes import end
from federation.dev.s3_server import KeptObjects
from regions.storage import emulators, open_store, parse_store_url, store_url
from regions.storage.errors import AlreadyExists, NotFound
from regions.storage.race import race_create
from regions.storage.store import Create, Store
from tests.emulators import azurite, gcs
from tests.emulators.requirements import missing

FILE = """
[federation]
home = "file://./stores/home"
[regions.us]
addresses = ["http://127.0.0.1:4646"]
store = "s3://fedml-us/models"
[regions.us.datacenters.dc1]
store = "SCHEMEfedml-us/models"
endpoint = "dev:local"
[dev.stores.local]
kind = "KIND"
buckets = ["fedml-us", "fedml-more"]
"""
SCHEMES = {"s3": "s3://", "gcs": "gs://", "azure": "az://devstoreaccount1/"}


def quiet(_: str) -> None:
    pass


@pytest.fixture(params=SCHEMES)
def config(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Config]:
    if request.param == "gcs" and not gcs.is_installed():
        missing("gcs", "fake-gcs-server isn't installed")
    if request.param == "azure" and not azurite.is_installed():
        missing("azure", "Azurite isn't installed")
    (tmp_path / "fedml.toml").write_text(FILE.replace("KIND", request.param).replace("SCHEME", SCHEMES[request.param]))
    yield load(tmp_path)
    lifecycle.down(tmp_path, quiet, purge=True)


def store_of(config: Config) -> Store:
    """By the URL that goes to nodes; Azure's key is in their environment, here it is the reference's."""
    found = load(config.root).regions["us"].datacenters["dc1"].store
    return open_store(replace(parse_store_url(store_url(found)), secret_access_key=found.secret_access_key))


def test_objects_are_kept_whether_the_server_ends_or_is_killed(config: Config) -> None:
    lifecycle.up(config, quiet)
    store = store_of(config)
    store.put("a/é +%20.json", b"one", Create(), content_type="application/json", metadata={"slot": "1"})
    store.put("b", b"old")
    store.put("b", b"new")
    store.put("gone", b"x")
    store.delete("gone")
    (status,) = lifecycle.status(config)
    assert status.pid is not None
    process = Process.of(status.pid)
    assert process is not None
    if config.dev is not None and config.dev.stores["local"].kind == "azure":
        lifecycle.down(config.root, quiet)  # killed, Azurite would lose what it wrote in its last five seconds
    else:
        end([process], patience_s=0)
    assert lifecycle.up(config, quiet).started == ("store:local",)
    lifecycle.down(config.root, quiet)
    lifecycle.up(config, quiet)
    again = store_of(config)
    assert [info.key for info in again.list()] == ["a/é +%20.json", "b"]
    assert again.get("b") == b"new"
    info = again.stat("a/é +%20.json")
    assert (info.content_type, info.metadata, info.size_bytes) == ("application/json", {"slot": "1"}, 3)
    with pytest.raises(AlreadyExists):
        again.put("b", b"other", Create())
    with pytest.raises(NotFound):
        again.get("gone")


def test_of_writers_that_race_for_one_key_one_wins(config: Config) -> None:
    lifecycle.up(config, quiet)
    assert race_create(store_of(config), writers=8, rounds=3).problem == ""
    assert not (config.root / ".fedml/dev/stores/local").stat().st_mode & 0o077


def test_two_side_by_side_know_nothing_of_each_other_and_give_their_ports_back(config: Config) -> None:
    (config.root / "other").mkdir()
    (config.root / "other/fedml.toml").write_text((config.root / "fedml.toml").read_text())
    other = load(config.root / "other")
    try:
        for each in (config, other):
            lifecycle.up(each, quiet)
            store_of(each).put("mine", each.root.name.encode())
        assert [store_of(each).get("mine") for each in (config, other)] == [config.root.name.encode(), b"other"]
        addresses = [urlsplit(lifecycle.status(each)[0].address) for each in (config, other)]
        lifecycle.down(config.root, quiet)
        assert store_of(other).get("mine") == b"other"
    finally:
        lifecycle.down(other.root, quiet, purge=True)
    for address in addresses:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((address.hostname, address.port))


@pytest.mark.parametrize("command", [emulators.gcs_command(1), emulators.azure_command(1)])
def test_an_emulator_that_nobody_recorded_is_known_by_its_command_line(command: list[str] | None) -> None:
    if command is None:
        pytest.skip("it isn't installed")
    assert servers.is_server(command)
    assert not servers.is_server([command[0].replace("fake-gcs", "other"), "--port", "1"])


class Key(SimpleNamespace):
    etag = '"e"'
    metadata: dict[str, str] = {}  # noqa: RUF012


def test_a_request_on_the_whole_bucket_removes_the_files_of_what_it_deleted(tmp_path: Path) -> None:
    one, two = Key(value=b"1"), Key(value=b"2")
    bucket = SimpleNamespace(keys={"one": one, "two": two})
    kept = KeptObjects(SimpleNamespace(buckets={"b": bucket}), tmp_path)
    kept.sync("b", "one")
    kept.sync("b", "two")
    del bucket.keys["one"]
    kept.sync_bucket("b")
    assert [path.read_bytes().partition(b"\n")[2] for path in tmp_path.iterdir()] == [b"2"]


def test_a_client_that_stalls_in_the_middle_of_a_body_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text(FILE.replace("KIND", "s3").replace("SCHEME", SCHEMES["s3"]))
    config = load(tmp_path)
    lifecycle.up(config, quiet)
    try:
        endpoint = urlsplit(str(load(config.root).regions["us"].datacenters["dc1"].store.endpoint))
        with socket.create_connection((str(endpoint.hostname), int(endpoint.port or 0))) as stalled:
            stalled.sendall(
                b"PUT /fedml-us/models/stalled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"
            )
            store = store_of(config)
            store.put("other", b"whole", Create())
            assert store.get("other") == b"whole"
    finally:
        lifecycle.down(tmp_path, quiet, purge=True)
