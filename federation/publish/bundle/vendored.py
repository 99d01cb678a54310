"""Collects the files of installed distributions and their requirements for an archive that runs on any machine.

Takes pure Python only, with the licences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from federation.errors import FederationError

WITHOUT_ITS_COMPILED_PART = frozenset({"charset-normalizer", "google-crc32c", "protobuf"})
"""Distributions that fall back to pure Python when their compiled part is missing."""
STOOD_IN_FOR = frozenset({"cryptography"})
"""Compiled distributions without such a fallback: see `no_cryptography`."""

_LEFT_OUT = re.compile(r"(^|/)(__pycache__|tests?|examples)/|\.(pyc|pyi|exe)$|(^|/)(RECORD|INSTALLER|REQUESTED)$|\.\./")
_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")
_OTHER_SERVICE = re.compile(rf"^botocore/data/(?!({'|'.join(_SERVICES)})/)[^/]+/")
_COMPILED = (".so", ".pyd")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)([^;]*)(;.*)?")
_PYTHON_NEEDED = re.compile(r">=\s*(\d+)\.(\d+)")


def with_requirements(names: Iterable[str]) -> list[str]:
    """The distributions and all their requirements, sorted. Raises FederationError if one isn't installed."""
    closure: set[str] = set()
    wanted = [_normal(name) for name in names]
    while wanted:
        name = wanted.pop()
        if name in closure or name in STOOD_IN_FOR:
            continue
        closure.add(name)
        wanted += _required(name)
    return sorted(closure)


def _required(name: str) -> Iterator[str]:
    for text in _distribution(name).requires or ():
        match = _REQUIREMENT.match(text)
        if match is None or "extra" in (match[3] or ""):
            continue
        required = _normal(match[1])
        if match[3] and not _is_installed(required):  # only for another Python or system
            continue
        yield required


def python_needed(names: Iterable[str]) -> tuple[int, int]:
    """The oldest Python that all of them allow, at least (3, 9)."""
    minimums = (_PYTHON_NEEDED.search(_distribution(name).metadata["Requires-Python"] or "") for name in names)
    return max(((int(match[1]), int(match[2])) for match in minimums if match), default=(3, 9))


def files_of(name: str) -> dict[str, bytes]:
    """The distribution's files by path. Raises FederationError for compiled code without a fallback."""
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
        raise FederationError(
            f"{name} isn't installed here", hint=f"add {name} to the environment of this Python"
        ) from None


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
