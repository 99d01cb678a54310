"""A run in which one node writes forged records beside honest slots: it ends, and nothing of the lies has an effect."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.honeypot import Honeypot
from tests.scenarios import lying_task
from tests.scenarios.conftest import federation
from tests.scenarios.lying_task import LIES
from tests.scenarios.project import Project, expected_keys, run_id
from tests.scenarios.test_killed import killed

pytestmark = pytest.mark.slow

SLOTS = len(LIES) + 6
GC = ("index", "gc", "--keep", "last=1", "--grace", "0h", "--yes")


@pytest.fixture(scope="module")
def honeypot() -> Iterator[Honeypot]:
    """Whoever asks it was led astray."""
    made = Honeypot()
    yield made
    made.close()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own: what is forged stays in its stores."""
    with federation(tmp_path_factory.mktemp("lies") / "attacked") as up:
        up.ran("dispatch", "--job", up.job("honest"), "--regions", "us,eu", "--version", "1")
        yield up


@pytest.fixture(autouse=True)
def own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person's shell holds, and no stranger may get."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=planted")


def lying_job(project: Project, honeypot: Honeypot, name: str) -> str:
    """A job whose tasks in us lie, each lie once."""
    (project.root / f"{name}-told").mkdir()
    script = f"exec {sys.executable} {Path(lying_task.__file__)} {honeypot.address} {project.root / f'{name}-told'}"
    return project.job(name, script, cpu_mhz=500)


def artifacts(project: Project) -> dict[str, str]:
    """All files of all artifacts, by the hash of what is in them."""
    files = (path for path in (project.root / "stores").rglob("artifacts/**/*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_lies_had_no_effect(project: Project, run: str, job: str, version: str, honeypot: Honeypot) -> None:
    """Every slot has its one honest result, each lie its failed attempt with the reason, and the index goes on."""
    assert project.committed(run) == expected_keys(SLOTS)
    rows = project.rows("--run", run)
    assert {(row["job"], row["version"], row["state"]) for row in rows} == {(job, version, "committed")}
    shown = project.ran("runs", "show", run, "--json").json
    failed = [one for slot in shown["slots"] for one in slot["attempts"] if one["reason"]]
    assert {one["region"] for one in failed} == {"us"}
    assert len(failed) == len(LIES)
    untold = [lie for lie in LIES if not any(lie in one["reason"] for one in failed)]
    assert not untold, [one["reason"] for one in failed]
    assert all(one["reason"].startswith("NoResult: ") for one in failed)
    text = project.ran("runs", "show", run).out
    assert "NoResult: its record says job 'another'" in text

    synced = project.fedml("index", "sync", "--yes")
    assert "Traceback" not in synced.err
    assert {row["alloc_id"] for row in project.rows("--run", run)} == {row["alloc_id"] for row in rows}
    project.ran("dispatch", "--job", f"{job}.nomad.hcl", "--regions", "eu")
    (later,) = project.rows("--job", job, "--version", str(int(version) + 1))
    before = artifacts(project)
    for _ in range(2):
        project.ran(*GC)
    own = {row["alloc_id"] for row in rows}
    assert artifacts(project) == {path: text for path, text in before.items() if not own & set(path.split("/"))}
    assert any(later["alloc_id"] in path for path in artifacts(project))
    assert honeypot.requests == []
    assert not list(project.root.rglob("escaped"))


def test_a_node_that_writes_forged_records_costs_only_its_own_attempts(attacked: Project, honeypot: Honeypot) -> None:
    honeypot.requests.clear()
    job = lying_job(attacked, honeypot, "lied")
    done = attacked.fedml("dispatch", "--job", job, "--regions", "us,eu", "-n", str(SLOTS), "--version", "4")
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert_lies_had_no_effect(attacked, run_id(done.err), "lied", "4", honeypot)


def test_a_coordinator_that_dies_among_forged_records_is_resumed(attacked: Project, honeypot: Honeypot) -> None:
    honeypot.requests.clear()
    job = lying_job(attacked, honeypot, "resumed")
    said = killed(
        attacked,
        'after:put "fail":3',
        "dispatch",
        "--job",
        job,
        "--regions",
        "us,eu",
        "-n",
        str(SLOTS),
        "--version",
        "4",
    )
    run = run_id(said)
    resumed = attacked.fedml("runs", "resume", run)
    assert resumed.code == 0, resumed.err
    assert f"done, {SLOTS} of {SLOTS} slots" in resumed.err
    assert_lies_had_no_effect(attacked, run, "resumed", "4", honeypot)
    children = [child for region in ("us", "eu") for child in attacked.children(region, "resumed")]
    names = [[child["Meta"][f"fedml_{name}"] for name in ("run", "slot", "attempt")] for child in children]
    attempts = Counter((slot, attempt) for one, slot, attempt in names if one == run)
    assert set(attempts.values()) == {1}
