"""A region that speaks TLS: our client checks it, other regions forward to it, and nothing else gets in."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from regions.credentials import SecretRef
from regions.errors import RegionError
from regions.model import Region, TLSFiles
from regions.nomad.client import NomadRegion
from tests.regions.local.http.served import TOKEN
from tests.regions.local.http.test_jobs import parameterized
from tests.regions.local.http.test_process import running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate for 127.0.0.1, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fedml")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder


@pytest.fixture
def addresses(tmp_path: Path, certificate: Path) -> Iterator[dict[str, str]]:
    """Two running regions, us and eu, that know each other."""
    cert = str(certificate / "cert.pem")
    tls = {"cert_file": cert, "key_file": str(certificate / "key.pem"), "ca_file": cert}
    with running(tmp_path / "eu", region="eu", tls=tls) as eu:
        peers = {"eu": f"https://127.0.0.1:{eu.port}"}
        with running(tmp_path / "us", tls=tls, peers=peers) as us:
            yield {"us": f"https://127.0.0.1:{us.port}", **peers}


def client(tmp_path: Path, address: str, tls: TLSFiles, nomad_region: str = "us") -> NomadRegion:
    (tmp_path / "token").write_text(TOKEN)
    secret = SecretRef(file=tmp_path / "token")
    return NomadRegion(Region(nomad_region, (address,), {}, token=secret, tls=tls), timeout_s=60, deadline_s=60)


def test_the_whole_way_of_a_child_over_tls(tmp_path: Path, certificate: Path, addresses: dict[str, str]) -> None:
    files = TLSFiles(certificate / "cert.pem")
    for region in ("us", "eu"):
        there = client(tmp_path, addresses["us"], files, region)
        job = parameterized() | {"Region": region}
        there.register(job, enforce_index=None)
        stop = threading.Event()
        stream = there.events(topics=["Allocation"], index=0, stop=stop)
        assert next(stream) == []
        child = there.dispatch(job["ID"], meta={"slot": "1"}).job_id
        for events in stream:
            if any(one.payload["ClientStatus"] == "complete" for one in events):
                stop.set()
        [alloc] = there.allocations(job_id=child)[0]
        assert there.logs(alloc.id, "t") is not None
        there.close()


def test_who_does_not_know_the_authority_does_not_talk(tmp_path: Path, addresses: dict[str, str]) -> None:
    stranger = client(tmp_path, addresses["us"], TLSFiles())
    with pytest.raises(RegionError, match=r"(?i)certificate"):
        stranger.jobs()
    stranger.close()


def test_plain_http_gets_no_answer(addresses: dict[str, str]) -> None:
    port = int(addresses["us"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert b"HTTP/1.1" not in answer


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path) -> None:
    with running(tmp_path, tls={"cert_file": str(tmp_path / "no"), "key_file": str(tmp_path / "no")}) as region:
        assert region.process.wait(30) == 1
    (line,) = (tmp_path / "stderr").read_text().splitlines()
    assert "regions.local:" in line
