"""Finds a policy by its name: one of fedml, or a plug-in's of the entry point `fedml.policies`."""

from __future__ import annotations

from typing import cast

from federation.errors import UsageError
from federation.plan.limits import within_limits
from federation.plan.model import Policy
from federation.plan.policies import POLICIES

ENTRY_POINTS = "fedml.policies"


def policy_named(name: str) -> Policy:
    """The policy under each region's minimum and cap. Raises UsageError for an unknown name and for a plug-in that can't be
    loaded."""
    if name in POLICIES:
        return within_limits(name, POLICIES[name])
    from difflib import get_close_matches
    from importlib.metadata import entry_points  # takes 15 ms, which fedml's own policies save

    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            loaded = point.load()
        except Exception as error:
            raise UsageError(
                f"policy {name!r} ({point.value}) can't be loaded: {type(error).__name__}: {error}",
                hint="the package with this policy is installed but does not work",
            ) from error
        return within_limits(name, cast("Policy", loaded))
    near = get_close_matches(name, policy_names(), n=1)
    raise UsageError(
        f"there is no policy {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(policy_names())}",
    )


def policy_names() -> list[str]:
    """The names of all policies, fedml's own first."""
    from importlib.metadata import entry_points

    return [*POLICIES, *sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - POLICIES.keys())]
