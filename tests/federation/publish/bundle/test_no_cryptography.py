"""What stands in for `cryptography` in the archives for nodes signs as it does, and is nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from federation.publish.bundle.no_cryptography import load_pem_private_key


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
@pytest.mark.parametrize("bits", [2048, 2049])
def test_a_service_accounts_key_signs_as_with_the_library(form: str, bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    text = key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), serialization.NoEncryption()
    )
    for message in (b"", b"header.payload", bytes(1000)):
        signature = load_pem_private_key(text, password=None).sign(message)
        assert signature == key.sign(message, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("text", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key(text: bytes) -> None:
    with pytest.raises((ValueError, Exception), match=r"."):
        load_pem_private_key(text)


SDKS = """
from federation.publish.bundle.no_cryptography import stand_in
stand_in()
import json, sys
from google.auth.crypt import RSASigner
from google.oauth2.service_account import Credentials
from azure.storage.blob import ContainerClient
import cryptography.x509
signed = Credentials.from_service_account_info(json.load(sys.stdin)).signer.sign(b"message")
print(signed.hex())
try:
    cryptography.x509.load_pem_x509_certificate(b"").public_bytes(1)
except ValueError as error:
    print(error)
"""


def test_the_sdks_take_it_for_the_library() -> None:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "client_email": "a@b", "token_uri": "https://x", "private_key": text}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SDKS],
        input=json.dumps(account),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    signed, error = done.stdout.splitlines()
    assert bytes.fromhex(signed) == key.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
    assert error == "this archive has no cryptography.x509.load_pem_x509_certificate: it needs compiled code"
