"""Reads values that Nomad and fedml put into a task's environment."""

from __future__ import annotations

from collections.abc import Mapping

from federation.errors import PublishError


def meta(environ: Mapping[str, str], key: str) -> str:
    """The value of a meta key, "" if it isn't set."""
    return environ.get(f"NOMAD_META_{key}", "")


def needed(environ: Mapping[str, str], name: str) -> str:
    """The value of a variable that every Nomad task has. Raises PublishError."""
    value = environ.get(name, "")
    if not value:
        raise PublishError(f"{name} is not set", hint="this runs in a task of a job that `fedml run` made")
    return value
