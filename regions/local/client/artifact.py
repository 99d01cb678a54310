"""Downloads one `artifact` of a task by http(s) and checks it.

Archives are not unpacked and other sources are not supported: both are refused with a sentence.
"""

from __future__ import annotations

import os
import posixpath
from typing import Any

from regions.local.client.task_env import TaskEnv

_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip")
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_READ_TIMEOUT_S = 60
_CHUNK = 1 << 18


class ArtifactFailed(Exception):
    """The artifact could not be downloaded. `recoverable`: another try may help."""

    def __init__(self, message: str, *, recoverable: bool = True) -> None:
        super().__init__(message)
        self.recoverable = recoverable


def fetch(artifact: dict[str, Any], env: TaskEnv) -> None:
    """Downloads one artifact. The file gets its name only when it is complete and checked. Raises ArtifactFailed."""
    from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

    source = artifact["GetterSource"]
    url = urlsplit(env.replace(source))
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    query |= {k: env.replace(v) for k, v in (artifact.get("GetterOptions") or {}).items()}
    checksum, archive, name = (query.pop(k, "") for k in ("checksum", "archive", "filename"))
    if url.scheme not in ("http", "https"):
        raise _failed(
            source, f"the embedded region fetches artifacts by http and https only, not {url.scheme or 'a path'}"
        )
    mode = artifact.get("GetterMode") or "any"
    packed = url.path.endswith(_ARCHIVES + (_PACKED if mode != "dir" else ()))
    if mode == "dir" or (archive and archive != "false") or (packed and archive != "false"):
        raise _failed(source, 'the embedded region does not unpack archives: add options { archive = "false" }')
    folder, escapes = env.client_path(artifact.get("RelativeDest") or "local/", join_escape=True)
    if mode == "file":
        folder, name = os.path.split(folder)
    name = name or posixpath.basename(unquote(url.path)) or "index.html"
    if escapes or "/" in name or name in (".", ".."):
        raise _escaping(source)
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    path = os.path.join(folder, name)  # noqa: PTH118
    if not env.contains(path):
        raise _escaping(source)
    headers = {k: env.replace(v) for k, v in (artifact.get("GetterHeaders") or {}).items()}
    _download(source, urlunsplit(url._replace(query=urlencode(query))), headers, path, checksum)


def _failed(source: str, reason: str) -> ArtifactFailed:
    return ArtifactFailed(
        f'failed to download artifact "{source}": getter subprocess failed: exit status 1: '
        f"failed to download artifact: {reason}"
    )


def _escaping(source: str) -> ArtifactFailed:
    text = f'failed to download artifact "{source}": artifact destination path escapes alloc directory'
    return ArtifactFailed(text)


def _download(source: str, url: str, headers: dict[str, str], path: str, checksum: str) -> None:
    import http.client
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    kind, _, wanted = checksum.strip().partition(":")
    if checksum and (kind not in ("md5", "sha1", "sha256", "sha512") or not wanted):
        raise _failed(source, f"invalid checksum: {checksum}")
    import hashlib  # loaded on first use, so that start-up is quick

    digest = hashlib.new(kind) if checksum else None
    handlers = []
    if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"):
        handlers.append(urllib.request.ProxyHandler({}))  # never through a proxy, as with Go
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    part = f"{path}.part"
    try:
        with (
            urllib.request.build_opener(*handlers).open(request, timeout=_READ_TIMEOUT_S) as answer,
            open(part, "wb") as file,  # noqa: PTH123
        ):
            while data := answer.read(_CHUNK):
                file.write(data)
                if digest:
                    digest.update(data)
        if digest and digest.hexdigest() != wanted.lower():
            raise _failed(
                source,
                f"Checksums did not match for {path}.\nExpected: {wanted}\nGot: {digest.hexdigest()}\n*{kind}.digest",
            )
        os.replace(part, path)  # noqa: PTH105
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(source, f"bad response code: {error.code}") from error
    except urllib.error.URLError as error:
        raise _failed(source, f'Get "{url}": {error.reason}') from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(source, f'Get "{url}": {error}') from error
    finally:
        if os.path.exists(part):  # noqa: PTH110
            os.unlink(part)  # noqa: PTH108
