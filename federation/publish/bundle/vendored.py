"""The name of an installed distribution enters, its files and those of what it requires leave, for an archive that runs on
any machine: pure Python only, licences included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from federation.errors import FederationError

WITHOUT_ITS_COMPILED_PART = frozenset({"charset-normalizer", "google-crc32c", "protobuf"})
"""They bring the same in pure Python, and use it where the compiled part isn't there."""
STOOD_IN_FOR = frozenset({"cryptography"})
"""Compiled and nothing else: see `no_cryptography`."""

_LEFT_OUT = re.compile(r"(^|/)(__pycache__|tests?|examples)/|\.(pyc|pyi|exe)$|(^|/)(RECORD|INSTALLER|REQUESTED)$|\.\./")
_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")
_OTHER_SERVICE = re.compile(rf"^botocore/data/(?!({'|'.join(_SERVICES)})/)[^/]+/")
_COMPILED = (".so", ".pyd")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)([^;]*)(;.*)?")
_PYTHON_NEEDED = re.compile(r">=\s*(\d+)\.(\d+)")


def with_requirements(names: Iterable[str]) -> list[str]:
    """The distributions and all that they require here, sorted. Raises FederationError for one that isn't installed."""
    found: set[str] = set()
    wanted = [_normal(name) for name in names]
    while wanted:
        name = wanted.pop()
        if name in found or name in STOOD_IN_FOR:
            continue
        found.add(name)
        wanted += _required(name)
    return sorted(found)


def _required(name: str) -> Iterator[str]:
    for text in _distribution(name).requires or ():
        match = _REQUIREMENT.match(text)
        if match is None or "extra" in (match[3] or ""):
            continue
        required = _normal(match[1])
        if match[3] and not _is_installed(required):  # of another Python or system
            continue
        yield required


def python_needed(names: Iterable[str]) -> tuple[int, int]:
    """The oldest Python that all of them allow, at least (3, 9)."""
    found = (_PYTHON_NEEDED.search(_distribution(name).metadata["Requires-Python"] or "") for name in names)
    return max(((int(match[1]), int(match[2])) for match in found if match), default=(3, 9))


def files_of(name: str) -> dict[str, bytes]:
    """Its files by their place. Raises FederationError for compiled code that it can't do without."""
    distribution = _distribution(name)
    if distribution.files is None:
        raise FederationError(f"{name} is installed here without a list of its files", hint="install it with pip or uv")
    files = {}
    for file in distribution.files:
        key = file.as_posix()
        if _LEFT_OUT.search(key) or _OTHER_SERVICE.search(key):
            continue
        if key.endswith(_COMPILED):
            if name in WITHOUT_ITS_COMPILED_PART:
                continue
            raise FederationError(f"{name} has compiled code ({key}), which runs on one kind of machine only")
        files[key] = Path(str(file.locate())).read_bytes()
    return files


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise FederationError(f"{name} isn't installed here", hint=f"pip install {name}") from None


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
