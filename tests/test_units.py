"""Which tests a worker gets together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.units import APART, FIRST, place_of, unit_of

REGION = "tests/conformance/region"


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/jobs/test_foreign.py::test_a", "tests/jobs/test_foreign.py"),
        ("tests/jobs/test_foreign.py::TestA::test_b[x::y]", "tests/jobs/test_foreign.py"),
        (f"{APART[0]}::test_a[x]", f"{APART[0]}::test_a[x]"),
        (f"{REGION}/test_jobs.py::test_a[embedded-1.6.3]", "embedded-1.6.3"),
        (f"{REGION}/test_acls.py::test_b[embedded-1.6.3-other[0]]", "embedded-1.6.3"),
        (f"{REGION}/test_jobs.py::test_a[nomad-2.0.5]", "nomad-2.0.5"),
        (f"{REGION}/test_jobs.py::test_a[nomad]", f"{REGION}/test_jobs.py"),
    ],
)
def test_a_test_belongs_to_its_file_or_to_the_engine_that_it_asks(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


def test_what_takes_longest_comes_first() -> None:
    assert place_of(f"{REGION}/test_jobs.py::test_a[embedded-1.6.3]") == 0
    assert place_of("tests/scenarios/test_runs.py::test_a") < place_of("tests/attack/test_logs.py::test_a") < len(FIRST)
    assert place_of("tests/test_units.py::test_a") == len(FIRST)


def test_the_files_that_are_named_are_there() -> None:
    named = [*APART, *(start for start in FIRST if "/" in start)]
    assert [path for path in named if not (Path(__file__).parent.parent / path).exists()] == []
