"""A store URL's text enters, a `StoreConfig` leaves, and back again without secrets.

Grammar::

    s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&location=us-east-1&profile=NAME&anonymous=true]
    gs://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&anonymous=true]
    az://ACCOUNT/CONTAINER[/PREFIX][?endpoint=http://HOST:PORT&anonymous=true]
    file:///ABSOLUTE/FOLDER        (percent-encoded where the path holds a space, `%`, `?` or `#`)

A URL never holds credentials: they are references in `fedml.toml`, or found by the SDK's own chain.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from regions.model import StoreConfig
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import checked_key

PARAMETERS = ("endpoint", "location", "profile", "anonymous")
_TAKEN = {"file": (), "gs": ("endpoint", "anonymous"), "az": ("endpoint", "anonymous")}
"""The parameters of these schemes; all others take all."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_ELSEWHERE = (
    (re.compile(r"https://([a-z0-9]+)\.blob\.core\.windows\.net/([^?#]+)"), r"az://\1/\2"),
    (
        re.compile(r"(?:abfss?|wasbs?)://([a-z0-9-]+)@([a-z0-9]+)\.(?:dfs|blob)\.core\.windows\.net/?([^?#]*)"),
        r"az://\2/\1/\3",
    ),
    (re.compile(r"https://storage\.(?:googleapis|cloud\.google)\.com/([^?#]+)"), r"gs://\1"),
    (re.compile(r"https://([A-Za-z0-9.-]+)\.s3[.-][a-z0-9.-]*amazonaws\.com/?([^?#]*)"), r"s3://\1/\2"),
    (re.compile(r"(?:gcs|google)://([^?#]+)"), r"gs://\1"),
    (re.compile(r"(?:azure|azblob|abs)://([^?#]+)"), r"az://\1"),
    (re.compile(r"s3[an]://([^?#]+)"), r"s3://\1"),
)
"""How other tools write it, and how it is written here."""
_CREDENTIALS = re.compile(r"[^/@]*(@|:[^@]*@)")
"""Something before an '@', also one whose secret holds a '/'; the '@' of a path isn't meant."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AZURE = "write az://account/container/prefix"
_HOW = "write s3://bucket/prefix, gs://bucket/prefix, az://account/container/prefix or file:///absolute/folder"


def parse_store_url(url: str) -> StoreConfig:
    """The store that the URL names. Raises InvalidStoreURL with what to write instead; it never repeats a secret."""
    text = url.strip()
    if not text:
        raise InvalidStoreURL("the store URL is empty", hint=_HOW)
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise InvalidStoreURL("the store URL holds a control character", hint=_HOW)
    if _CREDENTIALS.match(text.partition("://")[2] or text) and not meant_by(text):
        raise InvalidStoreURL(
            "a store URL never holds credentials (nothing before an '@')",
            hint="name them by reference in fedml.toml (access_key_id = { env = … }) or leave it to the SDK's own chain",
        )
    match = _SCHEME.match(text)
    if match is None:
        raise InvalidStoreURL(f"{_shown(text)} has no scheme", hint=_guess_for_path(text))
    scheme = match.group(1)
    if not text.startswith(f"{scheme}://"):
        rest = text[len(scheme) + 1 :].lstrip("/")
        raise InvalidStoreURL(f"{_shown(text)} has no '//' after '{scheme}:'", hint=_did_you_mean(scheme, rest))
    if scheme != scheme.lower():
        raise InvalidStoreURL(
            f"the scheme of {_shown(text)} must be in lower case", hint=f"did you mean {scheme.lower()}://…?"
        )
    return _config(scheme, text)


def _config(scheme: str, text: str) -> StoreConfig:
    parts = urlsplit(text)
    if "#" in text:
        raise InvalidStoreURL(
            f"{_shown(text)} holds a '#'", hint="a store URL has no fragment; write %23 in a file URL"
        )
    if meant_by(text):
        raise InvalidStoreURL(f"no store is known for {scheme}://", hint=meant_by(text))
    fields = _parameters(parts.query, text)
    not_taken = sorted(fields.keys() - set(_TAKEN.get(scheme, PARAMETERS)))
    if not_taken and scheme == "file":
        raise InvalidStoreURL(f"{_shown(text)}: a file URL takes no parameters ({', '.join(not_taken)})")
    if not_taken:
        raise InvalidStoreURL(
            f"{_shown(text)}: {'an' if scheme == 'az' else 'a'} {scheme}:// URL takes no {' and no '.join(not_taken)}",
            hint=f"it takes {' and '.join(_TAKEN[scheme])}",
        )
    if scheme == "file":
        return StoreConfig(url=folder_url(folder_of(text)))
    place = f"{scheme}://{parts.netloc}{parts.path}"
    if scheme == "az":
        account, bucket, prefix = split_account(place)
        bucket = f"{account}/{bucket}"
    else:
        bucket, prefix = split_bucket(place)
    endpoint = fields.get("endpoint")
    if endpoint is not None:
        endpoint = checked_endpoint(endpoint)
    return StoreConfig(
        url=f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else ""),
        endpoint=endpoint,
        location=fields.get("location"),
        profile=fields.get("profile"),
        anonymous=_flag(fields.get("anonymous", "false"), text),
    )


def store_url(config: StoreConfig) -> str:
    """The URL that `parse_store_url` reads back, without credential references: the form that goes to nodes."""
    fields = {"endpoint": config.endpoint, "location": config.location, "profile": config.profile}
    query = {name: value for name, value in fields.items() if value}
    if config.anonymous:
        query["anonymous"] = "true"
    return config.url + (f"?{urlencode(query, safe=':/')}" if query else "")


def split_bucket(url: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes at its ends) of `scheme://bucket/prefix`."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not bucket:
        raise InvalidStoreURL(f"{_shown(url)} names no bucket", hint=_did_you_mean(scheme, prefix or "bucket/prefix"))
    if not (_GCS_BUCKET if scheme == "gs" else _BUCKET).fullmatch(bucket):
        letters = "lower-case letters" if scheme == "gs" else "letters"
        raise InvalidStoreURL(
            f"{bucket!r} in {_shown(url)} is no bucket name",
            hint=f"a bucket name has 3 or more of {letters}, digits, '.', '-', '_'; "
            "a server's address goes into ?endpoint=",
        )
    return bucket, _checked_prefix(prefix, url)


def split_account(url: str) -> tuple[str, str, str]:
    """Account, container and prefix (without slashes at its ends) of `az://account/container/prefix`."""
    account, _, rest = url.removeprefix("az://").partition("/")
    container, _, prefix = rest.partition("/")
    if not account:
        raise InvalidStoreURL(f"{_shown(url)} names no storage account", hint=_AZURE)
    if not _ACCOUNT.fullmatch(account):
        short = account.partition(".")[0]
        raise InvalidStoreURL(
            f"{account!r} in {_shown(url)} is no storage account's name",
            hint=f"did you mean az://{short}/{rest}?"
            if account.endswith(".windows.net")
            else "it has 3 to 24 lower-case letters and digits; a server's address goes into ?endpoint=",
        )
    if not container:
        raise InvalidStoreURL(f"{_shown(url)} names no container", hint=_AZURE)
    if not _CONTAINER.fullmatch(container):
        raise InvalidStoreURL(
            f"{container!r} in {_shown(url)} is no container's name",
            hint="it has 3 to 63 lower-case letters, digits and single '-', with none at its ends",
        )
    return account, container, _checked_prefix(prefix.strip("/"), url)


def meant_by(url: str) -> str:
    """What to write for a URL as other tools have it (`https://…`, `abfss://`, `gcs://`); empty for any other."""
    for pattern, ours in _ELSEWHERE:
        match = pattern.match(url)
        if match:
            return f"did you mean {match.expand(ours).rstrip('/')}?"
    return ""


def _checked_prefix(prefix: str, url: str) -> str:
    if prefix:
        try:
            checked_key(prefix)
        except InvalidStoreURL as error:
            raise InvalidStoreURL(f"{_shown(url)}: the prefix can't be used: {error}") from None
    return prefix


def folder_of(url: str) -> Path:
    """The absolute folder of a `file:///…` URL."""
    host, slash, path = url.removeprefix("file://").partition("/")
    if host or not slash:
        named = host if host in ("localhost", "127.0.0.1") else ""
        guess = path if named else f"{host}/{path}".strip("/")
        raise InvalidStoreURL(
            f"{_shown(url)}: a file URL needs an absolute path, so three slashes", hint=_did_you_mean("file", guess)
        )
    folder = unquote("/" + path.partition("?")[0], errors="strict")
    if any(segment in (".", "..") for segment in folder.split("/")):
        raise InvalidStoreURL(f"{_shown(url)}: the path has a '.' or '..' segment", hint="write the path it stands for")
    if not folder.strip("/"):
        raise InvalidStoreURL(f"{_shown(url)} is the whole file system", hint="name a folder: file:///srv/fedml")
    return Path(folder)


def folder_url(folder: Path) -> str:
    """`file:///…` of an absolute folder, percent-encoded."""
    return "file://" + quote(str(folder), safe="/~:@!$&'()*+,;=")


def _parameters(query: str, text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise InvalidStoreURL(
                f"{_shown(text)} has a parameter {name!r} that no store takes",
                hint=f"known: {', '.join(PARAMETERS)}; credentials are never part of a URL",
            )
        if name in fields or not value:
            raise InvalidStoreURL(
                f"{_shown(text)}: parameter {name!r} is {'given twice' if name in fields else 'empty'}"
            )
        fields[name] = value
    return fields


def checked_endpoint(endpoint: str) -> str:
    """The address without a slash at its end. Raises InvalidStoreURL for one that is none, or that holds credentials."""
    parts = urlsplit(endpoint)
    if "@" in parts.netloc:
        raise InvalidStoreURL(
            "the endpoint of a store URL never holds credentials", hint="write endpoint=http://host:port"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidStoreURL(f"endpoint {endpoint!r} is no address", hint="write endpoint=http://127.0.0.1:9000")
    return endpoint.rstrip("/")


def _flag(value: str, text: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidStoreURL(f"{_shown(text)}: anonymous is true or false")
    return value.lower() in ("true", "1")


def _guess_for_path(text: str) -> str:
    if text.startswith("/"):
        return f"did you mean {folder_url(Path(text))}?"
    if text.startswith(("./", "../", "~")):
        return "a folder is written as an absolute path: file:///absolute/folder"
    return _HOW


def _did_you_mean(scheme: str, rest: str) -> str:
    return f"did you mean {scheme}://{'/' if scheme == 'file' else ''}{rest.lstrip('/').partition('?')[0]}?"


def _shown(url: str) -> str:
    """The URL for a message: without its query, whose values might be secret."""
    return repr(url.partition("?")[0])
