"""A signature holds for the bytes that were signed and for nothing else, whoever rewrites stores and log."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as serial
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import FederationError, UsageError
from federation.index import signatures
from federation.index.maintenance import signing
from federation.index.maintenance.copy import copy_result
from federation.index.maintenance.signing import (
    check_signatures,
    key_reference,
    require_signature,
    sign,
)
from federation.index.maintenance.verify import verify
from federation.index.signatures import read_public_keys
from federation.log import Log
from federation.result import ResultRecord
from regions.credentials import SecretRef, SecretUnavailable
from regions.storage.errors import IntegrityError

Clouds = Any
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(serial.Encoding.PEM, serial.PrivateFormat.PKCS8, serial.NoEncryption()))


@pytest.fixture
def key(tmp_path: Path) -> SecretRef:
    (tmp_path / "key.pem").write_bytes(pem(PRIVATE))
    return SecretRef(file=tmp_path / "key.pem")


def signed(clouds: Clouds, record: ResultRecord, key: SecretRef) -> signing.Signed:
    return sign(clouds.index, clouds.store, clouds.index.result(record.alloc_id), key)


def problems(clouds: Clouds, trusted: Iterable[str] = ()) -> list[str]:
    found = check_signatures(clouds.index, clouds.store, frozenset(trusted))[1]
    return [problem.kind for problem in found]


def sidecar(clouds: Clouds) -> str:
    return next(info.key for info in clouds.us.list("results/") if info.key.endswith(".sig.json"))


def forge(clouds: Clouds, change: dict[str, Any]) -> None:
    log = Log(clouds.home, "index/log/", author="mallory")
    log.refresh()
    log.append([change])


def test_a_signature_lies_beside_the_result_and_in_the_log(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)

    done = signed(clouds, record, key)

    assert done == signing.Signed(record.alloc_id, record.manifest_sha256, PUBLIC, is_new=True)
    beside = json.loads(clouds.us.get(sidecar(clouds)))
    (change,) = Log(clouds.home, "index/log/").refresh()[-1].changes
    assert {**change, "format": 1} == {**beside, "type": "sign"}
    assert check_signatures(clouds.index, clouds.store, {PUBLIC}) == (1, [])
    row = clouds.index.result(record.alloc_id)
    assert require_signature(clouds.index, row, {PUBLIC}) == PUBLIC
    assert verify(clouds.home, clouds.store, clouds.names, deep=True).problems == ()


def test_signed_again_nothing_changes(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)
    signed(clouds, record, key)
    revision = verify(clouds.home, clouds.store, clouds.names).revision

    assert not signed(clouds, record, key).is_new

    assert verify(clouds.home, clouds.store, clouds.names).revision == revision


def test_the_key_is_never_told(clouds: Clouds, key: SecretRef, tmp_path: Path) -> None:
    signed(clouds, clouds.publish(0), key)

    secret = base64.b64encode(b"k" * 32).decode()[:20].encode()
    for path in [*(tmp_path / "home").rglob("*"), *(tmp_path / "us").rglob("*")]:
        assert not path.is_file() or secret not in path.read_bytes()


def test_a_log_that_was_rewritten_for_other_bytes_has_no_good_signature(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)
    done = signed(clouds, record, key)
    other = clouds.publish(1)
    change = {"type": "sign", "alloc_id": other.alloc_id, "public_key": PUBLIC, "signature": "x"}
    taken = json.loads(clouds.us.get(sidecar(clouds)))
    forge(clouds, change | {"manifest_sha256": other.manifest_sha256, "signature": taken["signature"]})

    assert problems(clouds) == ["signature-wrong"]
    with pytest.raises(IntegrityError, match="no good signature"):
        require_signature(clouds.index, clouds.index.result(other.alloc_id), {PUBLIC})
    assert require_signature(clouds.index, clouds.index.result(record.alloc_id), {done.public_key})


@pytest.mark.parametrize("broken", ["", "!!!", "AAAA", base64.b64encode(b"x" * 64).decode()])
@pytest.mark.parametrize("member", ["signature", "public_key", "manifest_sha256"])
def test_whatever_is_changed_in_a_signature_it_is_wrong(
    clouds: Clouds, key: SecretRef, member: str, broken: str
) -> None:
    signed(clouds, clouds.publish(0), key)
    (change,) = Log(clouds.home, "index/log/").refresh()[-1].changes
    forge(clouds, change | {member: broken})

    assert "signature-wrong" in problems(clouds)


def test_another_key_is_told_where_only_some_are_trusted(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)
    signed(clouds, record, key)

    assert problems(clouds, {"another"}) == ["signature-wrong"]
    assert problems(clouds) == []
    with pytest.raises(IntegrityError):
        require_signature(clouds.index, clouds.index.result(record.alloc_id), {"another"})


def test_a_lost_or_changed_sidecar_is_told_and_mended_by_signing_again(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)
    signed(clouds, record, key)
    place = sidecar(clouds)
    clouds.us.delete(place)
    assert problems(clouds) == ["signature-missing"]
    signed(clouds, record, key)
    assert problems(clouds) == []
    clouds.us.put(place, b'{"format": 1}')
    assert problems(clouds) == ["signature-missing"]
    signed(clouds, record, key)
    assert problems(clouds) == []


def test_a_copy_takes_the_signature_along(clouds: Clouds, key: SecretRef) -> None:
    record = clouds.publish(0)
    signed(clouds, record, key)

    copy_result(clouds.index, clouds.store, clouds.index.result(record.alloc_id), clouds.eu.url)

    assert clouds.eu.get(sidecar(clouds)) == clouds.us.get(sidecar(clouds))


def test_keys_of_openssh_and_environment(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    openssh = PRIVATE.private_bytes(serial.Encoding.PEM, serial.PrivateFormat.OpenSSH, serial.NoEncryption())
    monkeypatch.setenv("RELEASE_KEY", openssh.decode())

    assert signed(clouds, clouds.publish(0), key_reference("env:RELEASE_KEY")).public_key == PUBLIC


def test_a_key_by_command(clouds: Clouds, key: SecretRef, tmp_path: Path) -> None:
    reference = key_reference(f"command:{sys.executable} -c 'print(open(\"{tmp_path}/key.pem\").read())'")

    assert signed(clouds, clouds.publish(0), reference).public_key == PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        pem(generate_private_key(SECP256R1())),
        pem(PRIVATE)[:60],
        PRIVATE.private_bytes_raw().hex().encode(),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(clouds: Clouds, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "no.pem").write_bytes(text)

    with pytest.raises(
        (UsageError, SecretUnavailable), match="doesn't hold an ed25519 private key" if text else "is empty"
    ) as raised:
        signed(clouds, clouds.publish(0), SecretRef(file=tmp_path / "no.pem"))

    assert not text or text.decode() not in f"{raised.value}{raised.value.hint}"
    assert list(clouds.us.list("results/"))[1:] == []


@pytest.mark.parametrize("text", ["", "key.pem", "env:", "-----BEGIN PRIVATE KEY-----", "command:'", "vault:x"])
def test_a_reference_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        key_reference(text)


def test_a_reference_that_leads_nowhere_is_told(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDML_SIGNING_KEY", raising=False)
    with pytest.raises(SecretUnavailable, match="FEDML_SIGNING_KEY is not set"):
        signed(clouds, clouds.publish(0), key_reference(signing.DEFAULT_KEY))


def test_public_keys_in_any_form(tmp_path: Path) -> None:
    public = PRIVATE.public_key()
    forms = {
        "pem": public.public_bytes(serial.Encoding.PEM, serial.PublicFormat.SubjectPublicKeyInfo),
        "ssh": public.public_bytes(serial.Encoding.OpenSSH, serial.PublicFormat.OpenSSH) + b" ann@host\n",
        "raw": b"# release\n\n" + PUBLIC.encode() + b"\n",
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        assert read_public_keys(tmp_path / name) == {PUBLIC}
    (tmp_path / "private").write_bytes(pem(PRIVATE))
    for wrong in ("private", "gone"):
        with pytest.raises(UsageError):
            read_public_keys(tmp_path / wrong)


def test_without_the_package_it_says_what_to_install(
    clouds: Clouds, key: SecretRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "find_spec", lambda _: None)

    with pytest.raises(FederationError, match="need the package `cryptography`"):
        signed(clouds, clouds.publish(0), key)
