"""A result of one's own code is made again from what the stores hold, and its metrics are compared."""

from __future__ import annotations

from tests.scenarios.project import Project

SCRIPT = """
import json, os, pathlib
lr = json.load(open(os.environ["FEDML_PARAMS"]))["lr"]
output = pathlib.Path(os.environ["FEDML_OUTPUT"])
noise = pathlib.Path({noise!r})
noise.write_text(noise.read_text() + "x" if noise.exists() else "x")
metrics = {{"loss": 1 - lr, "runs": len(noise.read_text())}}
(output / "metrics.json").write_text(json.dumps(metrics))
"""


def test_a_result_is_reproduced_from_the_stores_alone(project: Project) -> None:
    script, noise = project.root / "reproduced.py", project.root / "noise"
    script.write_text(SCRIPT.format(noise=str(noise)))
    regions = ("--regions", "us")
    project.ran("run", "reproduced.py", "--sweep", "lr=0.1,0.25", *regions)
    script.unlink()  # only the stores have it now

    first = project.ran("index", "list", "--where", "job = 'reproduced' and params.lr = 0.25", "--json").json[
        "results"
    ][0]
    same = project.fedml("index", "reproduce", first["alloc_id"], "--metric", "loss", "--json")
    assert same.code == 0, same.err
    assert f"Again: python reproduced.py; code {first['code'][:12]}" in same.err
    compared = same.json_lines[-1]
    assert compared["agrees"]
    assert compared["metrics"] == [{"name": "loss", "first": 0.75, "again": 0.75, "agrees": True}]
    again = project.ran("index", "show", compared["alloc_ids"][1], "--json").json["results"][0]
    assert (again["code"], again["params"]) == (first["code"], first["params"])
    assert again["version"] != first["version"]
    assert again["region"] == "us"

    other = project.fedml("index", "reproduce", first["alloc_id"])
    assert other.code == 1, other.err
    assert [line.split() for line in other.out.splitlines() if "differs" in line] == [
        ["runs", str(first["metrics"]["runs"]), "4", f"+{4 - first['metrics']['runs']}", "differs"]
    ]
    assert "differs from" in other.err
    assert project.fedml("index", "reproduce", first["alloc_id"], "--metric", "runs", "--tolerance", "0.9").code == 0
