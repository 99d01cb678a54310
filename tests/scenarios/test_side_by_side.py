"""Two projects on one machine don't meet."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.conftest import federation
from tests.scenarios.project import Project


def test_two_projects_side_by_side_do_not_meet(project: Project, tmp_path: Path) -> None:
    """Same job, same version, at once: each has its own regions, index and stores, and ends alone."""
    with federation(tmp_path / "twin") as twin:
        both = (project, twin)
        for one in both:
            one.job("shared")
        running = [one.started("dispatch", "--job", "shared.nomad.hcl", "--version", "4") for one in both]
        for dispatch in running:
            said = dispatch.communicate(timeout=300)[1]
            assert dispatch.returncode == 0, said
        rows = [one.rows("--job", "shared") for one in both]
        assert [len(found) for found in rows] == [3, 3]
        assert not {row["run"] for row in rows[0]} & {row["run"] for row in rows[1]}
        for one, found in zip(both, rows, strict=True):
            assert all(row["url"].startswith(f"file://{one.root}/stores/") for row in found)
            assert sum(len(one.children(region, "shared")) for region in ("us", "eu", "onprem")) == 3
        twin.ran("dev", "down", "--purge", "--yes")
        assert project.fedml("plan", "--job", "shared.nomad.hcl").code == 0
    assert {one["state"] for one in project.ran("dev", "status", "--json").json["servers"]} == {"ready"}
