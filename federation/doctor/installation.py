"""This Python environment enters, whether fedml's packages are its own in it leaves.

fedml's top-level packages are named `federation`, `regions` and `jobs`; other distributions on PyPI use the same names,
and in one environment the last one installed would win file by file.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence

from federation.doctor.check import Check, Outcome

DISTRIBUTION = "fedml-nomad"
PACKAGES = ("federation", "regions", "jobs")


def check_installation(owners: Mapping[str, Sequence[str]] | None = None) -> list[Check]:
    """One check a package. `owners`: distributions by top-level package; None: those of this environment."""
    found = importlib.metadata.packages_distributions() if owners is None else owners
    return [_check_package(package, found.get(package, ())) for package in PACKAGES]


def _check_package(package: str, owners: Sequence[str]) -> Check:
    others = sorted({name for name in owners if name.lower().replace("_", "-") != DISTRIBUTION})
    subject = "installation"
    if not others:
        return Check(subject, f"package {package}", Outcome.OK)
    return Check(
        subject,
        f"package {package}",
        Outcome.FAILED,
        f"{', '.join(others)} in the same environment has a package of that name too",
        f"give fedml an environment of its own (`uv tool install` or pipx), or uninstall {', '.join(others)}",
    )
