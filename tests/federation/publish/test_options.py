"""`fedml publish` without Typer: a plain command line has the outcome that Typer gives it, and Typer gets what isn't plain."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from federation import cli
from federation.publish.options import plain
from regions.storage.url import folder_url

PLAIN = (
    ["model"],
    ["model/model.bin"],
    ["model", "--json"],
    ["--json", "model"],
    ["model", "--metric", "auc=0.5", "--metric=ok=true", "--format", "onnx", "--format=pickle"],
    ["--ignore", "*.tmp", "model", "--ignore", "logs/*"],
    ["model", "--framework", "scikit-learn 1.5.2", "--data-url=s3://d/x?y=1", "--data-sha256", "a" * 64],
    ["model", "--parent", "7d1c7a2e"],
    ["model", "--parent", "nobody"],
    ["model", "--metric", "auc"],
    ["model", "--data-sha256", "abc"],
    ["missing"],
    ["missing/../model"],
    ["no such folder\n\x1b[31m"],
    ["s3://"],
    ["ftp://x/y"],
    ["--check"],
    ["--check", "--json", "model"],
    [],
    ["--json"],
    ["--metric", "auc=0.5"],
)
FOR_TYPER = (
    ["--help"],
    ["model", "-h"],
    ["model", "other"],
    ["--metric"],
    ["model", "--metric"],
    ["--metric", "-1=2", "model"],
    ["--metric", "--json", "model"],
    ["--metric=", "model"],
    ["--format", "", "model"],
    [""],
    ["--", "model"],
    ["-"],
    ["--wrong"],
    ["--wrong=1", "model"],
    ["--js", "model"],
    ["--json=yes", "model"],
    ["--check=", "model"],
    ["--config", "fedml.toml", "model"],
    ["-q", "model"],
    ["model", "-v"],
)


@pytest.fixture(autouse=True)
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.bin").write_bytes(b"w" * 1500)
    (tmp_path / "model/scratch.tmp").write_bytes(b"")
    (tmp_path / "model/metrics.json").write_text('{"auc": 0.71, "history": [1, 2]}')
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "FEDML_STORES": json.dumps({"dc1": folder_url(tmp_path / "store")}),
    }.items():
        monkeypatch.setenv(name, value)


def outcome(arguments: list[str], store: Path, run: pytest.MonkeyPatch, capsys: Any) -> tuple[int, str, str]:
    """Exit code and both streams of `fedml publish` into that empty store, without what every call draws or measures anew."""
    run.setenv("FEDML_STORES", json.dumps({"dc1": folder_url(store)}))
    code = cli.run(["publish", *arguments])
    told = capsys.readouterr()
    same = re.compile(r'"(created|task_cpu_seconds|task_seconds|task_memory_peak_mb)": "[^"]*"|doctor/[0-9a-f]+')
    return code, *(same.sub("", text.replace(store.name, "STORE")) for text in (told.out, told.err))


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
@pytest.mark.parametrize("where", ["in a task", "outside of Nomad"])
def test_a_plain_command_line_has_the_outcome_that_typer_gives_it(
    arguments: list[str],
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plain(arguments) is not None
    if where != "in a task":
        monkeypatch.delenv("NOMAD_ALLOC_ID")
    ours = outcome(arguments, tmp_path / "store-1", monkeypatch, capsys)
    monkeypatch.setattr(cli, "plain", lambda words: None)
    assert ours == outcome(arguments, tmp_path / "store-2", monkeypatch, capsys)
    assert ours[1] or ours[2]


@pytest.mark.parametrize("arguments", FOR_TYPER, ids=" ".join)
def test_typer_gets_what_is_not_plain(arguments: list[str]) -> None:
    assert plain(arguments) is None


def test_typer_completes_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FEDML_COMPLETE", "complete_bash")
    assert plain(["model"]) is None
