"""Parts of store URLs: buckets, folders, prefixes and endpoints, each checked. `url_parser` reads whole URLs with them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

from regions.storage.errors import InvalidStoreURL
from regions.storage.store import checked_key
from regions.store_config import StoreConfig

PARAMETERS = ("endpoint", "location", "profile", "anonymous")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_BUCKET_HINT = "a bucket name has 3 or more of letters, digits, '.', '-', '_'; a server's address goes into ?endpoint="


def store_url(config: StoreConfig) -> str:
    """The URL that `parse_store_url` reads back, without credential references: the form that goes to nodes."""
    fields = {"endpoint": config.endpoint, "location": config.location, "profile": config.profile}
    query = {name: value for name, value in fields.items() if value}
    if config.anonymous:
        query["anonymous"] = "true"
    return config.url + (f"?{urlencode(query, safe=':/')}" if query else "")


def split_bucket(url: str, name: re.Pattern[str] = BUCKET, hint: str = _BUCKET_HINT) -> tuple[str, str]:
    """Bucket and prefix (without slashes at its ends) of `scheme://bucket/prefix`. `name` is what a bucket may be called."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not bucket:
        raise InvalidStoreURL(
            f"{shown(url)} names no bucket", hint=f"did you mean {scheme}://{prefix or 'bucket/prefix'}?"
        )
    if not name.fullmatch(bucket):
        raise InvalidStoreURL(f"{bucket!r} in {shown(url)} is not a valid bucket name", hint=hint)
    return bucket, checked_store_prefix(prefix, url)


def bucket_url(url: str) -> str:
    """`scheme://bucket/prefix` without slashes at its end."""
    return joined_url(url, *split_bucket(url))


def joined_url(url: str, *parts: str) -> str:
    """The parts that are not empty, after the scheme of `url`."""
    return f"{url.partition('://')[0]}://{'/'.join(filter(None, parts))}"


def checked_store_prefix(prefix: str, url: str) -> str:
    """The prefix of a store itself if keys may start with it. Raises InvalidStoreURL."""
    if prefix:
        try:
            checked_key(prefix)
        except InvalidStoreURL as error:
            raise InvalidStoreURL(f"{shown(url)}: the prefix can't be used: {error}") from None
    return prefix


def folder_of(url: str) -> Path:
    """The absolute folder of a `file:///…` URL."""
    host, slash, path = url.removeprefix("file://").partition("/")
    if host or not slash:
        rest = path if host in ("localhost", "127.0.0.1") else f"{host}/{path}".strip("/")
        raise InvalidStoreURL(
            f"{shown(url)}: a file URL needs an absolute path, so three slashes",
            hint=f"did you mean file:///{rest.lstrip('/').partition('?')[0]}?",
        )
    folder = unquote("/" + path.partition("?")[0], errors="strict")
    if any(segment in (".", "..") for segment in folder.split("/")):
        raise InvalidStoreURL(f"{shown(url)}: the path has a '.' or '..' segment", hint="write the path it stands for")
    if not folder.strip("/"):
        raise InvalidStoreURL(f"{shown(url)} is the whole file system", hint="name a folder: file:///srv/fedml")
    return Path(folder)


def folder_url(folder: Path) -> str:
    """`file:///…` of an absolute folder, percent-encoded."""
    return "file://" + quote(str(folder), safe="/~:@!$&'()*+,;=")


def checked_endpoint(endpoint: str) -> str:
    """The address without a slash at its end. Raises InvalidStoreURL for one that isn't valid, or that holds credentials."""
    if "@" in endpoint:
        raise InvalidStoreURL(
            "the endpoint of a store URL never holds credentials", hint="write endpoint=http://host:port"
        )
    try:
        parts = urlsplit(endpoint)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, or a port above 65535
        is_valid = False
    if not is_valid or parts.query or parts.fragment:
        raise InvalidStoreURL(
            f"endpoint {endpoint!r} is not a valid address", hint="write endpoint=http://127.0.0.1:9000"
        )
    return endpoint.rstrip("/")


def shown(url: str) -> str:
    """The URL for a message: without its query, whose values might be secret."""
    return repr(url.partition("?")[0])
