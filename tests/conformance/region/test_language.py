"""Built jobspecs (see tests/jobs/hcl/built.py): real Nomad makes of each the same JSON as jobs.hcl."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.hcl import parse_job
from tests.jobs.hcl.built import jobspec

COUNT = 2000 if os.environ.get("SOAK") else 60


@pytest.mark.parametrize("literal", [True, False], ids=["literal", "with expressions"])
def test_built_jobs_are_parsed_alike(federation, literal):
    version = federation.regions["us"].version()
    for seed in range(COUNT):
        text = jobspec(seed, literal=literal, version=version)
        status, _, answer = federation.raw("POST", "/v1/jobs/parse", body={"JobHCL": text})
        assert status == 200, (seed, answer, text)
        theirs = json.loads(answer)
        ours = json.loads(json.dumps(parse_job(text, allow_files=False).job))
        if version != "1.6.3":
            ours = without_newer(ours, theirs)
        assert list(_differences(ours, theirs, "")) == [], f"seed {seed}\n{text}"


def without_newer(ours, theirs):
    """Ours, without the keys that the other server doesn't know."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {key: without_newer(value, theirs[key]) for key, value in ours.items() if key in theirs}
    if isinstance(ours, list) and isinstance(theirs, list):
        return [without_newer(a, b) for a, b in zip(ours, theirs, strict=True)]
    return ours


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where they differ, and how."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from _differences(ours.get(key, "nothing"), theirs.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(mine, other, f"{path}[{number}]")
    elif ours == "nothing" and not theirs:
        return  # a field that older ones have and newer ones don't
    elif ours != theirs or type(ours) is not type(theirs):
        yield f"{path}: ours {ours!r}, Nomad's {theirs!r}"
