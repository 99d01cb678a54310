"""Nomad's job diff as `nomad plan` prints it."""

from __future__ import annotations

from typing import Any

from federation.ui.diff_lines import diff_lines

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
