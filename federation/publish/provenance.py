"""Collects the origin of a model: git commit, data, parents, package versions, size of the task.

Most comes from the training (`environment.json`, `data.json`, options of `fedml publish`). The git commit around the
artifact and the size that Nomad gave the task are looked up.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from federation.errors import PublishError, UsageError
from jobs.dispatch_meta import looks_secret

COMMIT_VARIABLE = "GIT_COMMIT"
_GIT_TIMEOUT_S = 10.0

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ALLOCATION = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LIMITS = {"NOMAD_CPU_LIMIT": "task_cpu_mhz", "NOMAD_MEMORY_LIMIT": "task_memory_mb"}
"""Limits of the task that publishes. `federation.publish.usage` measures what it used."""


_PACKAGES = (
    *("catboost", "jax", "keras", "lightgbm", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "pytorch-lightning"),
    *("scikit-learn", "scipy", "statsmodels", "tensorflow", "torch", "torchvision", "transformers", "xgboost"),
)
"""Packages whose versions are needed to load a model again."""


def package_versions(site_packages: Sequence[str] | None = None) -> dict[str, str]:
    """Versions of the known packages that are installed in these folders (default: in the Python that publishes)."""
    path = sys.path if site_packages is None else list(site_packages)
    return installed_versions(_PACKAGES, path)


def installed_versions(names: Sequence[str], path: Sequence[str]) -> dict[str, str]:
    """Versions of those of the named distributions that are installed in these folders. Reads names of folders only; where
    they don't tell it (an archive, an older form), asks `importlib.metadata`, which takes longer to import than this runs."""
    found: dict[str, str] = {}
    for place in path:
        try:
            entries = os.listdir(place or ".")  # noqa: PTH208 - names, without an object for each
        except FileNotFoundError:
            continue
        except OSError:
            return _described_versions(names, path)
        for entry in entries:
            stem, dot, kind = entry.rpartition(".")
            name, _, version = stem.partition("-")
            name = name.lower().replace("_", "-").replace(".", "-")
            if name in names and kind == "dist-info" and version and "_" not in version:
                found.setdefault(name, version)
            elif name in names and dot and kind in ("dist-info", "egg-info"):
                return _described_versions(names, path)
    return {name: found[name] for name in names if name in found}


def _described_versions(names: Sequence[str], path: Sequence[str]) -> dict[str, str]:
    from importlib import metadata

    found: dict[str, str] = {}
    for name in names:
        for distribution in metadata.distributions(name=name, path=list(path)):
            found.setdefault(name, distribution.version)
    return found


def platform_name() -> str:
    """The platform in the words of `platform.platform`, which starts a program to learn them."""
    libc = ""
    with suppress(AttributeError, OSError, ValueError):
        libc = (os.confstr("CS_GNU_LIBC_VERSION") or "").replace(" ", "")
    if not libc:
        import platform

        return platform.platform(terse=True)
    system = os.uname()
    return f"{system.sysname}-{system.release}-{system.machine}-with-{libc}"


def found_origin(environ: Mapping[str, str], folders: Sequence[Path]) -> dict[str, str]:
    """The git commit of the code (GIT_COMMIT, else the repository around one of `folders`) and the size of the task. Raises
    nothing."""
    origin = {name: environ[limit] for limit, name in _LIMITS.items() if environ.get(limit, "").isdecimal()}
    commit = environ.get(COMMIT_VARIABLE, "").strip().lower()
    if not _COMMIT.fullmatch(commit):
        commit = next(filter(None, map(git_commit, folders)), "")
    return origin | ({"git_commit": commit} if commit else {})


def data_origin(url: str, sha256: str) -> dict[str, str]:
    """`data_url` and `data_sha256`, if given. Credentials in the URL are left out. Raises PublishError."""
    if sha256 and not _SHA256.fullmatch(sha256):
        raise PublishError(
            f"{sha256[:80]!r} is not a valid sha256 of the data", hint="a sha256 is 64 hexadecimal digits"
        )
    origin = {"data_url": without_secrets(url), "data_sha256": sha256.lower()}
    return {name: value for name, value in origin.items() if value}


def checked_parent(text: str) -> str:
    """The allocation ID, or its beginning, of a result that this one was made from. Tags cannot be resolved on a node. Raises
    UsageError."""
    parent = text.strip().lower()
    if not _ALLOCATION.fullmatch(parent):
        raise UsageError(
            f"--parent {text[:80]!r} is not an allocation id or at least 8 characters of one",
            hint="find it with:  fedml index list  (a tag can't be resolved on a node)",
        )
    return parent


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


def git_commit(folder: Path) -> str:
    """The commit checked out in the repository around `folder`, from `git`. Empty without git, outside a repository, and if
    nothing in `folder` is tracked: a folder of results in a checkout is not the code."""
    if _is_in_repository(folder) and _git(folder, "ls-files", "--error-unmatch", "--", ".") is not None:
        commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or ""
        return commit if _COMMIT.fullmatch(commit) else ""
    return ""


def _is_in_repository(folder: Path) -> bool:
    """Whether a repository is around the folder: else git isn't asked, whose start takes as long as everything else."""
    try:
        whole = folder.resolve()
        return folder.is_dir() and any((above / ".git").exists() for above in (whole, *whole.parents))
    except (OSError, RuntimeError):
        return False


def _git(folder: Path, *command: str) -> str | None:
    """Runs a read-only git command without settings that start programs. Returns its output, or None when it fails."""
    import subprocess

    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
