"""The story in Python on three regions: dispatch, wait, look, promote, get; cancel, retry, compare; what a script leaves."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

import federation
from federation.errors import RunNotOver, UsageError
from tests.scenarios.project import Project, gate


def test_dispatch_wait_promote_and_get(project: Project) -> None:
    job = project.job("from-python")
    with federation.open(project.root) as fed:
        planned = fed.plan(slots=3, job=str(project.root / job))
        assert sum(placement.slots for placement in planned.plan.placements) == 3
        assert repr(planned).startswith(f"<plan of from-python version {planned.version}, 3 slots: ")
        assert "<td>onprem</td>" in planned._repr_html_()

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


def test_cancel_retry_and_compare(project: Project, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    script = (
        f"test $NOMAD_META_fedml_slot = 0 -o ! -e {broken} || exit 7; mkdir out; echo x > out/model; "
        'echo "{\\"score\\": $NOMAD_META_fedml_slot}" > out/metrics.json; exec fedml publish out'
    )
    job = str(project.root / project.job("python-mended", script))
    with federation.open(project.root) as fed:
        run = fed.dispatch(2, job=job, meta={"epochs": 3}, max_attempts=1, name="mended")
        assert run.wait().state == "failed"
        assert repr(run) == f"<run {run.id}, version {run.version}, failed: 1 of 2 results in the index, 1 slot failed>"
        with pytest.raises(UsageError, match=r"slot 0 of run .* hasn't failed"):
            run.retry([0])
        broken.unlink()
        assert run.retry() == (1,)
        assert run.wait().state == "done"
        assert str(run.progress) == "2 of 2 results in the index"
        with pytest.raises(UsageError, match=r"no slot of run .* has failed"):
            fed.retry(run.id)
        assert fed.cancel("mended") == "done"

        compared = fed.index.compare(sorted(run.results(), key=lambda row: row.slot))
        [score] = [line for line in compared.differences if line.section == "metrics"]
        assert (score.name, score.values) == ("score", (0, 1))
        assert "metrics" in repr(compared)
        assert "<td>score</td>" in compared._repr_html_()

        [row] = fed.runs(job="python-mended")
        assert (row.run, row.state, row.results) == (run.id, "done", "2/2")
        assert run.id in repr(fed.runs(limit=50, author=row.author))
        assert run.id in fed.runs(state="done")._repr_html_()
        assert fed.runs(job="nobody's")._repr_html_() == "<p>0 runs</p>"
        with pytest.raises(UsageError, match="no state 'over'"):
            fed.runs(state="over")


def test_a_run_that_is_waited_for_in_vain_is_cancelled(project: Project, tmp_path: Path) -> None:
    with gate(tmp_path / "gate") as closed, federation.open(project.root) as fed:
        script = f"while test -e {closed}; do sleep 0.2; done"
        run = fed.dispatch(1, job=str(project.root / project.job("python-waits", script)))
        with pytest.raises(TimeoutError, match=r"is not over after 0.1 s: 0 of 1 results") as over:
            run.wait(timeout_s=0.1)
        assert isinstance(over.value, RunNotOver)
        assert over.value.__notes__ == ["→ the run continues: call wait() again"]
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            run.wait()
        assert (run.is_driven, run.state) == (True, "running")
        assert fed.resume(run.id) is run
        assert fed.cancel(run.id[-8:], "wrong data") == "cancelled"
        assert run.state == "cancelled"
        assert run.wait().state == "cancelled"
        assert repr(run.wait()) == f"<run {run.id}: cancelled, 0 of 1 slot done>"
        assert [row.state for row in fed.runs(job="python-waits")] == ["cancelled"]
        with pytest.raises(UsageError, match="was cancelled"):
            run.retry()


def test_a_notebook_sees_the_progress(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    displayed: list[str] = []

    class Handle:
        def update(self, what: Any) -> None:
            displayed.append(what._repr_html_())

    def display(what: Any, *, display_id: bool) -> Handle:
        displayed.append(what._repr_html_())
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    with federation.open(project.root) as fed:
        run = fed.dispatch(2, job=str(project.root / project.job("python-notebook")))
        run.wait()
        assert "2 of 2 results" in displayed[-1]
        assert len(displayed) == len(set(displayed))
        shown = len(displayed)
        run.wait(progress=False)
        assert len(displayed) == shown


SCRIPT = """
import sys, federation
with federation.open(sys.argv[1]) as fed:
    run = fed.dispatch(1, job=sys.argv[2])
    print(run.id, flush=True)
"""


def test_a_script_that_leaves_its_run_is_told(project: Project, tmp_path: Path) -> None:
    with gate(tmp_path / "gate") as closed:
        script = f"while test -e {closed}; do sleep 0.2; done; echo x > model; exec fedml publish model"
        job = str(project.root / project.job("python-left", script))
        left = subprocess.run(
            [sys.executable, "-c", SCRIPT, project.root, job],
            env=project.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        run = left.stdout.strip()
        assert f"Run {run} isn't over" in left.stderr
        assert f"fedml runs resume {run}" in left.stderr
    with federation.open(project.root) as fed:
        resumed = fed.resume(run)
        resumed.wait()
        assert str(resumed.progress) == "1 of 1 results in the index"
