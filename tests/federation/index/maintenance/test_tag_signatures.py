"""A protected tag that demands a signature: a good one of a key in the file, and nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as serial
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import UsageError
from federation.index.maintenance.signing import sign
from federation.index.tag_rule import TagRule
from federation.index.tags import TagRefused
from federation.log import Log
from regions.credentials import SecretRef

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
OTHER = base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"o" * 32).public_key().public_bytes_raw()).decode()


@pytest.fixture
def key(tmp_path: Path) -> SecretRef:
    data = PRIVATE.private_bytes(serial.Encoding.PEM, serial.PrivateFormat.PKCS8, serial.NoEncryption())
    (tmp_path / "key.pem").write_bytes(data)
    return SecretRef(file=tmp_path / "key.pem")


def rule(tmp_path: Path, *public_keys: str) -> TagRule:
    path = tmp_path / "release.pub"
    path.write_text("\n".join(public_keys))
    return TagRule(signed_by=path)


def test_only_a_result_signed_by_a_key_of_the_file_is_tagged(clouds: Any, key: SecretRef, tmp_path: Path) -> None:
    first, second = clouds.publish(0), clouds.publish(1)
    index = clouds.index
    with pytest.raises(TagRefused, match=r"isn't signed by a key in .*release.pub"):
        index.tag("production", first.alloc_id, rule=rule(tmp_path, PUBLIC))
    for record in (first, second):
        sign(index, clouds.store, index.result(record.alloc_id), key)
    with pytest.raises(TagRefused):
        index.tag("production", first.alloc_id, rule=rule(tmp_path, OTHER))

    index.tag("production", first.alloc_id, rule=rule(tmp_path, OTHER, PUBLIC))
    index.tag("production", second.alloc_id, rule=rule(tmp_path, PUBLIC))

    assert index.rollback("production", rule=rule(tmp_path, PUBLIC)).alloc_id == first.alloc_id


def test_a_forged_signature_is_none(clouds: Any, tmp_path: Path) -> None:
    record = clouds.publish(0)
    forged = {"type": "sign", "alloc_id": record.alloc_id, "manifest_sha256": record.manifest_sha256}
    log = Log(clouds.home, "index/log/", author="mallory")
    log.refresh()
    log.append([{**forged, "public_key": PUBLIC, "signature": base64.b64encode(b"x" * 64).decode()}])

    with pytest.raises(TagRefused):
        clouds.index.tag("production", record.alloc_id, rule=rule(tmp_path, PUBLIC))


def test_a_file_without_keys_is_told(clouds: Any, tmp_path: Path) -> None:
    record = clouds.publish(0)

    with pytest.raises(UsageError, match=r"release\.pub"):
        clouds.index.tag("production", record.alloc_id, rule=rule(tmp_path, "nonsense"))
    with pytest.raises(UsageError, match="can't read"):
        clouds.index.tag("production", record.alloc_id, rule=TagRule(signed_by=tmp_path / "nowhere"))
