"""A record is what a node says: whatever it says, it is a record within the limits or PublishError."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import FormatTooNew, PublishError, UsageError
from federation.index import checked_record
from federation.publish.publish import publish
from federation.result import (
    ENVIRONMENT_MAX,
    FILES_MAX,
    METRICS_MAX,
    NAME_CHARS_MAX,
    PARAMS_MAX,
    RECORD_BYTES_MAX,
    TEXT_CHARS_MAX,
    ResultRecord,
)
from jobs.json_limits import WHOLE_NUMBER_MAX
from regions.storage.url import folder_url
from tests.examples import examples

FILE = {"path": "model.bin", "size_bytes": 5, "sha256": "0" * 64}
RECORD: dict[str, Any] = {
    "format": 1,
    "key": {"run": "run-1", "slot": 0, "group": "train", "index": 0},
    "attempt": 1,
    "job": "sales",
    "version": "4",
    "spec_hash": "s",
    "region": "us",
    "datacenter": "dc1",
    "node": "n1",
    "alloc_id": "00000001-0000-0000-0000-000000000000",
    "job_id": "sales/dispatch-1",
    "store": "file:///x",
    "manifest_sha256": "m" * 64,
    "files": [FILE],
    "created": "2026-11-24T10:00:00Z",
    "metrics": {"auc": 0.75, "loss": {"$float": "nan"}, "ok": True, "note": "x"},
    "params": {"epochs": "3"},
    "environment": {"python": "3.12"},
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def changed(place: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(RECORD)
    inner: Any = data
    *above, last = place.split(".")
    for step in above:
        inner = inner[int(step) if step.isdigit() else step]
    inner[last] = value
    return data


def many(count: int) -> dict[str, int]:
    return {f"m{number}": number for number in range(count)}


def texts(count: int) -> dict[str, str]:
    return {f"m{number}": "x" for number in range(count)}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("metrics", [], "metrics is a list, not an object"),
        ("metrics", None, "metrics is null"),
        ("metrics.auc", None, "metrics.auc is not a metric"),
        ("metrics.auc", [1], "metrics.auc is not a metric"),
        ("metrics.auc", {"$float": "1"}, "metrics.auc is not a metric"),
        ("metrics.auc", {"$float": "nan", "x": 1}, "metrics.auc is not a metric"),
        ("metrics.auc", 10**308 * 5, "out of range|not a metric"),
        ("metrics", many(METRICS_MAX + 1), "10,001 metrics; the limit is 10,000"),
        ("metrics", {"x" * (NAME_CHARS_MAX + 1): 1}, "name has more than 512"),
        ("metrics", {"x": "y" * (TEXT_CHARS_MAX + 1)}, "the limit is 65,536"),
        ("params", texts(PARAMS_MAX + 1), "1,001 parameters; the limit is 1,000"),
        ("params", {"a": 1}, "params.a is a number, not a text"),
        ("environment", texts(ENVIRONMENT_MAX + 1), "1,001 members of its environment"),
        ("environment", [], "environment is a list"),
        ("files", {}, "files is an object, not a list"),
        ("files", None, "files is null"),
        ("files", [None], r"files\[0\] is null"),
        ("files", [FILE] * (FILES_MAX + 1), "50,001 files; the limit is 50,000"),
        ("files", [{**FILE, "size_bytes": WHOLE_NUMBER_MAX}] * 2, "bytes in its files"),
        ("files", [{**FILE, "size_bytes": 2**53}], r"files\[0\].size_bytes"),
        ("files", [{**FILE, "size_bytes": True}], r"files\[0\].size_bytes is true or false"),
        ("files", [{**FILE, "size_bytes": -1}], r"files\[0\].size_bytes is -1"),
        ("files", [{**FILE, "path": None}], r"files\[0\].path is null"),
        ("files", [{"path": "x"}], r"files\[0\].size_bytes is missing"),
        ("prefix", None, "prefix is null"),
        ("prefix", 5, "prefix is a number"),
        ("format", None, "format is null"),
        ("format", True, "format is true or false"),
        ("format", 1.0, "format is a number, not a whole number"),
        ("key", [], "key is a list"),
        ("key.slot", -1, "key.slot is -1"),
        ("key.slot", 2**63, "key.slot"),
        ("key.run", 7, "key.run is a number"),
        ("attempt", False, "attempt is true or false"),
        ("job", None, "job is null"),
        ("version", 4, "version is a number"),
        ("node", "x" * 5000, "node has 5,000 characters"),
    ],
)
def test_a_record_of_another_shape_is_refused_with_the_place(place: str, value: Any, said: str) -> None:
    with pytest.raises(PublishError, match=said) as caught:
        ResultRecord.from_json(json.dumps(changed(place, value)).encode(), source="s3://x/results/r.json")
    assert caught.value.message.startswith("s3://x/results/r.json ")


@pytest.mark.parametrize("name", sorted(RECORD.keys() - {"metrics", "params", "environment"}))
def test_a_record_that_lacks_a_member_is_refused(name: str) -> None:
    data = copy.deepcopy(RECORD)
    del data[name]
    with pytest.raises(PublishError, match=f"{name} is missing"):
        ResultRecord.from_json(json.dumps(data).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 5000,
        json.dumps(RECORD).replace('"format": 1', '"format": Infinity').encode(),
        json.dumps(RECORD).replace('"format": 1', '"format": NaN').encode(),
        json.dumps(RECORD).replace('"format": 1', '"format": 1e999').encode(),
        json.dumps(RECORD).replace('"format": 1', '"format": ' + "9" * 5000).encode(),
        json.dumps(RECORD).replace('"format": 1', '"format": 1, "files": []').encode(),
        json.dumps(changed("metrics.note", "\ud800")).encode(),
        json.dumps(changed("metrics", {"\udfff": 1})).encode(),
        json.dumps({**RECORD, "x": json.loads("[" * 500 + "]" * 500)}).encode(),
        json.dumps({**RECORD, "x": " " * RECORD_BYTES_MAX}).encode(),
        b"null",
        b"\xff\xfe",
        b"",
    ],
)
def test_bytes_that_are_no_record_are_refused(text: bytes) -> None:
    with pytest.raises(PublishError):
        ResultRecord.from_json(text)


def test_a_newer_format_is_a_record_that_can_t_be_used() -> None:
    for format_number in (2, WHOLE_NUMBER_MAX):
        with pytest.raises(PublishError, match="upgrade fedml") as caught:
            ResultRecord.from_json(json.dumps({**RECORD, "format": format_number}).encode())
        assert isinstance(caught.value, FormatTooNew)


def test_what_the_limits_allow_is_read_and_written_again() -> None:
    data = {
        **RECORD,
        "metrics": many(METRICS_MAX),
        "params": texts(PARAMS_MAX),
        "files": [{**FILE, "path": f"part-{number}"} for number in range(FILES_MAX)],
        "environment": {"long": "x" * TEXT_CHARS_MAX},
    }
    record = ResultRecord.from_json(json.dumps(data).encode())
    assert json.loads(record.to_json()) == data
    assert checked_record(record) is record


def test_a_whole_number_beyond_2_53_is_kept_to_the_digit() -> None:
    record = ResultRecord.from_json(json.dumps(changed("metrics.auc", 2**60 + 1)).encode())
    assert record.metrics["auc"] == 2**60 + 1
    assert json.loads(record.to_json())["metrics"]["auc"] == 2**60 + 1


@settings(max_examples=examples(300), deadline=None)
@given(place=st.sampled_from(["", *RECORD, "key.run", "key.slot", "metrics.auc", "files.0.path"]), value=_JSON)
def test_any_value_anywhere_gives_a_record_or_our_error(place: str, value: Any) -> None:
    data = "files" in place and "." in place and {**RECORD, "files": [{**FILE, "path": value}]}
    text = json.dumps(data or (changed(place, value) if place else value)).encode()
    try:
        record = ResultRecord.from_json(text)
    except PublishError:
        return
    assert ResultRecord.from_json(record.to_json()).to_json() == record.to_json()
    try:
        checked_record(record)
    except UsageError:
        return
    record.to_json()


# ── publishing ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "train",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "FEDML_STORES": json.dumps({"dc1": folder_url(tmp_path / "store")}),
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    return folder


def test_a_lone_surrogate_costs_its_value_and_not_the_result(model: Path, environ: dict[str, str]) -> None:
    (model / "metrics.json").write_text('{"auc": 0.7, "note": "\\ud800", "x\\udfff": 1, "ok": "\\ud83d\\ude00"}')
    (model / "environment.json").write_text('{"gpu": "\\ud800", "python": "3.12"}')
    environ["NOMAD_META_comment"] = "caf\udce9"  # what os.environ gives for bytes that are not UTF-8
    outcome = publish(model, environ=environ, metrics={"by_hand": "\udc80"})
    assert outcome.record.metrics == {"auc": 0.7, "ok": "\U0001f600"}
    assert outcome.record.environment["python"] == "3.12"
    assert "gpu" not in outcome.record.environment
    assert outcome.record.params == {}
    said = "\n".join(outcome.notes)
    for name in ("metric note", "metric 'x\\udfff'", "metric by_hand", "environment gpu", "parameter comment"):
        assert f"{name} is left out: it is not valid Unicode text" in said
    said.encode()


def test_too_many_or_too_long_values_are_left_out_with_a_note(model: Path, environ: dict[str, str]) -> None:
    metrics = {**many(METRICS_MAX + 5), "n" * 600: 1, "long": "x" * (TEXT_CHARS_MAX + 1), "big": 2**60}
    metrics = {"long": metrics.pop("long"), "big": metrics.pop("big"), "digits": 10**400, **metrics}
    (model / "metrics.json").write_text(json.dumps(metrics))
    outcome = publish(model, environ=environ)
    assert len(outcome.record.metrics) == METRICS_MAX - 1
    assert outcome.record.metrics["big"] == float(2**60)
    said = "\n".join(outcome.notes)
    assert "metric long is left out: it has more than 65,536 characters" in said
    assert "metric digits is left out: the number has too many digits" in said
    assert "its name has more than 512 characters" in said
    assert "a record holds 10,000 (metric)" in said


def test_too_many_files_are_refused_before_anything_is_sent(
    model: Path, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.publish.artifact.FILES_MAX", 3)
    for number in range(3):
        (model / f"part-{number}").write_bytes(b"x")
    with pytest.raises(PublishError, match="holds 4 files; the limit is 3") as caught:
        publish(model, environ=environ)
    assert "archive" in caught.value.hint
    assert not (tmp_path / "store").exists()


def test_a_record_that_nobody_could_read_is_refused_before_anything_is_sent(
    model: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(PublishError, match=r"node is not valid Unicode|can.t be written"):
        publish(model, environ={**environ, "FEDML_NODE": "n\ud800"})
    with pytest.raises(PublishError, match="NOMAD_ALLOC_INDEX"):
        publish(model, environ={**environ, "NOMAD_ALLOC_INDEX": "9" * 5000})
    for stores in ("[" * 5000, '{"dc1": 1}', "[]", '{"dc1": NaN}'):
        with pytest.raises(PublishError, match="FEDML_STORES"):
            publish(model, environ={**environ, "FEDML_STORES": stores})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, "[]", "{"])
def test_metrics_that_nobody_could_read_are_left_out_with_a_note(
    model: Path, environ: dict[str, str], text: str
) -> None:
    (model / "metrics.json").write_text(text)
    published = publish(model, environ=environ)
    assert published.record.metrics == {}
    assert any("metrics.json" in note for note in published.notes), published.notes
