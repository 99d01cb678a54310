"""The story in Python on three regions: dispatch, wait, look, promote, get."""

from __future__ import annotations

import pytest

import federation
from federation.errors import UsageError
from tests.scenarios.project import Project

pytestmark = pytest.mark.xdist_group("scenarios")


def test_dispatch_wait_promote_and_get(project: Project) -> None:
    job = project.job("from-python")
    with federation.open(project.root) as fed:
        planned = fed.plan(slots=3, job=str(project.root / job))
        assert sum(placement.slots for placement in planned.plan.placements) == 3

        run = fed.dispatch(3, version="7", job=str(project.root / job))
        outcome = run.wait(timeout_s=120)

        assert (outcome.state, outcome.done, run.state, run.version) == ("done", 3, "done", "7")
        assert len(run.results()) == 3
        assert "version 7, slot 1" in "".join(piece.text for piece in run.logs(1))
        with pytest.raises(UsageError, match="there is no slot 9"):
            next(run.logs(9))
        best = fed.index.list("version = 7 and job = 'from-python'", limit=1)[0]
        fed.index.tag("from-python-best", best.alloc_id)
        assert fed.index.get("from-python-best").is_dir()
        again = fed.resume(run.id)
        assert again.wait(timeout_s=60).state == "done"
    assert project.ran("index", "show", "from-python-best", "--json").json["results"][0]["alloc_id"] == best.alloc_id
