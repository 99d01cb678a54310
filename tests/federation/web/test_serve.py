"""Where the pages are served, and what that takes."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from federation.app import App
from federation.errors import UsageError
from federation.web.application import PAGES_AT_ONCE
from federation.web.serve import Address, listening, serve, settings
from federation.web.site import LOOPBACK_NAMES, Settings, Site
from tests.federation.web.client import Client
from tests.federation.web.served import served
from tests.federation.web.shop import Shop


def chosen(address: Address, **more: Any) -> Settings:
    given: dict[str, Any] = {"allow_hosts": (), "user_header": "", "read_only": False}
    return settings(address, **given | more)


def test_another_address_needs_a_name_and_encryption_or_a_proxy(tmp_path: Path) -> None:
    everywhere = Address("0.0.0.0")
    with pytest.raises(UsageError, match="lets others reach these pages"):
        chosen(everywhere)
    with pytest.raises(UsageError, match="unencrypted"):
        chosen(everywhere, allow_hosts=["ml.example"])
    with pytest.raises(UsageError, match="need each other"):
        chosen(Address("0.0.0.0", certificate=tmp_path / "c"))
    assert "ml.example" in chosen(everywhere, allow_hosts=["ML.example"], user_header="X-User").hosts
    encrypted = Address("0.0.0.0", certificate=tmp_path / "c", key=tmp_path / "k")
    assert chosen(encrypted, allow_hosts=["ml.example"]).is_tls
    assert chosen(Address()).hosts == LOOPBACK_NAMES


def test_a_port_that_is_taken_is_said_with_the_remedy() -> None:
    with listening(Address()) as taken:
        taken.listen()
        with pytest.raises(UsageError, match="can't be used") as refused:
            listening(Address(port=taken.getsockname()[1]))
    assert refused.value.hint == "--port 0 takes a free port"
    assert isinstance(taken, socket.socket)


def test_an_address_of_another_machine_is_said_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="can't be used") as refused:
        listening(Address("192.0.2.1"))
    assert refused.value.hint == "--host takes an address of this machine"


def test_a_certificate_that_cannot_be_used_is_said_before_the_link(app: App, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "key.pem").write_text("no key")
    for certificate in (tmp_path / "missing.pem", tmp_path / "key.pem"):
        address = Address(certificate=certificate, key=tmp_path / "key.pem")
        with pytest.raises(UsageError, match=r"--tls-cert .* can't be used"):
            serve(Site(app, Settings()), address, opens_browser=False, note=said.append)
    assert not said


def test_pages_that_wait_leave_threads_for_signing_in_and_static_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, may_go_on = threading.Semaphore(0), threading.Event()

    def wait(*_: object, **__: object) -> None:
        waiting.release()
        may_go_on.wait()
        raise UsageError("waited")

    monkeypatch.setattr("federation.web.pages.runs.list_runs", wait)
    with served(Shop(tmp_path).toml) as pages:
        browser = Client(pages)
        asked = [threading.Thread(target=browser.get, args=("/runs",)) for _ in range(PAGES_AT_ONCE + 5)]
        try:
            for one in asked:
                one.start()
            for _ in range(PAGES_AT_ONCE):
                waiting.acquire()
            assert Client(pages).get("/static/app.css").status == 200
        finally:
            may_go_on.set()
            for one in asked:
                one.join()
