"""The tutorial tells every parameter and variable that the job has, and no other, with its true default."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from jobs.hcl import parse_job

TUTORIAL = (Path(__file__).parents[3] / "docs" / "tutorial" / "pipeline.md").read_text()


def documented(section: str) -> dict[str, str]:
    """Name → second column, of the table under that heading."""
    text = TUTORIAL.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|([^|]*)\|", text, flags=re.MULTILINE)
    return {
        name: value
        for names, values in rows
        for name, value in zip(re.findall(r"`(\w+)`", names), values.strip().split(", "), strict=False)
    }


def test_every_meta_is_told_with_its_default(example: Path, pipeline: Path) -> None:
    path = example / "sales-close-prediction.nomad.hcl"
    declared = parse_job(path.read_text(), filename=path.name, base_dir=example).job["ParameterizedJob"]
    told = documented("Parameters of a dispatch")
    assert told.keys() == {*declared["MetaRequired"], *declared["MetaOptional"]}
    defaults = importlib.import_module("pipeline.parameters").from_environment({})
    for name in ("epochs", "batch_size", "learning_rate", "min_auc"):
        assert told[name] == str(getattr(defaults, name))
    assert defaults.plot is True


def test_every_variable_is_told(example: Path) -> None:
    path = example / "sales-close-prediction.nomad.hcl"
    parsed = parse_job(path.read_text(), filename=path.name, base_dir=example)
    assert documented("Variables of the job").keys() == parsed.variable_names
