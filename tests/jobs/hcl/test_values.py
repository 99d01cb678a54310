"""The value of every function and operator against real Nomad's, recorded in `values.tsv`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.files import Files
from jobs.hcl.functions import FUNCTIONS
from tests.jobs.hcl.recorded_values import REFUSED, computed_by, rows

NOT_COMPUTED = (
    "yamldecode(",
    "division by zero",
    "the year 0",
    "from the year 1 to 9999",
    "IPv4 addresses in IPv6",
    "negative number of bits",
    "depend on the processor",
)
"""What fedml refuses by name, though both versions of Nomad compute it."""
RANDOM = {"bcrypt", "rsadecrypt", "uuidv4"}
WITH_FILES = {"file", "filebase64", "fileexists", "fileset"}
ROWS = rows()


def ours(expression: str) -> str | HclError:
    try:
        return str(parse_job(f'job "j" {{\nmeta {{\nv = jsonencode({expression})\n}}\n}}\n').job["Meta"]["v"])
    except HclError as error:
        return error


@pytest.mark.parametrize(("expression", "older", "newer"), ROWS, ids=[row[0] for row in ROWS])
def test_is_nomads_value_or_refused(expression, older, newer):
    value = ours(expression)
    if not isinstance(value, HclError):
        assert (value, value) == (older, newer)
    elif older != REFUSED or newer != REFUSED:
        assert value.is_final, value
        assert older != newer or any(name in str(value) for name in NOT_COMPUTED), value


def test_every_function_has_a_recorded_value():
    known = {*FUNCTIONS, *Files(Path(), allowed=True).functions()} - RANDOM - WITH_FILES
    called = {name for name in known if any(f"{name}(" in row[0] for row in ROWS)}
    assert known == called


def test_recorded_values_are_json():
    assert all(value == REFUSED or json.loads(value) is not ... for _, *values in ROWS for value in values)


@pytest.mark.skipif("NOMAD_BIN" not in os.environ, reason="no Nomad binary: name some in NOMAD_BIN")
def test_recorded_values_are_what_this_nomad_computes():
    for binary in os.environ["NOMAD_BIN"].split(os.pathsep):
        values = computed_by(binary, [row[0] for row in ROWS])
        different = [(row, value) for row, value in zip(ROWS, values, strict=True) if value not in row[1:]]
        assert different == [], binary
