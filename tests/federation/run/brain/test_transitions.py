"""The states of slots, attempts and regions: the table, its drawing and the code agree."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from federation.run.brain import transitions
from federation.run.brain.transitions import TRANSITIONS, Phase, passed

ROOT = Path(__file__).parents[4]
BRAIN = Path(transitions.__file__).parent


def test_the_page_draws_the_table() -> None:
    page = (ROOT / "docs/explanation/run-states.md").read_text()
    drawn = {}
    for diagram in re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", page, re.DOTALL):
        (name,) = re.findall(r'state "(\w+)" as title', diagram)
        drawn[name] = sorted(re.findall(r"(\w+) --> (\w+)", diagram))
    table = {
        machine.__name__: sorted((state.name, after.name) for state in machine for after in TRANSITIONS[machine][state])
        for machine in TRANSITIONS
    }
    assert drawn == table
    assert len(table) == 6
    assert "run-states.md" in (ROOT / "docs/README.md").read_text()


@pytest.mark.parametrize("machine", TRANSITIONS)
def test_a_state_changes_as_the_table_says_and_in_no_other_way(machine: type[Phase]) -> None:
    for before, after in itertools.product(machine, machine):
        if after is before or after in TRANSITIONS[machine][before]:
            assert passed(before, after) is after
        else:
            with pytest.raises(AssertionError, match="is not followed by"):
                passed(before, after)


def test_every_state_of_the_brain_changes_through_the_table() -> None:
    """Each assignment to a state in the brain's code is `passed(...)`."""
    sets = re.compile(r"\.(?:phase|reach|admission|token|job|state)\b(?:, [\w.]+)? = (.*)")
    found = [match[1] for path in sorted(BRAIN.glob("*.py")) for match in sets.finditer(path.read_text())]
    machines = [value for value in found if not value.startswith("state = RunState")]
    assert len(machines) >= 7
    assert all(value.startswith("passed(") for value in machines), machines
