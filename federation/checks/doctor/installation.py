"""Checks which fedml this Python environment has, and whether its packages are fedml's own.

fedml's top-level packages are named `federation`, `regions` and `jobs`. Other distributions on PyPI use the same names. In
one environment the last one installed would overwrite the others file by file.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from federation.check import DISTRIBUTION, Check, Outcome

PACKAGES = ("federation", "regions", "jobs")


def check_installation(owners: Mapping[str, Sequence[str]] | None = None) -> list[Check]:
    """One check where all is well, else one for each package that another distribution has too. `owners`: distributions
    by top-level package; None: those of this environment."""
    found = importlib.metadata.packages_distributions() if owners is None else owners
    wrong = [check for package in PACKAGES if (check := _check_package(package, found.get(package, ())))]
    return wrong or [Check("installation", _versions(), Outcome.OK)]


def _versions() -> str:
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        version = "from a checkout"
    return f"fedml {version} on Python {platform.python_version()}"


def _check_package(package: str, owners: Sequence[str]) -> Check | None:
    others = sorted({name for name in owners if name.lower().replace("_", "-") != DISTRIBUTION})
    if not others:
        return None
    return Check(
        "installation",
        f"package {package}",
        Outcome.FAILED,
        f"{', '.join(others)} in the same environment has a package of that name too",
        f"give fedml an environment of its own (in its checkout: `uv tool install .`), or uninstall {', '.join(others)}",
    )
