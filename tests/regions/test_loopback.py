"""What keeps requests to this machine away from proxies."""

from __future__ import annotations

import pytest

from regions.loopback import is_loopback, keep_loopback_from_proxies


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "eu.localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "localhost.example.com", "notlocalhost", "::2"])
def test_elsewhere(host: str) -> None:
    assert not is_loopback(host)


def test_loopback_is_added_to_no_proxy_once() -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "internal.example, 127.0.0.1"}
    keep_loopback_from_proxies(environ)
    keep_loopback_from_proxies(environ)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "internal.example,127.0.0.1,localhost,127.0.0.0/8,::1"


@pytest.mark.parametrize("environ", [{}, {"NO_PROXY": "x"}, {"http_proxy": "http://proxy", "no_proxy": "*"}])
def test_what_needs_no_change(environ: dict[str, str]) -> None:
    before = dict(environ)
    keep_loopback_from_proxies(environ)
    assert environ == before
