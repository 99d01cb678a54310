"""Reads ed25519 keys, and checks the signature of a result: of its allocation, key, job, version and manifest."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from federation.errors import FederationError, UsageError
from federation.result import ResultRecord
from federation.text import install_extra
from regions.credentials import SecretRef

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def signer(record: ResultRecord, signatures: Iterable[tuple[str, str, str]], trusted: Collection[str]) -> str:
    """The trusted public key that one of these (manifest's sha256, public key, signature) is good for, "" for none."""
    good = (
        key for manifest, key, signature in signatures if key in trusted and is_signed(record, manifest, key, signature)
    )
    return next(good, "")


def read_public_keys(path: Path) -> frozenset[str]:
    """Public keys in a file (raw ones in base64): PEM, or lines as OpenSSH has them, or base64. Raises UsageError."""
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    try:
        text = path.read_text(encoding="utf-8").strip()
        if text.startswith("-----BEGIN"):
            loaded = [load_pem_public_key(text.encode())]
        else:
            lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
            loaded = [
                load_ssh_public_key(line.encode())
                if line.startswith("ssh-")
                else Ed25519PublicKey.from_public_bytes(base64.b64decode(line, validate=True))
                for line in lines
            ]
    except OSError as error:
        raise UsageError(f"can't read the public keys in {path}: {error.strerror}") from error
    except Exception as error:
        raise UsageError(f"{path} doesn't hold public keys: {error}") from error
    keys = [key for key in loaded if isinstance(key, Ed25519PublicKey)]
    if len(keys) != len(loaded) or not keys:
        raise UsageError(
            f"{path} holds something that is not an ed25519 public key",
            hint="openssl pkey -in key.pem -pubout gives it",
        )
    return frozenset(base64.b64encode(key.public_bytes_raw()).decode() for key in keys)


def require_cryptography() -> None:
    """Raises FederationError where the package isn't installed: only signing needs it."""
    if find_spec("cryptography") is None:
        raise FederationError("signatures need the package `cryptography`", hint=install_extra("sign"))


def read_private_key(reference: SecretRef) -> Ed25519PrivateKey:
    """The key to which the reference points. Raises UsageError where it isn't one, SecretUnavailable."""
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    text = reference.read()
    load = load_ssh_private_key if "OPENSSH" in text.partition("\n")[0] else load_pem_private_key
    try:
        key = load((text + "\n").encode(), password=None)
    except Exception:  # noqa: BLE001 - cryptography raises many kinds; none of their texts may show the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{reference} doesn't hold an ed25519 private key without a passphrase, in PEM or OpenSSH format",
            hint="openssl genpkey -algorithm ed25519 -out key.pem",
        ) from None
    return key


def message(record: ResultRecord) -> bytes:
    """The bytes to sign: one line that names the purpose, then canonical JSON."""
    signed = {
        "alloc_id": record.alloc_id,
        "key": record.key.path,
        "job": record.job,
        "version": record.version,
        "manifest_sha256": record.manifest_sha256,
    }
    return b"fedml result 1\n" + json.dumps(signed, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def is_signed(record: ResultRecord, manifest: str, public_key: str, signature: str) -> bool:
    """Whether the signature is that key's, of this very record and this manifest."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if manifest != record.manifest_sha256 or not record.has_its_manifest:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message(record))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
