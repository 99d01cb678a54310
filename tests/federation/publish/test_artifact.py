"""What belongs to an artifact, what is refused, and the metrics that lie in it."""

from __future__ import annotations

import errno
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import pytest

from federation.errors import PublishError, Unpublishable
from federation.publish.artifact import (
    check_metrics,
    fitting_metrics,
    read_artifact,
    read_data,
    read_environment,
    read_metrics,
)
from jobs.errors import FedmlError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "model.bin").write_bytes(b"weights")
    (root / "sub" / "curve ä.png").write_bytes(b"png")
    (root / "sub-b").write_bytes(b"")
    return root


def test_every_file_with_size_and_hash_in_order(folder: Path) -> None:
    found = read_artifact(folder)
    assert [file.path for file in found.files] == ["model.bin", "sub-b", "sub/curve ä.png"]
    assert found.files[0].size_bytes == 7
    assert found.files[0].sha256 == hashlib.sha256(b"weights").hexdigest()


def test_the_manifest_hash_tells_the_same_from_the_changed(folder: Path, tmp_path: Path) -> None:
    first = read_artifact(folder).manifest_sha256
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_artifact(moved).manifest_sha256 == first
    (moved / "model.bin").write_bytes(b"Weights")
    assert read_artifact(moved).manifest_sha256 != first


def test_a_single_file(folder: Path) -> None:
    found = read_artifact(folder / "model.bin")
    assert [file.path for file in found.files] == ["model.bin"]
    assert found.root == folder


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        (["*.bin"], ["sub-b", "sub/curve ä.png"]),
        (["sub"], ["model.bin", "sub-b"]),
        (["sub/*"], ["model.bin", "sub-b"]),
        (["sub*", "nothing"], ["model.bin"]),
    ],
)
def test_ignore_patterns(folder: Path, ignore: list[str], left: list[str]) -> None:
    assert [file.path for file in read_artifact(folder, ignore=ignore).files] == left


def test_a_link_inside_is_its_file_and_one_that_leaves_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "latest").symlink_to("model.bin")
    assert read_artifact(folder).files[0].path == "latest"
    (tmp_path / "outside").write_bytes(b"secret")
    (folder / "sub" / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(PublishError, match="sub/out is a link that leaves the folder"):
        read_artifact(folder)
    assert len(read_artifact(folder, ignore=["out"]).files) == 4


def test_a_link_to_a_folder_and_a_pipe_are_refused(folder: Path) -> None:
    (folder / "again").symlink_to("sub")
    with pytest.raises(PublishError, match="again is a link to a folder"):
        read_artifact(folder)
    (folder / "again").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(PublishError, match="pipe is not a regular file"):
        read_artifact(folder)


def test_nothing_to_publish(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="does not exist"):
        read_artifact(tmp_path / "nowhere")
    with pytest.raises(PublishError, match="holds no file"):
        read_artifact(folder, ignore=["*"])
    with pytest.raises(PublishError, match="neither a folder nor a file"):
        read_artifact(Path(os.devnull))


def test_a_name_that_is_no_key(folder: Path) -> None:
    (folder / "two\nlines").write_bytes(b"")
    with pytest.raises(FedmlError, match="can't be published"):
        read_artifact(folder)


def test_metrics_are_typed_and_may_be_no_numbers(folder: Path) -> None:
    (folder / "metrics.json").write_text(
        '{"auc": 0.7, "loss": NaN, "best": Infinity, "n": 3, "ok": true, "name": "x", "at": {"top": 1}, '
        '"curve": [1], "no": null}'
    )
    metrics, notes = read_metrics(folder)
    assert math.isnan(float(metrics.pop("loss")))
    assert metrics == {"auc": 0.7, "best": math.inf, "n": 3, "ok": True, "name": "x", "at.top": 1}
    assert type(metrics["ok"]) is bool
    assert notes == [
        "metrics.json: curve is left out: a list is not a valid metric",
        "metrics.json: no is left out: null is not a valid metric",
    ]


def test_no_metrics_file_is_no_metrics(folder: Path) -> None:
    assert read_metrics(folder) == ({}, [])
    assert read_environment(folder) == read_data(folder) == ({}, [])


@pytest.mark.parametrize("name", ["metrics.json", "environment.json", "data.json"])
@pytest.mark.parametrize(
    "text", ["{", "[]", "3", "null", "", '{"a": 1,}', '{"a": 1}{"b": 2}', "\udcff", '{"a":' * 100 + "1" + "}" * 100]
)
def test_a_broken_file_about_the_result_is_left_out(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    read = {"metrics.json": read_metrics, "environment.json": read_environment, "data.json": read_data}[name]
    values, notes = read(folder)
    assert (values, len(notes)) == ({}, 1)
    assert notes[0].startswith(f"{name} is left out: it ")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ('"\\ud800"', "metric odd is left out: it is not valid Unicode text"),
        ("9" * 5000, "metrics.json: odd is left out: the number has too many digits"),
        ("9" * 500, "metric odd is left out: the number has too many digits"),
        ('1, "odd": 2', "metrics.json: odd is left out: its name stands twice"),
        ('[{"a": 1}]', "metrics.json: odd is left out: a list is not a valid metric"),
        ('{"x": 1}, "odd.x": 1', "metrics.json: odd.x is left out: its name stands twice"),
        ('"' + "x" * 70_000 + '"', "metric odd is left out: it has more than 65,536 characters"),
    ],
    ids=["surrogate", "digits", "huge", "twice", "list", "nested twice", "long"],
)
def test_an_odd_metric_is_left_out_alone(folder: Path, text: str, note: str) -> None:
    (folder / "metrics.json").write_text(f'\ufeff{{"auc": 0.7, "odd": {text}}}')
    metrics, notes = read_metrics(folder)
    fitting, more = fitting_metrics(metrics)
    assert (fitting, notes + more) == ({"auc": 0.7}, [note])


def test_metrics_that_python_code_gives() -> None:
    class Scalar:
        def item(self) -> float:
            return 0.5

    given: dict[str, Any] = {"numpy": Scalar(), "list": [1], "n": 2**60, "ok": True}
    assert fitting_metrics(given) == (
        {"numpy": 0.5, "n": float(2**60), "ok": True},
        ["metric list is left out: a list is not a valid metric"],
    )


def test_data_with_a_wrong_hash_is_left_out(folder: Path) -> None:
    (folder / "data.json").write_text('{"url": "s3://b/x.csv", "sha256": "abc"}')
    values, notes = read_data(folder)
    assert values == {}
    assert notes[0].startswith("data.json is left out: ")


def test_the_environment_is_texts(folder: Path) -> None:
    (folder / "environment.json").write_text('{"python": "3.12.1", "gpu": 0, "packages": {"scikit-learn": "1.5"}}')
    assert read_environment(folder) == ({"python": "3.12.1", "gpu": "0", "packages.scikit-learn": "1.5"}, [])


def test_curves_give_their_last_value_where_metrics_json_has_none(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 2, "auc": 0.1}\n\nbroken\n{"step": 2, "loss": NaN}\n{"step": 3, '
    )
    metrics, notes = read_metrics(folder)
    assert (math.isnan(metrics.pop("loss")), metrics) == (True, {"auc": 0.1})
    assert notes == ["metrics.jsonl: 2 lines can't be used (each must be a JSON object with a number as step)"]
    (folder / "metrics.json").write_text('{"auc": 0.7, "loss": 0.5}')
    assert read_metrics(folder)[0] == {"auc": 0.7, "loss": 0.5}


def test_of_large_curves_the_end_counts(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("w") as file:
        file.write('{"step": 0, "only_first": 1}\n')
        for step in range(1, 100_000):
            file.write(f'{{"step": {step}, "loss": {step}, "text": "{"x" * 20}"}}\n')
    metrics, notes = read_metrics(folder)
    assert metrics == {"loss": 99_999.0}
    assert notes == []


def test_a_disk_that_fails_is_not_the_fault_of_what_a_task_wrote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "metrics.json").mkdir()
    with pytest.raises(Unpublishable, match="can't be read"):
        check_metrics(folder)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(PublishError, match="can't be read") as caught:
        check_metrics(folder)
    assert not isinstance(caught.value, Unpublishable)
