"""The command `fedml publish`: what it prints, and how it takes metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer

from federation.cli.publish import register
from federation.errors import UsageError
from regions.storage.url import folder_url


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    environ = {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_ALLOC_DIR": str(tmp_path / "alloc"),
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "NOMAD_META_model_version": "4",
        "FEDML_STORES": json.dumps({"dc1": folder_url(tmp_path / "store")}),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.bin").write_bytes(b"w" * 1500)
    app = typer.Typer()
    register(app)
    app.command(name="other")(lambda: None)
    return app


def run(app: typer.Typer, *arguments: str | Path) -> None:
    app(["publish", *map(str, arguments)], standalone_mode=False)


def test_it_says_what_is_where(app: typer.Typer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(app, tmp_path / "model")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Published train version 4, slot 0, allocation 7d1c7a2e"
    assert lines[1] == "  model.bin  1.5 kB"
    assert lines[2].startswith(
        f"  1 file, 1.5 kB in {folder_url(tmp_path / 'store')}/artifacts/nomad:us:train~2Fdispatch-1-a/"
    )
    assert lines[3].startswith(f"  record {folder_url(tmp_path / 'store')}/results/")
    run(app, tmp_path / "model")
    assert capsys.readouterr().out.splitlines()[0].startswith("Already published, nothing sent: train version 4")


def test_the_reference_shows_its_real_output(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(__file__).parents[3].joinpath("docs/reference/stores.md").read_text(encoding="utf-8")
    shown = text.partition("$ fedml publish model\n")[2].partition("```")[0].splitlines()
    for name, value in {"fedml_run": "0190", "fedml_slot": "0", "fedml_attempt": "1"}.items():
        monkeypatch.setenv(f"NOMAD_META_{name}", value)
    (tmp_path / "model/metrics.json").write_text('{"auc": 0.71}\n')
    run(app, tmp_path / "model")
    lines = capsys.readouterr().out.replace(folder_url(tmp_path / "store"), "file:///srv/us").splitlines()
    assert len(lines) == len(shown)
    for line, pattern in zip(lines, shown, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line)


def test_many_files_are_summed(app: typer.Typer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(24):
        (tmp_path / f"model/{number:02d}").write_bytes(b"")
    run(app, tmp_path / "model")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    assert lines[11] == "  … and 15 more"
    assert lines[12].startswith("  25 files, 1.5 kB in ")


def test_json_and_typed_metrics(app: typer.Typer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = ["auc=0.5", "n=3", "ok=true", "loss=nan", "name=a=b"]
    run(app, tmp_path / "model", "--json", *(word for text in metrics for word in ("--metric", text)))
    told = json.loads(capsys.readouterr().out)
    assert told["record"]["metrics"] == {"auc": 0.5, "n": 3, "ok": True, "loss": {"$float": "nan"}, "name": "a=b"}
    assert told["was_there"] is False
    assert set(told) == {"schema_version", "was_there", "store_url", "record_url", "artifact_url", "record"}


def test_ignore_patterns(app: typer.Typer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model/scratch.tmp").write_bytes(b"")
    run(app, tmp_path / "model", "--ignore", "*.tmp", "--json")
    assert [file["path"] for file in json.loads(capsys.readouterr().out)["record"]["files"]] == ["model.bin"]


def test_notes_go_to_stderr(app: typer.Typer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model/metrics.json").write_text('{"history": [1, 2]}')
    run(app, tmp_path / "model")
    told = capsys.readouterr()
    assert told.err == "Note: metrics.json: history is left out: a list is not a valid metric\n"
    assert "Note" not in told.out


def test_a_metric_without_a_value(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        run(app, tmp_path / "model", "--metric", "auc")
    assert not (tmp_path / "store").exists()
