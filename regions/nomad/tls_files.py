"""Says which file of a region's TLS settings can't be used, and why. Reads the files only after a request failed."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from regions.model import TLSFiles


def tls_problem(files: TLSFiles) -> tuple[str, str]:
    """Returns what is wrong with the first file that can't be used and what to do; two empty texts where all can be used."""
    for name, path in (
        ("ca_cert", files.ca_cert),
        ("client_cert", files.client_cert),
        ("client_key", files.client_key),
    ):
        if path is not None and (problem := _unreadable(path)):
            return f"{name}: {path}: {problem}", "correct the path, or let this user read the file"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.verify and files.ca_cert is not None and files.ca_cert.is_file():
        try:
            context.load_verify_locations(files.ca_cert)
        except (ssl.SSLError, ValueError):
            return (
                f"ca_cert: {files.ca_cert}: holds no certificate in PEM format",
                "name the file of the CA's certificate",
            )
    if files.client_cert is not None:
        return _pair_problem(context, files.client_cert, files.client_key)
    return "", ""


def _unreadable(path: Path) -> str:
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                file.read(1)
        elif not os.access(path, os.R_OK | os.X_OK):
            return "Permission denied"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _pair_problem(context: ssl.SSLContext, certificate: Path, key: Path | None) -> tuple[str, str]:
    """As `tls_problem`, for a client's certificate and its key (None: in the same file)."""
    for name, path in (("client_cert", certificate), ("client_key", key)):
        if path is not None and path.is_dir():
            return f"{name}: {path}: is a folder", "name a file in PEM format"
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _EncryptedKeyError:
        return f"client_key: {key or certificate}: is encrypted", "name a file with the key without a passphrase"
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"client_key: {key or certificate}: is not the key of client_cert", "name the certificate's own key"
        if "-----BEGIN CERTIFICATE-----" not in certificate.read_text(encoding="latin-1"):
            return f"client_cert: {certificate}: holds no certificate in PEM format", "name the client's certificate"
        return (
            f"client_key: {key or certificate}: holds no usable private key in PEM format",
            "name the certificate's key",
        )
    return "", ""


class _EncryptedKeyError(Exception):
    """The private key has a passphrase."""


def _refuse_password() -> str:
    raise _EncryptedKeyError
