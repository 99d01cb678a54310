"""Nomad's job diff as `nomad plan` prints it."""

from __future__ import annotations

from typing import Any

import pytest

from federation.ui.diff_lines import diff_lines
from jobs.nomad_json.drift import Difference

DIFF: dict[str, Any] = {
    "ID": "train",
    "Type": "Edited",
    "Fields": [
        {"Name": "Priority", "Type": "Edited", "Old": "90", "New": "50"},
        {"Name": "Namespace", "Type": "None", "Old": "default", "New": "default"},
    ],
    "Objects": [
        {"Name": "Meta", "Type": "Added", "Fields": [{"Name": "team", "Type": "Added", "Old": "", "New": "ml"}]},
        {"Name": "Update", "Type": "None", "Fields": []},
    ],
    "TaskGroups": [
        {
            "Name": "g",
            "Type": "Edited",
            "Updates": {"create/destroy update": 2},
            "Tasks": [
                {
                    "Name": "t",
                    "Type": "Edited",
                    "Annotations": ["forces create/destroy update"],
                    "Objects": [
                        {
                            "Name": "Resources",
                            "Type": "Edited",
                            "Fields": [{"Name": "CPU", "Type": "Edited", "Old": "250", "New": "500"}],
                        }
                    ],
                    "Fields": [{"Name": "User", "Type": "Deleted", "Old": "x" * 80, "New": ""}],
                },
                {"Name": "same", "Type": "None"},
            ],
        }
    ],
}


def test_what_changes_and_nothing_else() -> None:
    assert list(diff_lines(DIFF)) == [
        '+/- Job: "train"',
        '+/- Priority: "90" => "50"',
        "+ Meta {",
        '  + team: "ml"',
        "  }",
        '+/- Task Group: "g" (2 create/destroy update)',
        '  +/- Task: "t" (forces create/destroy update)',
        f'    - User: "{"x" * 59}…"',
        "    +/- Resources {",
        '      +/- CPU: "250" => "500"',
        "      }",
    ]


def test_nothing_changed() -> None:
    assert list(diff_lines({"ID": "train", "Type": "None", "Fields": None})) == []


def test_a_block_that_is_called_edited_without_a_change_is_left_out() -> None:
    scaling = {"Name": "Scaling", "Type": "Edited", "Fields": None, "Objects": None}
    group = {
        "Name": "g",
        "Type": "Edited",
        "Fields": None,
        "Objects": [scaling],
        "Tasks": [{"Name": "t", "Type": "None"}],
    }
    edited = {"ID": "train", "Type": "Edited", "Fields": DIFF["Fields"], "Objects": None, "TaskGroups": [group]}
    assert list(diff_lines(edited)) == ['+/- Job: "train"', '+/- Priority: "90" => "50"']


def edited(old: str, new: str) -> str:
    diff = {"Type": "Edited", "Fields": [{"Name": "Template", "Type": "Edited", "Old": old, "New": new}]}
    return "\n".join(diff_lines(diff))


def test_two_long_texts_are_cut_around_what_differs() -> None:
    code = "import sys\n" * 30
    assert edited(f"{code}rate = 0.1\n{code}", f"{code}rate = 0.01\n{code}") == (
        r'+/- Template: "…mport sys\nrate = 0.1\nimport sys\nimport sys\nimport sys\…" => '
        r'"…mport sys\nrate = 0.01\nimport sys\nimport sys\nimport sys…"'
    )
    assert edited(code, code + "x") == r'+/- Template: "…rt sys\nimport sys\n" => "…rt sys\nimport sys\nx"'


@pytest.mark.parametrize("place", range(0, 200, 7))
@pytest.mark.parametrize("chars", [1, 59, 60, 61, 120, 200])
def test_two_texts_that_differ_never_read_alike(place: int, chars: int) -> None:
    old = "a" * chars
    new = f"{old[:place]}b{old[place + 1 :]}"
    for left, right in ((old, new), (new, old), (old, old + "a"), (old[:-1], old)):
        before, _, after = edited(left, right).partition(" => ")
        assert before.removeprefix("+/- Template: ") != after
        assert max(len(before) - len("+/- Template: "), len(after)) <= 62
        difference = Difference("Templates[0]", left, right)
        assert len(str(difference)) <= 14 + 2 * 60 + 4
        one, other = str(difference).removeprefix("Templates[0]: ").split(" => ")
        assert one != other
