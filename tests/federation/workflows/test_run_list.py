"""`fedml runs list`: which runs, why none, and a table whose ids can be copied at every width."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from federation.app import App
from federation.cli import run
from federation.config.load import load
from federation.home import RunKeys
from federation.index import Index
from federation.manifest import Manifest, new_run_id
from federation.run.lease import Lease
from federation.ui import run_view
from federation.workflows.prune import Pruned
from federation.workflows.run_reader import RunReader
from regions.storage import open_store
from regions.storage.store import Create

TOML = """
[federation]
home = "file://./home"

[regions.us]
addresses = ["http://127.0.0.1:9"]
store = "file://./us"
[regions.us.datacenters.dc1]
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five runs of one minute, the oldest first: of two jobs and two authors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fedml.toml").write_text(TOML)
    config = load(tmp_path / "fedml.toml")
    runs = [new_run_id(1_790_000_000_000 + number) for number in range(5)]
    authors = ("ann@laptop", "ann@laptop", "runner@ci-build-host-17.cluster.example.com")
    for number, one in enumerate(runs):
        index = Index(open_store(config.home), cache_dir=tmp_path / "cache", author=authors[number % 3])
        job = "forecast" if number == 4 else "sales-close-prediction-europe"
        index.open_run(one, job, None, "spec", 24, 24, name="nightly-learning-rates" if number == 1 else "")
        if number < 2:
            index.close_run(one, "failed" if number else "done", "1 of 24 slots failed" if number else "")
    return runs


def listed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[list[str]], str]:
    assert run(["runs", "list", *arguments]) == code
    shown = capsys.readouterr()
    return [line.split() for line in shown.out.splitlines()], shown.err.strip()


def test_a_line_has_an_id_that_names_the_run_in_every_command(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    heading, *lines = listed(capsys)[0]
    assert heading == ["run", "name", "job", "version", "author", "state", "results", "opened"]
    assert [line[0] for line in lines] == [one[-8:] for one in reversed(opened)]
    assert lines[3][1:7] == [
        "nightly-learning-rates",
        "sales-close-prediction-europe",
        "2",
        "ann@laptop",
        "failed",
        "0/24",
    ]
    assert lines[0][1] == "-"
    for named in (lines[3][0], "nightly-learning-rates", "last-3"):
        assert run(["runs", "show", named]) == 1
        err = capsys.readouterr().err
        assert f"run {opened[1]} has no manifest" in err
        assert err.endswith("dispatched, and is failed (1 of 24 slots failed)\n  → dispatch again\n")


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (("--state", "open"), [4, 3, 2]),
        (("--state", "failed"), [1]),
        (("--state", "undriven"), [4, 3, 2]),
        (("--state", "undriven", "--job", "forecast"), [4]),
        (("--author", "ann"), [4, 3, 1, 0]),
        (("--author", "ann@laptop", "--job", "forecast"), [4]),
        (("--job", "sales-close-prediction-europe", "--limit", "2"), [3, 2]),
        (("--limit", "9"), [4, 3, 2, 1, 0]),
    ],
)
def test_the_list_is_narrowed(
    opened: list[str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...], numbers: list[int]
) -> None:
    assert run(["runs", "list", "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in document["runs"]] == [opened[number] for number in numbers]
    assert document["revision"] == 7
    assert {row["author"] for row in document["runs"]} <= {"ann@laptop", "runner@ci-build-host-17.cluster.example.com"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--job", "forcast"), "The index has no run of job 'forcast': did you mean 'forecast'?"),
        (("--author", "zoe"), "The index has no run of author 'zoe'. There are: ann, ann@laptop, runner, "),
        (("--job", "forecast", "--state", "done"), "No run matches all of these options"),
    ],
)
def test_it_is_said_why_there_is_none(
    opened: list[str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...], says: str
) -> None:
    lines, err = listed(capsys, *options)
    assert lines == []
    assert err.startswith(says)


def test_older_runs_that_are_left_out_are_counted_and_a_state_is_one_of_five(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys, "--limit", "2")[1].endswith("3 older runs not shown (--limit 2)")
    assert (
        "Error: --state running: a run is open, undriven, done, failed or cancelled"
        in listed(capsys, "--state", "running", code=1)[1]
    )


def test_a_run_that_somebody_drives_is_not_listed_as_undriven(
    opened: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = load(tmp_path / "fedml.toml")
    folder = config.cache_dir / "runs"
    with Lease(open_store(config.home), opened[3], author="ann@laptop", folder=folder, lease_s=60) as lease:
        lease.acquire()
        assert [line[0] for line in listed(capsys, "--state", "undriven")[0][1:]] == [opened[4][-8:], opened[2][-8:]]
        assert len(listed(capsys, "--state", "undriven", "--limit", "1")[0]) == 2


@pytest.mark.parametrize("columns", [72, 80, 100, 250])
def test_ids_states_and_counts_are_whole_at_every_width(
    opened: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(run_view, "out", lambda: SimpleNamespace(width=columns))
    assert run(["runs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for line, one in zip(lines[1:], reversed(opened), strict=True):
        assert line.startswith(f"{one[-8:]}  ")
        assert ("  -  " if "done" in line else "  0/24 ") in line
        assert {"undriven", "done", "failed"} & set(line.split())


def test_pruning_never_takes_yes_together_with_a_dry_run(opened: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "prune", "--yes", "--dry-run"]) == 1
    assert "--yes and --dry-run exclude each other" in capsys.readouterr().err


def test_what_is_pruned_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_view, "out", lambda: SimpleNamespace(width=80))
    pruned = Pruned("0" * 36, "a-job-with-a-long-name-" * 4, "2026-11-24T10:00:00.123456Z", 1200, 987_654_321)
    run_view.show_pruned([pruned], {pruned.run: "9c41d07e"})
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "job", "closed", "objects", "size"]
    assert len(line) <= 80
    assert line.startswith("9c41d07e  a-job")
    assert line.endswith("2026-11-24 10:00Z  1200     987.7 MB")


def test_the_regions_of_a_run_are_known_as_soon_as_it_has_its_manifest(opened: list[str], tmp_path: Path) -> None:
    with closing(App(load(tmp_path / "fedml.toml"))) as app:
        reader = RunReader(app)
        rows = app.index.runs(run=opened[0])
        assert reader.regions(rows) == {opened[0]: ()}
        manifest = Manifest(
            run=opened[0], job="train", job_file="", spec_hash="5ec", version="1", slots=1, groups={"g": 1},
            regions=("us",), one_each=False, meta={}, payload=b"", policy="spread", results="publish", max_attempts=1,
            author="ann@laptop", created="2026-11-25T00:00:00Z",
        )  # fmt: skip
        app.home.put(RunKeys(opened[0]).manifest, manifest.to_json(), Create())
        assert reader.regions(rows) == {opened[0]: ("us",)}
