"""Replaces `cryptography` in the archive, because that library is compiled for one kind of machine.

Google's and Azure's SDKs import it for work that publishing doesn't do (client-side encryption, TLS with keys in hardware).
Google's SDK also signs with a service account's key file (RFC 7518, RS256). This module does that with RSA in whole
numbers. Any other use raises an error.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of a SHA-256 (RFC 8017, 9.2)."""


def stand_in() -> None:
    """Makes `cryptography` and its submodules importable. Hides the SDK's warning of a slow checksum, since another one is
    used then."""
    warnings.filterwarnings("ignore", message="As the c extension", category=RuntimeWarning)
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "cryptography":
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "cryptography.hazmat.primitives.serialization":
            vars(module)["load_pem_private_key"] = load_pem_private_key


class _Empty(ModuleType):
    """A module in which every name exists, as a class or as a callable module. They can be imported but not used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].islower():
            return import_module(f"{self.__name__}.{name}")
        made = type(name, (_Missing,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made

    def __call__(self, *_: object, **__: object) -> Any:
        return self.Missing()


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls


class _Missing(Exception, metaclass=_Meta):
    def __init__(self, *_: object, **__: object) -> None:
        """Accepts any arguments: SDKs create options, paddings and hashes when they are imported."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError(f"this archive has no {type(self).__module__}: it needs compiled code")


class PrivateKey:
    """An RSA key that signs."""

    def __init__(self, modulus: int, exponent: int) -> None:
        self._modulus, self._exponent = modulus, exponent

    def sign(self, message: bytes, *_: object) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256."""
        size_bytes = (self._modulus.bit_length() + 7) // 8
        info = _SHA256_INFO + hashlib.sha256(message).digest()
        padded = b"\x00\x01" + b"\xff" * (size_bytes - len(info) - 3) + b"\x00" + info
        return pow(int.from_bytes(padded, "big"), self._exponent, self._modulus).to_bytes(size_bytes, "big")


def load_pem_private_key(data: bytes, *_: object, **__: object) -> PrivateKey:
    """Reads the key of a PKCS#8 or PKCS#1 file without a password. Raises ValueError."""
    import io

    from pyasn1.codec.der import decoder
    from pyasn1_modules import pem
    from pyasn1_modules.rfc3447 import RSAPrivateKey
    from pyasn1_modules.rfc5208 import PrivateKeyInfo

    text = io.StringIO(data.decode("ascii"))
    kinds = [("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")]
    kinds.append(("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"))
    kind, der = pem.readPemBlocksFromFile(text, *kinds)
    if kind < 0:
        raise ValueError("no RSA key in PEM")
    if kind == 1:
        der = decoder.decode(der, asn1Spec=PrivateKeyInfo())[0]["privateKey"].asOctets()
    key = decoder.decode(der, asn1Spec=RSAPrivateKey())[0]
    return PrivateKey(int(key["modulus"]), int(key["privateExponent"]))
