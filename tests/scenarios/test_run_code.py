"""`fedml run` in an embedded federation of two regions, made with `fedml init --bare` in a folder that has its own files."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import federation
from tests.scenarios.conftest import running
from tests.scenarios.project import Project, assert_refused

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("run-code")]

TRAIN = """\
import json, os, sys
from pathlib import Path
params = json.loads(Path(os.environ["FEDML_PARAMS"]).read_text())
output = Path(os.environ["FEDML_OUTPUT"])
(output / "metrics.json").write_text(json.dumps({"loss": params.get("lr", 1) / params.get("depth", 1)}))
(output / "said.json").write_text(json.dumps({"argv": sys.argv[1:], "params": params, "code": CODE}))
"""
BLOCK = "# /// script\n# dependencies = []\n# [tool.fedml]\n# cpu = 200\n# memory = 64\n# ///\n"


def train(code: str, *, block: str = "") -> str:
    """A script that publishes what it got, and `code`, by which it is known."""
    return f"{block}CODE = {code!r}\n{TRAIN}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A folder with a README, whose two regions are up."""
    root = tmp_path_factory.mktemp("own") / "digits"
    root.mkdir()
    (root / "README.md").write_text("mine")
    project = Project(root)
    project.ran("init", "--bare")
    assert sorted(path.name for path in root.iterdir()) == ["README.md", "fedml.toml"]
    assert (root / "README.md").read_text() == "mine"
    toml = root / "fedml.toml"
    toml.write_text(toml.read_text() + "\n[run]\ncpu = 200\nmemory = 64\n")
    with running(project):
        yield project


def said(project: Project, version: str, job: str) -> list[dict[str, object]]:
    """What the results of a version hold, by slot."""
    rows = project.ran("index", "list", "--version", version, "--job", job, "--sort", "slot", "--json").json["results"]
    found = []
    for row in rows:
        folder = project.root / f"got-{row['alloc_id']}"
        project.ran("index", "get", row["alloc_id"], "--to", str(folder))
        found.append(json.loads((folder / "said.json").read_text()))
        shutil.rmtree(folder)
    return found


def runs(project: Project, job: str) -> list[dict[str, object]]:
    """The runs of a job, newest first."""
    listed: list[dict[str, object]] = project.ran("runs", "list", "--job", job, "--json").json["runs"]
    return listed


def has_begun(project: Project, job: str) -> bool:
    """Whether the newest run of the job has dispatched a slot. It is in the index before its manifest is written."""
    if not runs(project, job):
        return False
    shown = project.fedml("runs", "show", "last", "--json")
    return shown.code == 0 and bool(shown.json["slots"][0]["attempts"])


def traces(project: Project) -> object:
    """All that a command could have left half-done: objects of the stores, jobs of the regions."""
    stores = project.root / ".fedml" / "stores"
    return sorted(stores.rglob("*")), [project.jobs(region) for region in ("us", "eu")]


def test_a_script_is_swept_over_and_the_best_model_is_used(bare: Project) -> None:
    bare.write("sweep.py", train("one", block=BLOCK))
    done = bare.ran("run", "sweep.py", "--sweep", "lr=0.1,1e-2", "--sweep", "depth=3,5", "-p", "seed=7")
    for line in (
        "Code ",
        "sweep.py, 1 file",
        "200 MHz, 64 MB a slot",
        "put into 2 stores",
        "4 slots of sweep, version 1",
        "See them:  fedml index list --job sweep --version 1",
    ):
        assert line in done.err
    assert "sweep-" not in done.err  # Nomad's jobs are nothing that a person who runs code needs
    assert "job registered" not in done.err
    rows = bare.ran("index", "list", "--version", "1", "--job", "sweep", "--sort", "metrics.loss", "--json").json[
        "results"
    ]
    assert [row["params"] for row in rows] == [
        {"depth": depth, "lr": lr, "seed": "7"}
        for lr, depth in (("1e-2", "5"), ("1e-2", "3"), ("0.1", "5"), ("0.1", "3"))
    ]
    assert {row["region"] for row in rows} == {"us", "eu"}
    assert rows[0]["metrics"] == {"loss": 0.002}

    bare.ran("index", "get", "sweep@1", "--sort", "metrics.loss", "--to", "best")
    best = json.loads((bare.root / "best" / "said.json").read_text())
    shutil.rmtree(bare.root / "best")
    assert best["params"] == {"depth": 5, "lr": 0.01, "seed": 7}
    assert best["argv"] == ["--depth", "5", "--lr", "1e-2", "--seed", "7"]

    shown = bare.ran("runs", "show", "last", "--json").json
    assert shown["code"]["command"] == ["python", "sweep.py"]
    assert shown["code"]["params"] == {"seed": "7"}
    assert [slot["params"] for slot in shown["slots"]][3] == {"lr": "1e-2", "depth": 5}
    assert "put into" not in bare.ran("run", "sweep.py", "--sweep", "lr=1,2").err


def test_a_folder_runs_its_command_and_a_dirty_tree_is_recorded(bare: Project) -> None:
    folder = bare.root / "trainer"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "__main__.py").write_text(train("folder"))
    (folder / "package" / "__init__.py").touch()
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    (folder / "package" / "__init__.py").write_text("# changed\n")
    bare.ran(
        "run", "--code", "trainer", "-n", "1", "-p", "lr=2", "--pass", "env", "--", "python", "-m", "package", "{lr}"
    )
    [one] = said(bare, "1", "trainer")
    assert one["argv"] == ["2"]
    shown = bare.ran("runs", "show", "last", "--json").json
    assert (shown["code"]["git_dirty"], len(shown["code"]["git_commit"]), shown["code"]["file_count"]) == (True, 40, 2)
    assert " with changes: python -m package" in bare.ran("runs", "show", "last").out
    home = bare.root / ".fedml" / "stores" / "home" / "runs" / shown["run"]
    assert b"+# changed" in gzip.decompress((home / "code.diff.gz").read_bytes())


def test_code_that_is_changed_while_a_run_goes_on_is_not_the_runs(bare: Project) -> None:
    gate = bare.root / "gate"
    waits = f"import time\nwhile not __import__('os').path.exists({str(gate)!r}): time.sleep(0.1)\n"
    bare.write("kept.py", waits + train("before"))
    process = bare.started("run", "kept.py", "-n", "3", "--regions", "us", "--cpu", "3000")
    while not runs(bare, "kept") or not bare.fedml("runs", "show", "last", "--json").json["slots"][0]["attempts"]:
        time.sleep(0.2)
    bare.write("kept.py", "raise SystemExit(1)\n")
    gate.touch()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert [one["code"] for one in said(bare, "1", "kept")] == ["before"] * 3


def test_two_people_with_different_trees_do_not_meet(bare: Project) -> None:
    for who in ("ann", "bob"):
        (bare.root / who).mkdir()
        (bare.root / who / "shared.py").write_text(train(who))
    started = {
        who: bare.started("run", f"{who}/shared.py", "-n", "3", "--version", who, "--cpu", "1000")
        for who in ("ann", "bob")
    }
    for process in started.values():
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    for who in started:
        assert [one["code"] for one in said(bare, who, "shared")] == [who] * 3


def test_a_failed_run_is_retried_resumed_and_repeated_with_its_code_or_the_present_one(bare: Project) -> None:
    bare.write("flaky.py", "import sys\nraise ValueError('bad ' + ' '.join(sys.argv[1:]))\n")
    done = bare.fedml("run", "flaky.py", "--sweep", "lr=1,2", "--retries", "0")
    assert done.code == 2
    assert "(lr=2): the command ended with exit code 1: ValueError: bad --lr 2" in done.err
    run = str(runs(bare, "flaky")[0]["run"])
    bare.write("flaky.py", train("mended"))
    for again in (("runs", "retry", run), ("dispatch", "--failed-of", run)):
        repeated = bare.fedml(*again)
        assert repeated.code == 2
        assert "ValueError: bad --lr 2" in repeated.err
    mended = bare.ran("run", "flaky.py", "--failed-of", run, "--version", "9")
    assert "2 of 2 slots of run" in mended.err
    assert [one["params"] for one in said(bare, "9", "flaky")] == [{"lr": 1}, {"lr": 2}]


def test_another_process_resumes_an_interrupted_run(bare: Project) -> None:
    bare.write("slow.py", "import time; time.sleep(3)\n" + train("first"))
    process = bare.started("run", "slow.py", "-n", "4", "--cpu", "4000")
    while not has_begun(bare, "slow"):
        time.sleep(0.2)
    process.kill()
    process.wait()
    bare.write("slow.py", "raise SystemExit(1)\n")
    bare.ran("runs", "resume", str(runs(bare, "slow")[0]["run"]))
    assert [one["code"] for one in said(bare, "1", "slow")] == ["first"] * 4


def test_a_jobspec_is_shown_and_written_and_dispatched(bare: Project) -> None:
    bare.write("grown.py", train("grown"))
    assert 'job "grown" {' in bare.ran("run", "grown.py", "--show").out
    bare.ran("run", "grown.py", "--write", "grown.nomad.hcl")
    bare.ran("dispatch", "--job", "grown.nomad.hcl", "--sweep", "any=x,y")
    assert [one["params"] for one in said(bare, "1", "grown")] == [{"any": "x"}, {"any": "y"}]
    (bare.root / "grown.nomad.hcl").unlink()


def test_the_same_in_python(bare: Project) -> None:
    bare.write("python.py", train("python"))
    with federation.open(bare.root) as fed:
        run = fed.run(bare.root / "python.py", ["--x", "1"], sweep={"lr": [0.5, 0.25]}, param={"depth": 2})
        assert run.wait(timeout_s=120).state == "done"
        assert sorted(row.params["lr"] for row in run.results()) == ["0.25", "0.5"]
        folder = bare.root / "in-python"
        folder.mkdir()
        (folder / "train.py").write_text(train("folder"))
        again = fed.run(code=folder, command=["python", "train.py"], slots=1, cpu=100)
        assert again.wait(timeout_s=120).state == "done"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["no.py"], ["there is no script no.py"]),
        (["."], [". is a folder"]),
        (["README.md"], ["README.md is not a Python script"]),
        (["broken.py"], ["broken.py:1: syntax error", "nothing was sent"]),
        (["mistyped.py"], ["mistyped.py:3: [tool.fedml] memroy: unknown key", "did you mean 'memory'?"]),
        (["good.py", "--epochs", "3"], ["No such option: --epochs", "after --"]),
        (["good.py", "-p", "a b=1"], ["'a b' is not a valid name of a parameter"]),
        (["good.py", "-p", "api_key=1"], ["looks like a credential"]),
        (["good.py", "--regions", "mars"], ["there is no region 'mars'"]),
        (["good.py", "--device", "x"], ["--device 'x' is not of the form"]),
        (["good.py", "--show", "--write", "x.nomad.hcl"], ["exclude each other"]),
    ],
)
def test_each_mistake_is_one_clear_error_before_anything_is_sent(
    bare: Project, arguments: list[str], texts: list[str]
) -> None:
    bare.write("broken.py", "def f(:\n")
    bare.write("mistyped.py", textwrap.dedent("# /// script\n# [tool.fedml]\n# memroy = 2\n# ///\n"))
    bare.write("good.py", train("good"))
    before = traces(bare)
    assert_refused(bare.fedml("run", *arguments), *texts)
    assert traces(bare) == before


def test_a_slot_that_no_node_can_take_is_refused_with_the_reason(bare: Project) -> None:
    bare.write("good.py", train("good"))
    before = traces(bare)
    assert_refused(bare.fedml("run", "good.py", "--gpu", "1"), "no node has device nvidia/gpu", "no region can", code=2)
    assert traces(bare) == before


def test_without_a_project_the_first_commands_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    assert_refused(Project(tmp_path).fedml("run", "train.py"), "no fedml.toml", "fedml init --bare && fedml dev up")


def test_regions_that_are_down_are_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.ran("init", "--bare")
    project.write("train.py", "print()\n")
    assert_refused(project.fedml("run", "train.py"), "fedml dev up")


def test_failed_slots_run_with_their_code_in_a_region_that_never_had_it(bare: Project) -> None:
    mended = bare.root / "mended"
    script = bare.root / "moves.py"
    script.write_text(f"{train('moved')}if not Path({str(mended)!r}).exists():\n    sys.exit('not yet')\n")
    first = bare.fedml("run", "moves.py", "--retries", "0", "--regions", "us", "-p", "lr=3")
    assert first.code == 2, first.err
    mended.touch()
    script.unlink()
    run = str(runs(bare, "moves")[0]["run"])
    again = bare.fedml("dispatch", "--failed-of", run, "--regions", "eu")
    assert again.code == 0, again.err
    (found,) = said(bare, str(runs(bare, "moves")[0]["version"]), "moves")
    assert found["params"] == {"lr": 3}
