"""A task's environment and an artifact's small JSON files enter, what a record tells of its origin leaves, as texts.

Who trained is told by the training itself (`environment.json`, `data.json`) and by options; what nobody told is looked for
where it costs nothing: the git commit above the artifact, the size that Nomad gave the task.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from federation.errors import PublishError, UsageError
from jobs.spec import looks_secret

COMMIT_VARIABLE = "GIT_COMMIT"

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ALLOCATION = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LIMITS = {"NOMAD_CPU_LIMIT": "task_cpu_mhz", "NOMAD_MEMORY_LIMIT": "task_memory_mb"}
"""Of the task that publishes; what it used is told by `federation.usage`."""


_PACKAGES = (
    *("catboost", "jax", "keras", "lightgbm", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "pytorch-lightning"),
    *("scikit-learn", "scipy", "statsmodels", "tensorflow", "torch", "torchvision", "transformers", "xgboost"),
)
"""Packages whose versions tell how a model can be loaded again."""


def package_versions() -> dict[str, str]:
    """Of those that the Python has which publishes: where it trained too, those it trained with."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def found_origin(environ: Mapping[str, str], places: Sequence[Path]) -> dict[str, str]:
    """What nobody told: the git commit of the code (GIT_COMMIT, else the repository that one of `places` is in) and the
    size of the task. Empty where there is nothing to find; raises nothing."""
    origin = {name: environ[limit] for limit, name in _LIMITS.items() if environ.get(limit, "").isdecimal()}
    commit = environ.get(COMMIT_VARIABLE, "").strip().lower()
    if not _COMMIT.fullmatch(commit):
        commit = next(filter(None, map(git_commit, places)), "")
    return origin | ({"git_commit": commit} if commit else {})


def told_data(url: str, sha256: str) -> dict[str, str]:
    """`data_url` and `data_sha256`, those that are given. Credentials in the URL are left out. Raises PublishError."""
    if sha256 and not _SHA256.fullmatch(sha256):
        raise PublishError(f"the data's sha256 is {sha256[:80]!r}, not 64 hexadecimal digits")
    told = {"data_url": without_secrets(url), "data_sha256": sha256.lower()}
    return {name: value for name, value in told.items() if value}


def told_parent(text: str) -> str:
    """The allocation id of a result that this one was made from, or its beginning: a node knows the index's tags not.
    Raises UsageError for what is none."""
    found = text.strip().lower()
    if not _ALLOCATION.fullmatch(found):
        raise UsageError(
            f"--parent {text[:80]!r} is no allocation id, nor 8 characters or more of one",
            hint="fedml index list shows them; a tag has no meaning on a node",
        )
    return found


def without_secrets(url: str) -> str:
    """The URL without user and password, and without a query that signs or authorizes."""
    try:
        parts = urlsplit(url)
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    query = "" if any(_signs(name) for name in names) else parts.query
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))


def _signs(name: str) -> bool:
    low = name.lower()
    return looks_secret(name) or low in ("sig", "key") or low.endswith(("signature", "credential", "accesskeyid"))


def git_commit(place: Path) -> str:
    """The commit that is checked out in the repository that `place` is in; empty when it is in none, and when nothing in
    `place` is under version control (a folder of results inside a checkout tells nothing of the code). Only files are
    read: no git is needed, and changes that weren't committed aren't seen."""
    try:
        place = place.resolve()
        for folder in (place, *place.parents):
            if (folder / ".git").exists():
                git = _git_folder(folder / ".git")
                return _head(git) if _tracks(git, place.relative_to(folder).as_posix()) else ""
    except (OSError, ValueError, IndexError, struct.error):
        pass
    return ""


def _tracks(git: Path, place: str) -> bool:
    """Whether the repository's index (gitformat-index(5), versions 2 to 4) has a file at or below that path."""
    index = (git / "index").read_bytes()
    if index[:4] != b"DIRC":
        return False
    version, count = struct.unpack(">II", index[4:12])
    oid_bytes = 32 if b"objectformat = sha256" in _read(_common(git) / "config") else 20
    wanted = b"" if place == "." else place.encode()
    at, name = 12, b""
    for _ in range(count):
        begin = at
        at += 40 + oid_bytes
        flags = struct.unpack(">H", index[at : at + 2])[0]
        at += 4 if flags & 0x4000 else 2
        if version == 4:
            cut, at = _offset(index, at)
            name = name[: len(name) - cut]
        else:
            name = b""
        end = index.index(b"\0", at)
        name += index[at:end]
        if not wanted or name == wanted or name.startswith(wanted + b"/"):
            return True
        at = end + 1 if version == 4 else begin + (end - begin + 8) // 8 * 8
    return False


def _offset(data: bytes, at: int) -> tuple[int, int]:
    """A number as git's packs have offsets, and where what follows begins."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
    return value, at + 1


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _git_folder(found: Path) -> Path:
    """The folder itself, or the one that a worktree's or submodule's `.git` file names."""
    if found.is_dir():
        return found
    return (found.parent / found.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()


def _common(folder: Path) -> Path:
    """What a worktree shares with its repository."""
    with suppress(OSError):
        return (folder / (folder / "commondir").read_text(encoding="utf-8").strip()).resolve()
    return folder


def _head(folder: Path) -> str:
    head = (folder / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    name = head.removeprefix("ref:").strip()
    common = _common(folder)
    for place in (folder, common):
        with suppress(OSError):
            commit = (place / name).read_text(encoding="utf-8").strip()
            return commit if _COMMIT.fullmatch(commit) else ""
    for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name and _COMMIT.fullmatch(commit):
            return commit
    return ""
