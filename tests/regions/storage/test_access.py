"""How a store is reached and as whom: a proxy on the way, a certificate authority of one's own, the SDKs' own chains."""

from __future__ import annotations

import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.errors import PermissionDenied, Unavailable
from tests.emulators import seaweed
from tests.emulators.fault_proxy import Answer, Request, fault_proxy


@pytest.fixture(params=["s3", "gcs", "azure"])
def config(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StoreConfig:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    found: StoreConfig = request.getfixturevalue(f"{request.param}_config")
    return found


def test_a_proxy_of_the_environment_is_used(config: StoreConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.endpoint is not None
    with fault_proxy(config.endpoint, keeps_host=False) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        store = open_store(replace(config, endpoint="http://store.invalid"))  # no name that could be found otherwise
        store.put("key", b"by the proxy")
        assert store.get("key") == b"by the proxy"
        assert len(proxy.forwarded) >= 2
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        proxy.forget()
        assert open_store(config).get("key") == b"by the proxy"
        assert proxy.seen == []


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority's certificate, and a server's context with a certificate that it signed for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def certificate(name: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        made = x509.CertificateBuilder(named("fedml tests"), named(name), key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        made = made.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        if not is_ca:
            alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            made = made.add_extension(alternative, critical=False)
        return made.sign(authority_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    bundle, own = tmp_path / "authority.pem", tmp_path / "server.pem"
    bundle.write_bytes(certificate("fedml tests", authority_key, is_ca=True).public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    own.write_bytes(secret + certificate("server", key, is_ca=False).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return bundle, context


def test_a_certificate_authority_of_ones_own(
    config: StoreConfig, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, context = authority
    variable = "AWS_CA_BUNDLE" if config.url.startswith("s3://") else "REQUESTS_CA_BUNDLE"
    assert config.endpoint is not None
    with fault_proxy(config.endpoint, keeps_host=not config.url.startswith("gs://"), tls=context) as proxy:
        config = replace(config, endpoint=proxy.address)
        with pytest.raises(Unavailable) as caught:
            open_store(config).put("key", b"x")
        assert caught.value.hint == f"the server's certificate isn't trusted here: set {variable}"
        assert not caught.value.is_passing  # it isn't tried again
        assert proxy.seen == []
        monkeypatch.setenv(variable, str(bundle))
        store = open_store(config)
        store.put("key", b"by TLS")
        assert store.get("key") == b"by TLS"


def test_s3_by_a_profile(seaweed_config: StoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SeaweedFS looks at signatures, so that what passes is the right key."""
    for name in seaweed.CREDENTIALS:
        monkeypatch.delenv(name)
    with pytest.raises(PermissionDenied):
        open_store(seaweed_config).put("key", b"x")
    lines = [f"{name.lower()} = {value}" for name, value in seaweed.CREDENTIALS.items()]
    (tmp_path / "config").write_text("\n".join(["[profile shop]", *lines]))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    store = open_store(replace(seaweed_config, profile="shop"))
    store.put("key", b"by a profile")
    assert store.get("key") == b"by a profile"


def test_s3_by_references(seaweed_config: StoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_id, secret = seaweed.CREDENTIALS.values()
    for name in seaweed.CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SHOP_ID", key_id)
    (tmp_path / "secret").write_text(f"{secret}\n")
    config = replace(seaweed_config, access_key_id=SecretRef(env="SHOP_ID"))
    for reference in (SecretRef(file=tmp_path / "secret"), SecretRef(command=("cat", str(tmp_path / "secret")))):
        store = open_store(replace(config, secret_access_key=reference))
        store.put("key", b"by references")
        assert store.get("key") == b"by references"
        assert secret not in repr(store) + repr(config)


def test_s3_by_the_role_of_a_container(seaweed_config: StoreConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on ECS and EKS: the SDK's own chain asks an address of its environment."""
    key_id, secret = seaweed.CREDENTIALS.values()
    for name in seaweed.CREDENTIALS:
        monkeypatch.delenv(name)
    assert seaweed_config.endpoint is not None
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"AccessKeyId": key_id, "SecretAccessKey": secret, "Token": "", "Expiration": ends}
    with fault_proxy(seaweed_config.endpoint) as role:
        role.instead = lambda request: Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{role.address}/role")
        store = open_store(seaweed_config)
        store.put("key", b"by a role")
        assert store.get("key") == b"by a role"


def test_google_cloud_by_the_key_file_of_the_environment(
    gcs_config: StoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.regions.storage.gcs.test_store import service_account

    assert gcs_config.endpoint is not None

    def token(request: Request) -> Answer | None:
        if request.path != "/token":
            return None
        told = {"access_token": "planted-token", "expires_in": 3600, "token_type": "Bearer"}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())

    with fault_proxy(gcs_config.endpoint, keeps_host=False) as proxy:
        proxy.instead = token
        (tmp_path / "key.json").write_text(service_account(f"{proxy.address}/token"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        store = open_store(replace(gcs_config, endpoint=proxy.address, anonymous=False))
        store.put("key", b"by a key file")
        assert store.get("key") == b"by a key file"
        asked = [request.headers.get("authorization") for request in proxy.forwarded]
        assert set(asked) == {"Bearer planted-token"}
        assert "planted-token" not in repr(store)
