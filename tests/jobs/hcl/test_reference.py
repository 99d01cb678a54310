"""docs/reference/jobspec-language.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.files import Files
from jobs.hcl.functions import FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "jobspec-language.md").read_text(encoding="utf-8")


def test_every_function_is_listed_and_no_other():
    section = PAGE.split("## Functions")[1].split("\n## ")[0]
    known = {*FUNCTIONS, *Files(Path(), allowed=True).functions()}
    assert set(re.findall(r"`([a-z0-9_]+)`", section)) == known


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
        'type = regex_replace("a", "(a+)+", "")',
    ],
)
def test_what_is_stricter_than_nomad_is_an_error(inside):
    with pytest.raises(HclError):
        parse_job(f'job "j" {{\n{inside}\n}}\n')
