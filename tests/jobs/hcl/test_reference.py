"""docs/reference/jobspec-language.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.files import Files
from jobs.hcl.functions import FUNCTIONS
from jobs.hcl.functions.collections import CELLS_MAX
from jobs.hcl.functions.numbers import RANGE_ITEMS_MAX
from jobs.hcl.limits import STEPS_MAX, TEXT_CHARS_MAX
from jobs.hcl.numbers import EXPONENT_MAX
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.versions import version_key
from tests.jobs.hcl.recorded_values import rows

PATH = Path(__file__).parents[3] / "docs" / "reference" / "jobspec-language.md"
PAGE = PATH.read_text(encoding="utf-8")
BEGIN, END = "<!-- newer: begin -->\n", "<!-- newer: end -->"


def test_every_function_is_listed_and_no_other():
    section = PAGE.split("## Functions")[1].split("\n## ")[0]
    known = {*FUNCTIONS, *Files(Path(), allowed=True).functions()}
    assert set(re.findall(r"`([a-z0-9_]+)`", section)) == known


def test_the_limits_and_the_number_of_recorded_values_are_those_of_the_code():
    for number in (STEPS_MAX, TEXT_CHARS_MAX, RANGE_ITEMS_MAX, CELLS_MAX, EXPONENT_MAX, len(rows())):
        assert re.search(rf"\b({number:,}|{number})\b", PAGE), number


def test_the_error_shown_is_a_real_one():
    with pytest.raises(HclError) as caught:
        parse_job('job "j" {\n  group "g" {\n    cuont = 2\n  }\n}\n')
    assert f"```\n{caught.value}\n{caught.value.hint}\n```" in PAGE


@pytest.mark.parametrize(
    "inside",
    [
        "affinity {\nweight = 50.5\n}",
        'group "g" {\nvault {\n}\nvault {\n}\n}',
        "priority = 5 % 0",
        "priority = try(5 / 0, 1)",
        'type = cidrhost("::ffff:10.0.0.0/120", 5)',
    ],
)
def test_what_is_stricter_than_nomad_is_an_error(inside):
    with pytest.raises(HclError):
        parse_job(f'job "j" {{\n{inside}\n}}\n')


def newer_table() -> str:
    """A row for each version after 1.6.3 that added something to the job specification."""
    found: dict[tuple[int, ...], list[str]] = {}
    for kind in BLOCK_TYPES.values():
        for field in kind.fields:
            if field.name and version_key(field.since or "0") > (1, 6, 3):
                place = f"`{field.name}`" if kind.name == "job" else f"`{field.name}` in {kind.name.replace('_', ' ')}"
                found.setdefault(version_key(field.since), []).append(place)
    rows = [f"| {'.'.join(map(str, since))} | {', '.join(sorted(places))} |" for since, places in sorted(found.items())]
    return "\n".join(["| since | what |", "| --- | --- |", *rows]) + "\n"


def test_the_page_lists_what_is_newer():
    told = PAGE.partition(BEGIN)[2].partition(END)[0]
    assert told == newer_table(), "run: python -m tests.jobs.hcl.test_reference"


if __name__ == "__main__":
    before, _, rest = PAGE.partition(BEGIN)
    PATH.write_text(before + BEGIN + newer_table() + END + rest.partition(END)[2], encoding="utf-8")
