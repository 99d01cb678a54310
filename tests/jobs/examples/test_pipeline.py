"""The six stages: what they leave behind, and what each refuses in one line."""

from __future__ import annotations

import functools
import gzip
import http.server
import importlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STAGES = ["extract", "transform", "build", "train", "test"]
Run = Callable[..., int]


@pytest.fixture
def run(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs stages in this process with the meta that is given; the exit code."""

    def run_stages(*stages: str, **meta: str) -> int:
        for name, value in meta.items():
            monkeypatch.setenv(f"NOMAD_META_{name}", value)
        return int(importlib.import_module("pipeline.__main__").main(list(stages)))

    return run_stages


def read_metrics(shared: Path) -> dict[str, float]:
    return dict(json.loads((shared / "artifact" / "metrics.json").read_text()))


def test_a_model_is_trained_tested_drawn_and_used_by_another_process(example: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "HANDOVER_DIR": str(tmp_path), "PYTHONPATH": str(example), "NOMAD_META_epochs": "3"}
    environ |= {"NOMAD_META_model_version": "4", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *STAGES],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "extract", "transform", "build", "train", "train", "train", "train", "test",
    ]  # fmt: skip
    artifact = tmp_path / "artifact"
    assert {path.name for path in artifact.iterdir()} == {
        "model.joblib", "metrics.json", "environment.json", "model_card.json", "curves.png", "sample.csv",
    }  # fmt: skip
    metrics = read_metrics(tmp_path)
    assert metrics["roc_auc"] > 0.72
    assert metrics["lift_top_fifth"] > 2
    assert metrics["log_loss"] < 0.23
    assert metrics["customers_trained"] + metrics["customers_held_out"] == 5822
    assert metrics["train_seconds"] > 0
    assert metrics["peak_memory_mb"] > 50
    assert (artifact / "curves.png").read_bytes().startswith(b"\x89PNG")
    card = json.loads((artifact / "model_card.json").read_text())
    assert len(card["features"]) == 85
    assert card["source"]["sha256"].startswith("73972ad2d21c")
    assert card["parameters"]["epochs"] == 3

    used = subprocess.run(
        [sys.executable, "-m", "pipeline.predict", str(artifact)],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = used.stdout.splitlines()
    assert lines[0] == f"version 4, ROC AUC {metrics['roc_auc']:.3f} on 1,747 customers held out"
    chances = [float(line.split()[1].rstrip("%")) for line in lines[3:]]
    assert len(chances) == 10
    assert chances == sorted(chances, reverse=True)
    assert [line.split()[2] for line in lines[3:]].count("Yes") == 5


def test_a_slot_gives_the_same_model_again_and_another_slot_another(run: Run, pipeline: Path) -> None:
    aucs = []
    for slot in ("0", "0", "1"):
        assert run(*STAGES, model_version="4", fedml_slot=slot, epochs="1", plot="false") == 0
        aucs.append(read_metrics(pipeline)["roc_auc"])
    assert aucs[0] == aucs[1] != aucs[2]
    assert not (pipeline / "artifact" / "curves.png").exists()


def test_a_model_below_the_gate_fails_and_is_not_published(
    run: Run, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*STAGES, epochs="1", plot="false") == 0
    assert run("test", min_auc="0.9") == 1
    assert "below the gate, min_auc = 0.9; this model is not published" in capsys.readouterr().err
    assert not (pipeline / "artifact" / "metrics.json").exists()
    assert run("store") == 1
    assert "nothing was tested, so nothing is published" in capsys.readouterr().err


def test_save_path_is_a_folder_inside_the_artifact(run: Run, pipeline: Path) -> None:
    assert run(*STAGES, save_path="models/sales", epochs="1", plot="false") == 0
    assert (pipeline / "artifact" / "models" / "sales" / "model.joblib").is_file()
    assert read_metrics(pipeline)["roc_auc"] > 0.6


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("epochs", "many", "epochs = 'many': a number from 1 to 10000 is needed"),
        ("epochs", "0", "epochs = '0': a number"),
        ("epochs", "1.5", "epochs = '1.5': a whole number"),
        ("epochs", "nan", "epochs = 'nan': a number"),
        ("batch_size", "-1", "batch_size = '-1'"),
        ("learning_rate", "inf", "learning_rate = 'inf'"),
        ("min_auc", "75%", "min_auc = '75%'"),
        ("plot", "maybe", "plot = 'maybe': true or false"),
        ("save_path", "../../x", "save_path = '../../x' would leave the artifact"),
        ("save_path", "/etc", "save_path = '/etc' would leave the artifact"),
        ("data_url", "ftp://example.com/x.csv", "http://, https:// or file:// is needed"),
        ("data_url", "file:///no/such/file.csv", "can't read file:///no/such/file.csv"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_any_work(
    run: Run, capsys: pytest.CaptureFixture[str], name: str, value: str, problem: str
) -> None:
    assert run("extract", **{name: value}) == 1
    told = capsys.readouterr()
    assert problem in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


def test_unknown_stages_and_a_stage_without_the_one_before(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("polish") == 1
    assert "usage: python3 -m pipeline STAGE…" in capsys.readouterr().err
    assert run("transform") == 1
    assert "customers.csv is missing: did the stage before it run?" in capsys.readouterr().err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server on a free port: its address and the folder that it serves."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


def test_customers_come_from_a_web_server_and_no_secret_of_the_url_is_kept(
    run: Run, pipeline: Path, server: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    address, folder = server
    (folder / "customers.csv.gz").write_bytes(gzip.compress(b"a,b,Purchase\n1,2,Yes\n"))
    assert run("extract", data_url=f"http://{address}/customers.csv.gz?signature=s3cret") == 0
    assert (pipeline / "work" / "customers.csv").read_text() == "a,b,Purchase\n1,2,Yes\n"
    source = (pipeline / "work" / "source.json").read_text()
    assert json.loads(source)["url"] == f"http://{address}/customers.csv.gz"
    assert "s3cret" not in source + capsys.readouterr().out

    assert run("extract", data_url=f"http://{address}/missing.csv") == 1
    assert f"http://{address}/missing.csv answered 404" in capsys.readouterr().err
    (folder / "torn.csv.gz").write_bytes(gzip.compress(b"a,b,Purchase\n1,2,Yes\n")[:-9])
    assert run("extract", data_url=f"http://{address}/torn.csv.gz") == 1
    assert "is a damaged gzip file" in capsys.readouterr().err


def test_rows_that_nothing_can_be_learnt_from_are_dropped_and_counted(
    run: Run, pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [f"{i},{i % 7},{'Yes' if i % 3 else 'No'}" for i in range(90)]
    bad = ["1,2", "x,2,Yes", "1,nan,No", "1,2,perhaps", "", "1,2,3,Yes"]
    table = tmp_path / "customers.csv"
    table.write_text("\n".join(["a,b,Purchase", *good, *bad]) + "\n")
    assert run("extract", "transform", data_url=table.as_uri()) == 0
    assert "63 customers to train on, 27 held out, 2 features, 6 unusable rows dropped" in capsys.readouterr().out

    table.write_text("\n".join(["a,b,Purchase", *bad]) + "\n")
    assert run("extract", "transform") == 1
    assert "customers.csv has no usable row" in capsys.readouterr().err
    table.write_text("\n".join(["a,b,Purchase", *["1,2,Yes"] * 50]) + "\n")
    assert run("extract", "transform") == 1
    assert "at least 10 closed and 10 lost sales are needed" in capsys.readouterr().err


def test_a_loss_that_runs_away_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*STAGES[:-1], epochs="1", learning_rate="10", batch_size="1") == 1
    told = capsys.readouterr().err
    assert told.startswith("train      FAILED: epoch 1: ")
    assert told.endswith("Try a smaller learning_rate.\n")


def test_store_runs_fedml_publish_on_the_artifact_and_fails_as_it_does(
    run: Run, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = pipeline / "artifact"
    artifact.mkdir(parents=True)
    (artifact / "metrics.json").write_text("{}")
    command = tmp_path / "fedml"
    command.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/called"\nexit ${{PUBLISH_EXIT:-0}}\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FEDML_COMMAND", str(command))
    assert run("store", model_version="4") == 0
    assert (tmp_path / "called").read_text() == f"publish {artifact}\n"
    assert "version 4 published" in capsys.readouterr().out

    monkeypatch.setenv("PUBLISH_EXIT", "1")
    assert run("store") == 1
    assert "ended with exit code 1" in capsys.readouterr().err
    monkeypatch.setenv("FEDML_COMMAND", str(tmp_path / "nowhere"))
    assert run("store") == 1
    assert "isn't on this node's PATH" in capsys.readouterr().err


def test_predict_says_what_is_wrong(pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict = importlib.import_module("pipeline.predict")
    assert predict.main([str(tmp_path)]) == 1
    assert f"can't predict: no model.joblib in {tmp_path}" in capsys.readouterr().err
