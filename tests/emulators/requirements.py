"""Skips that can't lie: what `FEDML_REQUIRE` names (`s3,file,tmpfs`) fails where it is missing, anything else skips."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def is_required(name: str) -> bool:
    """Whether this run must have it."""
    return name in os.environ.get("FEDML_REQUIRE", "").replace(" ", "").split(",")


def missing(name: str, reason: str) -> NoReturn:
    """Ends the test: a failure where `name` is required, else a skip with its reason."""
    if is_required(name):
        pytest.fail(f"FEDML_REQUIRE names {name}: {reason}")
    pytest.skip(reason)
