"""Sweeps: what each slot gets, and what is refused before anything is sent."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import InvalidMeta
from jobs.params.checks import check_asks
from jobs.params.file import pack, payload_lines, payload_of, read_asks, read_params, read_payloads, rows_of, unpack
from jobs.params.sweep import Asks, Axis, Inputs, Kept, Payload, Sweep, axes_of
from jobs.params.values import text_of, typed
from jobs.spec import JobShape

SHAPE = JobShape(
    "train", ("data_path",), ("lr", "depth", "model_version"), "optional", "model_version", {"g": 1}, {"g": 1}
)
META = {"data_path": "x"}


def told(*items: str) -> str:
    with pytest.raises(InvalidMeta) as caught:
        axes_of(items)
    return f"{caught.value.message} | {caught.value.hint}"


def test_values_are_split_as_csv() -> None:
    assert axes_of(["lr=0.1,0.01", 'layers="64,32",128', 'say="a ""b"""', " x =1"]) == (
        Axis("lr", ("0.1", "0.01")),
        Axis("layers", ("64,32", "128")),
        Axis("say", ('a "b"',)),
        Axis("x", ("1",)),
    )


def test_axes_that_make_no_sense() -> None:
    assert "is not of the form key=value,value" in told("lr")
    assert "write all its values at once: --sweep lr=…,…" in told("lr=1", "lr=2")
    assert "has an empty value" in told("lr=")
    assert "has an empty value" in told("lr=1,,2")
    assert "has the value '1' twice" in told("lr=1,2,1")
    assert "double quotes" in told('lr="1')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-3", -3), ("0.1", 0.1), ("true", True), ("false", False), ("x", "x"), ("", ""),
        ("007", "007"), ("0.10", "0.10"), ("1e-5", "1e-5"), ("1e-05", 1e-05), ("True", "True"), ("nan", "nan"),
        ("1" * 5000, "1" * 5000),
    ],
)  # fmt: skip
def test_types(text: str, value: object) -> None:
    assert (typed(text), type(typed(text))) == (value, type(value))


@given(st.text())
def test_whatever_its_type_the_text_that_is_sent_is_the_one_that_was_given(text: str) -> None:
    assert text_of(typed(text)) == text


axes = st.lists(
    st.builds(
        Axis,
        st.text("abcdef", min_size=1, max_size=4),
        st.lists(st.text("012x.", min_size=1, max_size=3), min_size=1, max_size=4, unique=True).map(tuple),
    ),
    max_size=3,
    unique_by=lambda axis: axis.name,
).map(tuple)


@given(axes, st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_slots_are_the_product_again_and_again(
    axes: tuple[Axis, ...], rows: int, payloads: int, repetitions: int
) -> None:
    lines = [json.dumps({"row": row}).encode() for row in range(rows)]
    files = [str(number).encode() for number in range(payloads)]
    inputs = Inputs({"all": "1"}, b"", axes, lines, files)
    got = [inputs(slot) for slot in range(max(1, rows) * max(1, payloads) * repetitions)]
    grid = [range(rows) if rows else [None], *(axis.values for axis in axes), files or [b""]]
    expected = []
    for row, *values, payload in itertools.product(*grid):
        meta = {"all": "1", **({} if row is None else {"row": str(row)})}
        expected.append((meta | {a.name: str(v) for a, v in zip(axes, values, strict=True)}, payload))
    assert got == list(itertools.islice(itertools.cycle(expected), len(got)))


def test_how_many_slots() -> None:
    asks = Asks(axes_of(["lr=0.1,0.01", "depth=3,5,7"]))
    assert (asks.slots(None), asks.slots(6), asks.slots(12)) == (6, 6, 12)
    assert (Asks().slots(None), Asks().slots(7)) == (None, 7)
    with pytest.raises(InvalidMeta, match="-n 7 is not a multiple of the 6 combinations") as caught:
        asks.slots(7)
    assert "-n 12 gives each 2" in caught.value.hint


def refused(asks: Asks, meta: dict[str, str] | None = None, payload: bytes = b"", shape: JobShape = SHAPE) -> str:
    with pytest.raises(InvalidMeta) as caught:
        check_asks(shape, asks, META if meta is None else meta, payload)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_sweep_over_what_the_job_does_not_take() -> None:
    assert refused(Asks(axes_of(["lrr=1"]))) == (
        "job \"train\" declares no meta key 'lrr' to sweep over | did you mean 'lr'?"
    )
    assert "add it to meta_optional; it declares: data_path, lr, depth, model_version" in refused(
        Asks(axes_of(["epochs=1"]))
    )
    assert "carries the version, and a run has one version" in refused(Asks(axes_of(["model_version=1,2"])))
    assert "-meta lr is given, and lr is swept" in refused(Asks(axes_of(["lr=1,2"])), {"lr": "3", **META})
    assert "requires meta that is missing: data_path" in refused(Asks(axes_of(["lr=1,2"])), {})
    assert "would leave its folder" in refused(Asks(axes_of(["data_path=a,../b"])), {})
    secret = JobShape("train", (), ("api_token",), "optional", "v", {"g": 1}, {"g": 1})
    assert "looks like a credential" in refused(Asks(axes_of(["api_token=a,b"])), {}, shape=secret)


def test_a_required_key_may_be_swept() -> None:
    asks = Asks(axes_of(["data_path=a,b"]))
    assert check_asks(SHAPE, asks, {"lr": "1"}, b"") == {"lr": "1"}
    assert Inputs({"lr": "1"}, b"", asks.axes)(1) == ({"lr": "1", "data_path": "b"}, b"")


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_rows_of_csv(tmp_path: Path) -> None:
    text = '\ufefflr,depth,note\r\n0.1,3,"a, b"\r\n\r\n0.01,,"two\r\nlines"\r\n0.001,5,\r\n'
    rows = read_params(write(tmp_path, "p.csv", text))
    assert [json.loads(line) for line in rows.lines] == [
        {"lr": 0.1, "depth": 3, "note": "a, b"},
        {"lr": 0.01, "note": "two\r\nlines"},
        {"lr": 0.001, "depth": 5},
    ]
    assert (rows.numbers, rows.names) == ((2, 4, 6), ("lr", "depth", "note"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "lr, seed\n0.1, 1\n"),
        ("p.csv", " lr ,\"seed\"\n 0.1,1 \n,\n   \n\t,\n"),
        ("p.csv", "\n,\nlr,seed\r\n0.1,1\r\n,\r\n"),
        ("p.csv", "lr,seed\r0.1,1\r"),
        ("p.csv", '"lr", "seed"\n"0.1", "1"\n,,,\n'),
        ("p.csv", "\ufefflr,seed\n0.1,\u00a01\n"),
        ("p.tsv", "lr\tseed\n0.1\t 1\n\t\n"),
        ("P.TSV", "\ufefflr\tseed\r\n0.1\t1\r\n"),
        ("p.jsonl", '\ufeff{"lr": 0.1, "seed": 1}\r\n\r\n'),
    ],
)  # fmt: skip
def test_spaces_separators_and_empty_rows(tmp_path: Path, name: str, text: str) -> None:
    assert [json.loads(line) for line in read_params(write(tmp_path, name, text)).lines] == [{"lr": 0.1, "seed": 1}]


def test_spaces_in_a_sweep() -> None:
    (axis,) = axes_of(['lr = 0.1, 0.01 , "a, b"'])
    assert axis == Axis("lr", ("0.1", "0.01", "a, b"))
    assert "has an empty value" in told("lr=1, ,2")
    assert "has the value '1' twice" in told("lr=1, 1")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (float("inf"), "is not a finite number"),
        (10**5000, "has too many digits"),
        (None, "is null"),
        (b"x", "is bytes"),
    ],
    ids=["infinity", "digits", "null", "bytes"],
)
def test_values_that_python_gives_and_meta_can_not_hold(value: object, what: str) -> None:
    with pytest.raises(InvalidMeta, match=f"params:1: 'lr' {what}"):
        rows_of("params", [(1, {"lr": value})])


@pytest.mark.parametrize("value", ["a\0b", "\udcff"])
def test_text_that_no_environment_variable_can_hold(value: str) -> None:
    assert "meta lr: the value" in refused(Asks(axes_of([f"lr={value}"])))


def test_rows_of_json_lines(tmp_path: Path) -> None:
    text = '{"lr": 0.10, "deep": true, "depth": null}\n\n{"lr": 1e-5, "note": "é"}\n'
    rows = read_params(write(tmp_path, "p.jsonl", text))
    inputs = Inputs({}, b"", (), rows.lines)
    assert [inputs.parameters(slot) for slot in (0, 1)] == [{"lr": "0.10", "deep": True}, {"lr": "1e-5", "note": "é"}]
    assert inputs(0)[0] == {"lr": "0.10", "deep": "true"}


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("p.csv", "lr,depth\n1,2\n1\n", "p.csv:3: 1 cell, and the header has 2"),
        ("p.csv", "lr,depth\n1,2\n3,4,5\n", "p.csv:3: 3 cells, and the header has 2"),
        ("p.csv", 'lr\n"1\n2\n', "p.csv:2: broken CSV"),
        ("p.csv", "lr\n1\n2\n1\n", "p.csv:4: the same row as line 2"),
        ("p.csv", "lr,lr\n1,2\n", "p.csv:1: two columns are named 'lr'"),
        ("p.csv", "lr,\n1,2\n", "p.csv:1: column 2 has no name"),
        ("p.csv", "", "p.csv has no row"),
        ("p.csv", "lr\n", "p.csv has no row"),
        ("p.csv", b"lr\n1\n\xff\n", "p.csv:3: this line is not UTF-8 text"),
        ("p.csv", "lr\n1\n".encode("utf-16"), "p.csv:1: the file is UTF-16, not UTF-8"),
        ("p.csv", "lr\n1\n".encode("utf-16-le"), "p.csv"),
        ("p.csv", "lr;seed\n0,1;1\n", "p.csv:1: its cells are separated by semicolons"),
        ("p.csv", "lr\tseed\n0.1\t1\n", "p.csv:1: its cells are separated by tabs"),
        ("p.csv", "lr|seed\n0.1|1\n", "p.csv:1: its cells are separated by vertical bars"),
        ("p.tsv", "lr,seed\n0.1,1\n", "p.tsv:1: its cells are separated by commas"),
        ("p.tsv", "lr;seed\n0.1;1\n", "p.tsv:1: its cells are separated by semicolons"),
        ("p.csv", "lr,seed\n0.1,1\nlr,seed\n", "p.csv:3: this line is the header again"),
        ("p.csv", "\n lr , lr\n1,2\n", "p.csv:2: two columns are named 'lr'"),
        ("p.csv", "lr,seed\n0.1, 1\n0.1,1\n", "p.csv:3: the same row as line 2"),
        ("p.csv", "lr,seed\n,\n ,\t\n", "p.csv has no row"),
        ("p.csv", "lr,note\n1,a\0b\n", "p.csv:2: 'note' holds a NUL character"),
        ("p.jsonl", '{"lr": 1}\n{}\n', "p.jsonl:2: the row has no parameter"),
        ("p.jsonl", '{"lr": 1}\n{"lr": null}\n', "p.jsonl:2: the row has no parameter"),
        ("p.jsonl", '{"lr": 1}\n{"lr": "1"}\n', "p.jsonl:2: the same row as line 1"),
        ("p.jsonl", '{"lr": 1}\n{"lr": }\n', "p.jsonl:2: broken JSON: Expecting value (column 8)"),
        ("p.jsonl", '{"lr": 1}\n[1]\n', "p.jsonl:2: a list begins here"),
        ("p.jsonl", '{"lr": [1]}\n', "p.jsonl:1: 'lr' is a list"),
        ("p.jsonl", '{"lr": {"a": 1}}\n', "p.jsonl:1: 'lr' is an object"),
        ("p.jsonl", '{"lr": 1, "lr": 2}\n', "p.jsonl:1: key 'lr' comes twice"),
        ("p.jsonl", '{"lr": NaN}\n', "p.jsonl:1: NaN is no number"),
        ("p.jsonl", '{"lr": "\\ud800"}\n', "p.jsonl:1: 'lr' is not valid Unicode text"),
        ("p.jsonl", '{"a": 1, "b": 2}\n{"b": 2, "a": 1}\n', "p.jsonl:2: the same row as line 1"),
        ("p.jsonl", '{"lr": ' + "[" * 100_000 + "\n", "p.jsonl:1: "),
        ("p.txt", "lr\n1\n", "its name says neither CSV nor JSON Lines"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named_by_its_line(tmp_path: Path, name: str, text: str | bytes, what: str) -> None:
    with pytest.raises(InvalidMeta) as caught:
        read_params(write(tmp_path, name, text))
    assert what in caught.value.message


def test_row_73112_is_broken(tmp_path: Path) -> None:
    lines = ["lr,depth", *(f"{number},3" for number in range(2, 80_001))]
    lines[73_111] = "73112"
    with pytest.raises(InvalidMeta, match=r"^params\.csv:73112: 1 cell, and the header has 2$"):
        read_params(write(tmp_path, "params.csv", "\n".join(lines)))


def test_a_row_that_the_job_does_not_take_is_named_by_its_line(tmp_path: Path) -> None:
    asks = read_asks(params=write(tmp_path, "p.csv", "data_path,lr\na,1\n,2\n"))
    assert refused(asks, {}).startswith('p.csv:3: job "train" requires meta that is missing: data_path')
    asks = read_asks(params=write(tmp_path, "p.csv", "data_path,lr\na,1\n../b,2\n"))
    assert refused(asks, {}).startswith("p.csv:3: meta data_path=../b would leave its folder")
    asks = read_asks(params=write(tmp_path, "p.jsonl", '{"lr": 1}\n{"lr": "' + "x" * 20_000 + '"}'))
    assert refused(asks).startswith("p.jsonl:2: the meta has 20")
    asks = read_asks(["lr=1"], params=write(tmp_path, "p.csv", "lr\n1\n"))
    assert refused(asks).startswith("'lr' is in p.csv and in --sweep")


def test_payloads_are_the_files_of_a_folder_by_name(tmp_path: Path) -> None:
    write(tmp_path, "b.json", "2")
    write(tmp_path, "a.json", b"\xff\x00")
    write(tmp_path, ".hidden", "x")
    (tmp_path / "folder").mkdir()
    payloads = read_payloads(tmp_path)
    assert payloads == (Payload("a.json", b"\xff\x00"), Payload("b.json", b"2"))
    assert tuple(payload_of(line) for line in payload_lines(payloads)) == payloads
    assert Asks(payloads=payloads).slots(None) == 2
    assert check_asks(SHAPE, Asks(payloads=payloads), META, b"") == META
    assert "exclude each other" in refused(Asks(payloads=payloads), payload=b"x")
    forbids = JobShape("train", (), (), "forbidden", "v", {"g": 1}, {"g": 1})
    assert refused(Asks(payloads=payloads), {}, shape=forbids).startswith('a.json: job "train" forbids a payload')


def test_payloads_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeta, match="has no file"):
        read_payloads(tmp_path)
    with pytest.raises(InvalidMeta, match="No such file"):
        read_payloads(tmp_path / "nowhere")
    write(tmp_path, "big", b"x" * 16_385)
    with pytest.raises(InvalidMeta, match="big: the payload has 16385 bytes, more than Nomad's 16384"):
        read_payloads(tmp_path)


def test_what_is_kept_is_read_back_or_refused() -> None:
    kept, data = pack("runs/x/params.jsonl.gz", [b'{"lr": 1}', b'{"lr": 2}'])
    assert unpack(kept, data) == [b'{"lr": 1}', b'{"lr": 2}']
    assert pack("runs/x/params.jsonl.gz", [b'{"lr": 1}', b'{"lr": 2}']) == (kept, data)
    with pytest.raises(ValueError, match="sha256"):
        unpack(Kept(kept.object, "0" * 64, 2), data)
    with pytest.raises(ValueError):
        unpack(kept, data[:-4])


def test_a_sweep_is_json_and_again() -> None:
    sweep = Sweep((Axis("lr", ("1", "2")),), Kept("runs/x/params.jsonl.gz", "5ec", 7), None)
    from dataclasses import asdict

    assert Sweep.from_dict(json.loads(json.dumps(asdict(sweep)))) == sweep
    with pytest.raises((TypeError, KeyError)):
        Sweep.from_dict({"axes": [], "params": 3, "payloads": None})


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"\x1f\x8b\x08\x00x", "a.csv:1: the file is compressed (gzip) | unpack it first"),
        ("a.csv.gz", b"lr\n1\n", "the file is compressed | unpack it first:  gunzip a.csv.gz"),
        ("a.csv", b"PK\x03\x04\xff", "a.csv:1: the file is a zip archive or a spreadsheet | save it as CSV"),
        ("a.csv", b"lr\n" + b"x" * 200_000, "a.csv:2: a cell is too long | put large parameters in an object store"),
        (
            "a.jsonl",
            b'[{"lr": 1},\n{"lr": 2}]\n',
            "a.jsonl:1: a list begins here, and the file is to",
        ),
        ("a.jsonl", b"[1, 2]\n", "a.jsonl:1: a list begins here"),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    csv.field_size_limit(10_000_000)  # as the import of an index leaves it
    with pytest.raises(InvalidMeta) as caught:
        read_params(write(tmp_path, name, data))
    assert said in f"{caught.value.message} | {caught.value.hint}"


def test_an_error_of_the_first_row_names_its_line(tmp_path: Path) -> None:
    rows = read_params(write(tmp_path, "p.csv", "depth,lr\n3," + "x" * 20_000 + "\n"))
    assert "p.csv:2: the meta has " in refused(Asks(rows=rows))


def test_a_line_break_in_a_sweep_is_named() -> None:
    with pytest.raises(InvalidMeta, match="a value holds a line break"):
        axes_of(["note=a\nb,c"])
    assert axes_of(['note="a\nb",c'])[0].values == ("a\nb", "c")
