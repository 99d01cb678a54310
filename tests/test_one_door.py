"""JSON is parsed at one door, `jobs.foreign`: every other reader is listed here with what it reads."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
ALLOWED = {
    # The door.
    "jobs/foreign.py": 2,
    # What this machine's own catalog holds: it is the fold of entries that went through the door.
    "federation/index/catalog/catalog.py": 1,
    "federation/index/catalog/history.py": 4,
    "federation/index/maintenance/recovery.py": 1,
    "federation/index/time_travel.py": 1,
    "federation/index/columns.py": 3,
    # What a person wrote into files of the project, with an error of its own that names line and column.
    "jobs/nomad_json/decode.py": 1,
    "jobs/params/file.py": 1,
    "jobs/hcl/variables.py": 1,
    "jobs/hcl/functions/encoding.py": 1,
    # Rows that this process read from such a file.
    "jobs/params/checks.py": 1,
    # A second time, after the door has checked it: numbers as they were written.
    "jobs/code_run.py": 1,
    # The development federation, on this machine only.
    "federation/dev/launch.py": 1,
    "federation/config/dev_state.py": 1,
    "federation/dev/s3_server.py": 2,
    "federation/dev/servers.py": 1,
    # The bundled example reads its own files.
    "jobs/examples/sales_close_prediction/pipeline/predict.py": 1,
    "jobs/examples/sales_close_prediction/pipeline/test.py": 2,
}
EMBEDDED_REGION = "regions/local/"
"""A server of its own, for development: what it reads is not read by the programs that talk to it."""


def parsers(tree: ast.AST) -> int:
    """Calls of `json.load`, `json.loads` and of a response's `.json()`, and imports of the first two by name."""
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("load", "loads", "JSONDecoder", "raw_decode"):
            found += isinstance(node.value, ast.Name) and node.value.id == "json"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "json":
            found += not node.args
        elif isinstance(node, ast.ImportFrom) and node.module == "json":
            found += 1
    return found


def test_no_json_is_parsed_beside_the_door() -> None:
    found: Counter[str] = Counter()
    for package in ("federation", "regions", "jobs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(EMBEDDED_REGION) and (count := parsers(ast.parse(path.read_bytes()))):
                found[name] = count
    assert dict(found) == ALLOWED, "parse foreign JSON with jobs.foreign.parse_json, or say here why not"


def test_the_test_sees_every_way_to_parse() -> None:
    for text in ("json.loads(x)", "json.load(x)", "answer.json()", "from json import loads", "map(json.loads, x)"):
        assert parsers(ast.parse(text)) == 1, text
