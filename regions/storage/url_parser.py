"""Parser of store URLs.

Grammar of the URLs of fedml's own backends::

    s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&location=us-east-1&profile=NAME&anonymous=true]
    gs://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&anonymous=true]
    az://ACCOUNT/CONTAINER[/PREFIX][?endpoint=http://HOST:PORT&anonymous=true]
    file:///ABSOLUTE/FOLDER        (percent-encoded where the path holds a space, `%`, `?` or `#`)

A URL never holds credentials: they are references in `fedml.toml`, or found by the SDK's own chain.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

from regions.storage.backend import backend_of, own_backend, own_backends
from regions.storage.errors import InvalidStoreURL
from regions.storage.url import PARAMETERS, checked_endpoint, folder_url, shown
from regions.store_config import StoreConfig

_CREDENTIALS = re.compile(r"[^/@]*(@|:[^@]*@)")
"""Something before an '@', also where the secret holds a '/'. An '@' in a path is allowed."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def parse_store_url(url: str) -> StoreConfig:
    """The store that the URL names. Raises InvalidStoreURL with what to write instead; it never repeats a secret."""
    text = url.strip()
    if not text:
        raise InvalidStoreURL("the store URL is empty", hint=_how())
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise InvalidStoreURL("the store URL holds a control character", hint=_how())
    if _CREDENTIALS.match(text.partition("://")[2] or text) and not meant_by(text):
        raise InvalidStoreURL(
            "a store URL never holds credentials (nothing before an '@')",
            hint="name them by reference in fedml.toml (access_key_id = { env = … }) or leave it to the SDK's own chain",
        )
    match = _SCHEME.match(text)
    if match is None:
        raise InvalidStoreURL(f"{shown(text)} has no scheme", hint=_guess_for_path(text))
    scheme = match.group(1)
    if not text.startswith(f"{scheme}://"):
        root = "/" if backend_of(scheme).is_folder else ""
        rest = text[len(scheme) + 1 :].lstrip("/").partition("?")[0]
        raise InvalidStoreURL(
            f"{shown(text)} has no '//' after '{scheme}:'", hint=f"did you mean {scheme}://{root}{rest}?"
        )
    if scheme != scheme.lower():
        raise InvalidStoreURL(
            f"the scheme of {shown(text)} must be in lower case", hint=f"did you mean {scheme.lower()}://…?"
        )
    return _config(scheme, text)


def meant_by(url: str) -> str:
    """What to write for a URL as other tools have it (`https://…`, `abfss://`, `gcs://`); empty for any other."""
    if own_backend(url.partition("://")[0]) is not None:
        return ""
    for backend in own_backends().values():
        for pattern, ours in backend.elsewhere:
            match = re.match(pattern, url)
            if match:
                return f"did you mean {match.expand(ours).rstrip('/')}?"
    return ""


def _config(scheme: str, text: str) -> StoreConfig:
    if "#" in text:
        raise InvalidStoreURL(f"{shown(text)} holds a '#'", hint="a store URL has no fragment; write %23 in a file URL")
    if meant_by(text):
        raise InvalidStoreURL(f"no store is known for {scheme}://", hint=meant_by(text))
    backend = backend_of(scheme)
    fields = _parameters(text.partition("?")[2], text)
    not_taken = sorted(fields.keys() - set(backend.parameters))
    if not_taken:
        taken = f"it takes {' and '.join(backend.parameters)}" if backend.parameters else "it takes no parameters"
        raise InvalidStoreURL(f"{shown(text)}: {scheme}:// takes no {' and no '.join(not_taken)}", hint=taken)
    endpoint = fields.get("endpoint")
    return StoreConfig(
        url=backend.normalized(text.partition("?")[0]),
        endpoint=None if endpoint is None else checked_endpoint(endpoint),
        location=fields.get("location"),
        profile=fields.get("profile"),
        anonymous=_flag(fields.get("anonymous", "false"), text),
    )


def _parameters(query: str, text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise InvalidStoreURL(
                f"{shown(text)} has a parameter {name!r} that no store takes",
                hint=f"known: {', '.join(PARAMETERS)}; credentials are never part of a URL",
            )
        if name in fields or not value:
            raise InvalidStoreURL(
                f"{shown(text)}: parameter {name!r} is {'given twice' if name in fields else 'empty'}"
            )
        fields[name] = value
    return fields


def _flag(value: str, text: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidStoreURL(f"{shown(text)}: anonymous is true or false")
    return value.lower() in ("true", "1")


def _guess_for_path(text: str) -> str:
    if text.startswith("/"):
        return f"did you mean {folder_url(Path(text))}?"
    if text.startswith(("./", "../", "~")):
        return "a folder is written as an absolute path: file:///absolute/folder"
    return _how()


def _how() -> str:
    *examples, last = (backend.example for backend in own_backends().values())
    return f"write {', '.join(examples)} or {last}"
