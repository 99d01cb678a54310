"""Many jobspecs: built ones against another parser, mutated ones against nothing but a job or an error.

`make soak` (SOAK=1) runs them all; elsewhere a seeded part of them.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.parser import parse_body
from jobs.hcl.source import Source
from jobs.hcl.syntax import Body
from tests.jobs.hcl.built import jobspec

IS_SOAK = bool(os.environ.get("SOAK"))
BUILT = 1000 if IS_SOAK else 60
MUTATED = 20_000 if IS_SOAK else 1000
HANG_S = 20
GOLDEN = [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "golden").glob("*.nomad.hcl"))]
PIECES = [
    *"{}[]()\"=,.*?:\\$!-\n", "${", "%{", "~}", "<<EOT\n", "<<-X\n", "for", "if", "null", "...", "=>", "var.", "local.x",
    "upper(", "dynamic", "[*]", ".*.", "/*", "#", "\x00", "é", "\ufeff", "\r", "1e9", "0x", "9" * 400, "true ? ",
    "%{ for x in ",
]  # fmt: skip


@contextmanager
def no_hang() -> Iterator[None]:
    """Fails when what is inside doesn't come to an end."""

    def give_up(_number: int, _frame: object) -> None:
        raise AssertionError("this input hangs the parser")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_mutated_jobspecs_give_a_job_or_an_error_never_a_traceback():
    chance = random.Random(20261124)
    outcomes = {"job": 0, "error": 0}
    for number in range(MUTATED):
        text = chance.choice(GOLDEN) if number % 3 else jobspec(number, literal=False)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            cut = chance.choice([0, 0, 1, 5, 200])
            text = text[:at] + _replacement(chance, text) + text[at + cut :]
        try:
            with no_hang():
                parse_job(text)
            outcomes["job"] += 1
        except HclError as error:
            outcomes["error"] += min(error.line, error.column, 1)
    assert sum(outcomes.values()) == MUTATED
    assert min(outcomes.values()) > 0


def _replacement(chance: random.Random, text: str) -> str:
    """A piece, nothing, or a part of the same text."""
    drawn = chance.random()
    if drawn < 0.7:
        return chance.choice(PIECES)
    at = chance.randrange(len(text) + 1)
    return text[at : at + chance.randint(1, 120)] if drawn < 0.9 else ""


@pytest.mark.parametrize("part", range(10))
def test_another_parser_finds_the_same_in_built_jobs(part):
    pygohcl = pytest.importorskip("pygohcl")
    for seed in range(part, BUILT, 10):
        text = jobspec(seed, literal=True)
        assert _tree(parse_body(Source(text, "built.nomad.hcl"))) == pygohcl.loads(text), f"seed {seed}"


def _tree(body: Body) -> dict[str, Any]:
    """The body in the shape that pygohcl gives: labels as keys, what comes several times as a list."""
    found: dict[str, Any] = {name: _literal(attribute.expression) for name, attribute in body.attributes.items()}
    for block in body.blocks:
        place, last = found, block.type
        for label, _ in block.labels:
            place, last = place.setdefault(last, {}), label
        if last in place:
            others = place[last] if isinstance(place[last], list) else [place[last]]
            place[last] = [*others, _tree(block.body)]
        else:
            place[last] = _tree(block.body)
    return found


def _literal(expression: Any) -> Any:
    if hasattr(expression, "value"):
        return expression.value
    if hasattr(expression, "items") and expression.items and isinstance(expression.items[0], tuple):
        return {_literal(key): _literal(value) for key, value, *_ in expression.items}
    return [_literal(item) for item in expression.items]


@pytest.mark.parametrize("part", range(10))
def test_built_jobs_with_expressions_are_read(part):
    for seed in range(part, BUILT, 10):
        assert parse_job(jobspec(seed, literal=False)).job["ID"] is not None, f"seed {seed}"
