"""`--where`: what it finds, against an evaluator in Python over random results; and what each mistake is told."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.index import Index, Row
from federation.index.query import WhereError, candidates
from federation.result import Key, ResultRecord
from regions.model import StoreConfig
from regions.storage.file.store import FileStore
from tests.examples import examples

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

INF, NAN = math.inf, math.nan
REGIONS = ["us", "eu", "on prem", "it's", "%", "日本", ""]
METRICS = ["auc", "val.loss", "naïve", 'a "b"', "back\\slash", "x/y", "1st", "$float"]
PARAMS = ["lr", "batch size", "模型", "plot"]
VALUES: list[Any] = [0, 1, -1, 0.5, 0.75, 1e300, 10**17, INF, -INF, NAN, "", "good", "0.5", "Good", True, False]
TEXTS = ["", "0.1", "0.10", "1e-3", "64", " 64 ", "nan", "inf", "x", "X%", "true", "1_000", "٣"]
TIMES = ["2026-11-24T10:00:00Z", "2026-11-24T11:00:00+01:00", "2026-11-24T10:00:00.000001Z", "no time", "2026-11-24"]
VERSIONS = ["4", "10", "2026-11", "v4", "04"]
RESULTS = 60


@pytest.fixture(scope="module")
def rows_of(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, list[Row]]:
    """An index with random results of all kinds, and its rows."""
    draw = random.Random(7)
    folder = tmp_path_factory.mktemp("where")
    index = Index(FileStore(StoreConfig(url=(folder / "home").as_uri())), cache_dir=folder / "cache", author="a@b")
    records = []
    for number in range(RESULTS):
        some = draw.sample(METRICS, draw.randint(0, len(METRICS)))
        records.append(
            ResultRecord(
                key=Key("run-1", draw.randint(0, 40), "train", draw.randint(0, 1)),
                attempt=draw.randint(1, 3),
                job="sales",
                version=draw.choice(VERSIONS),
                spec_hash="s",
                region=draw.choice(REGIONS[:-1]),
                datacenter="dc",
                node=draw.choice(["us-1", ""]),
                alloc_id=f"{number:08x}-0000",
                job_id="x",
                store="memory://us",
                manifest_sha256="m" * 64,
                files=(),
                created=draw.choice(TIMES),
                metrics={name: draw.choice(VALUES) for name in some},
                params={name: draw.choice(TEXTS) for name in draw.sample(PARAMS, draw.randint(0, len(PARAMS)))},
            )
        )
    index.commit(records)
    rows = index.query()
    for name, row in zip(["production", "staging", "Wien.日本"], rows[::7], strict=False):
        index.tag(name, row.alloc_id)
    index.tag("champion", rows[0].alloc_id)
    return index, index.query()


# ── the evaluator ─────────────────────────────────────────────────────────────────────────────────────────────────────

FIXED = {"version", "region", "node", "slot", "attempt", "created", "committed", "state", "tag"}


def number_in(text: str) -> float | int | None:
    found = re.fullmatch(r"(?i)[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf(inity)?", text.strip())
    return float(text) if found else None


def moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def value_of(row: Row, field: tuple[str, str], like: Any) -> Any:
    """The field as a value of the type that `like` has; None where it is missing, of another type, or a NaN."""
    kind, name = field
    if kind == "metrics":
        value = row.metrics.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        return value if kind_of(value) == kind_of(like) else None
    if kind == "params" or name == "version":
        text = row.params.get(name) if kind == "params" else row.version
        return text if text is None or isinstance(like, str) else number_in(text)
    if name in ("created", "committed"):
        return moment(getattr(row, name))
    return getattr(row, name)


def kind_of(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def matches(pattern: str, text: str) -> bool:
    """SQL's LIKE without regard to the case of ASCII letters."""
    fold = str.maketrans({chr(code): chr(code + 32) for code in range(65, 91)})
    regex, escaped = "", False
    for char in pattern.translate(fold):
        if escaped or char not in "%_\\":
            regex, escaped = regex + re.escape(char), False
        elif char == "\\":
            escaped = True
        else:
            regex += ".*" if char == "%" else "."
    return re.fullmatch(regex, text.translate(fold), re.DOTALL) is not None


def compare(sign: str, value: Any, literals: list[Any]) -> bool | None:
    if value is None:
        return None
    one = literals[0]
    match sign:
        case "in":
            return value in literals
        case "like":
            return matches(one, value)
        case "between":
            return bool(one <= value <= literals[1])
        case "=":
            return bool(value == one)
        case "!=":
            return bool(value != one)
    return bool({"<": value < one, "<=": value <= one, ">": value > one, ">=": value >= one}[sign])


def evaluate(tree: Any, row: Row) -> bool | None:
    match tree:
        case ("and", parts):
            found = [evaluate(part, row) for part in parts]
            return False if False in found else None if None in found else True
        case ("or", parts):
            found = [evaluate(part, row) for part in parts]
            return True if True in found else None if None in found else False
        case ("not", part):
            found = evaluate(part, row)
            return None if found is None else not found
    _, field, sign, literals, is_negated = tree
    if field == ("fixed", "tag"):
        answer: bool | None = (
            not row.tags
            if sign == "is null"
            else not any(compare("=", tag, literals) for tag in row.tags)
            if sign == "!="
            else any(compare(sign, tag, literals) for tag in row.tags)
        )
    elif sign == "is null":
        held = {"metrics": row.metrics, "params": row.params}.get(field[0])
        answer = getattr(row, field[1]) == "" if held is None else field[1] not in held
    elif sign == "is nan":
        metric = row.metrics.get(field[1])
        answer = isinstance(metric, float) and math.isnan(metric)
    else:
        if field[1] in ("created", "committed"):
            literals = [moment(literal) for literal in literals]
        answer = compare(sign, value_of(row, field, literals[0]), literals)
    return (None if answer is None else not answer) if is_negated else answer


# ── how a tree is written ─────────────────────────────────────────────────────────────────────────────────────────────


def written(tree: Any) -> str:
    match tree:
        case (("and" | "or") as word, parts):
            return "(" + f" {word} ".join(map(written, parts)) + ")"
        case ("not", part):
            return f"not {written(part)}"
    _, (kind, name), sign, literals, is_negated = tree
    field = name if kind == "fixed" else f"{kind}." + ('"' + name.replace('"', '""') + '"')
    values = [literal_text(literal) for literal in literals]
    negation = "not " if is_negated else ""
    match sign:
        case "is null" | "is nan":
            return f"{field} is {negation}{sign[3:]}"
        case "in":
            return f"{field} {negation}in ({', '.join(values)})"
        case "between":
            return f"{field} {negation}between {values[0]} AND {values[1]}"
        case "like":
            return f"{field} {negation}LIKE {values[0]}"
    return f"{field}{sign}{values[0]}"


def literal_text(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


SIGNS = ["=", "!=", "<", "<=", ">", ">="]
NUMBERS = st.sampled_from([0, 1, -1, 0.5, 0.1, 0.75, 64, 1e300, 10**17, INF, -INF, 4, 10])
PATTERNS = st.sampled_from(["", "%", "_", "g%", "G_od", "%\\%", "0.1%", "日_", "%'%", "x\\%", "prod%", "%ion"])
STRINGS = st.sampled_from([*REGIONS, *TEXTS, "good", "Good", "production", "it's", "nobody"])


def comparisons(field: st.SearchStrategy[Any], values: st.SearchStrategy[Any], signs: list[str]) -> Any:
    plain = st.tuples(
        st.just("is"), field, st.sampled_from(signs), st.lists(values, min_size=1, max_size=1), st.just(False)
    )
    listed = st.tuples(st.just("is"), field, st.just("in"), st.lists(values, min_size=1, max_size=4), st.booleans())
    if len(signs) < len(SIGNS):
        return st.one_of(plain, listed)
    between = st.tuples(
        st.just("is"), field, st.just("between"), st.lists(values, min_size=2, max_size=2), st.booleans()
    )
    return st.one_of(plain, listed, between)


def fields(kind: str, names: list[str]) -> Any:
    return st.tuples(st.just(kind), st.sampled_from(names))


ANY_FIELD = st.one_of(
    fields("metrics", METRICS), fields("params", PARAMS), fields("fixed", ["region", "version", "node", "tag"])
)
LEAVES = st.one_of(
    comparisons(fields("metrics", METRICS), NUMBERS, SIGNS),
    comparisons(fields("metrics", METRICS), STRINGS, SIGNS),
    comparisons(fields("metrics", METRICS), st.booleans(), ["=", "!="]),
    comparisons(fields("params", PARAMS), NUMBERS, SIGNS),
    comparisons(fields("params", PARAMS), STRINGS, SIGNS),
    comparisons(fields("fixed", ["version"]), st.one_of(NUMBERS), SIGNS),
    comparisons(fields("fixed", ["version", "region", "node"]), STRINGS, SIGNS),
    comparisons(fields("fixed", ["slot", "attempt"]), NUMBERS, SIGNS),
    comparisons(fields("fixed", ["created"]), st.sampled_from(TIMES[:3]), SIGNS),
    comparisons(fields("fixed", ["tag"]), STRINGS, ["=", "!="]),
    st.tuples(st.just("is"), ANY_FIELD, st.just("is null"), st.just([]), st.booleans()),
    st.tuples(st.just("is"), fields("metrics", METRICS), st.just("is nan"), st.just([]), st.booleans()),
    st.tuples(st.just("is"), ANY_FIELD, st.just("like"), st.lists(PATTERNS, min_size=1, max_size=1), st.booleans()),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES, few=st.sampled_from([-1, 2, candidates.FEW]))
def test_where_finds_what_a_python_evaluator_finds(rows_of: tuple[Index, list[Row]], tree: Any, few: int) -> None:
    """However many candidates are few: whether an index is used makes no difference."""
    index, rows = rows_of

    with patch.object(candidates, "FEW", few):
        found = {row.alloc_id for row in index.query(where=written(tree))}

    assert found == {row.alloc_id for row in rows if evaluate(tree, row) is True}, written(tree)


@pytest.mark.parametrize("pattern", ["%\\%", "x\\%", "\\%", "\\_", "_", "%", "US", "日_", "%'%", "o_ p%", ""])
@pytest.mark.parametrize("field", [("fixed", "region"), ("params", "lr"), ("metrics", "auc")])
def test_like(rows_of: tuple[Index, list[Row]], field: tuple[str, str], pattern: str) -> None:
    index, rows = rows_of
    tree = ("is", field, "like", [pattern], False)

    found = {row.alloc_id for row in index.query(where=written(tree))}

    assert found == {row.alloc_id for row in rows if evaluate(tree, row) is True}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_sort_puts_numbers_first_then_nan_then_texts_and_what_is_missing_last(
    rows_of: tuple[Index, list[Row]], name: str, direction: str
) -> None:
    index, rows = rows_of
    quoted = '"' + name.replace('"', '""') + '"'

    found = [row.metrics.get(name) for row in index.query(sort=f"metrics.{quoted}:{direction}")]

    def rank(value: Any) -> int:
        if value is None:
            return 4
        if isinstance(value, bool):
            return 3
        return 2 if isinstance(value, str) else 1 if math.isnan(value) else 0

    assert len(found) == len(rows)
    assert [rank(value) for value in found] == sorted(rank(value) for value in found)
    for kind in (0, 2, 3):
        values = [value for value in found if rank(value) == kind]
        assert values == sorted(values, reverse=direction == "desc")


def test_sort_by_several_fields(rows_of: tuple[Index, list[Row]]) -> None:
    index, rows = rows_of

    found = [(row.version, row.slot) for row in index.query(sort="version, slot:desc")]

    def rank(version: str) -> tuple[bool, float, str]:
        number = number_in(version)
        return number is None, number or 0, version

    assert found == sorted(((row.version, row.slot) for row in rows), key=lambda one: (rank(one[0]), -one[1]))


@pytest.mark.parametrize(
    ("text", "problem", "hint", "caret"),
    [
        ("", "the condition ends where a field should be", "", 0),
        ("metrics.acu > 0.5", "no result has the metric 'acu'", "did you mean metrics.auc?", 0),
        ("auc > 0.5", "there is no field 'auc'", "did you mean metrics.auc?", 0),
        ("params.auc > 0.5", "no result has the parameter 'auc'", "did you mean metrics.auc?", 0),
        ("regoin = 'us'", "there is no field 'regoin'", "did you mean region?", 0),
        ("metrics.only_number = 'x'", "metrics.only_number is a number, and can't be compared with a text", "", 22),
        ("slot = 'x'", "slot is a number, and can't be compared with a text", "numbers stand without quotes", 7),
        ("region = 4", "region is a text, and can't be compared with a number", "texts and times stand in 'single", 9),
        ("region = us", "'us' stands where a value should be", "texts stand in 'single quotes': 'us'", 9),
        ("region = 'us", "this text has no end", "close it with '", 9),
        ('region = "us"', "'\"' has no meaning here", "texts stand in 'single quotes'", 9),
        ("region == 'us' & slot = 1", "'&' has no meaning here", "write and", 15),
        ("region = 'us' slot = 1", "'slot' stands where and, or, or the end should be", "", 14),
        ("(region = 'us'", "the condition ends where ) should be", "", 14),
        ("region = null", "'null' stands where a value should be", "write: is null, or: is not null", 9),
        ("metrics.auc = nan", "'nan' stands where a value should be", "write: is nan, or: is not nan", 14),
        ("slot is nan", "slot is never a NaN: only a metric may be one", "", 0),
        ("slot in (1, 'a')", "a text stands beside a number", "", 12),
        ("slot like 'a%'", "slot is a number, and like is for texts", "", 10),
        ("region like 5", "like takes a text with % and _: 'sales-%'", "", 12),
        ("region like 'a\\'", "the pattern ends in a backslash that escapes nothing", "write \\\\", 12),
        ("committed > '2026-11-24'", "'2026-11-24' is not a time with a zone", "2026-11-24T10:00:00Z", 12),
        ("committed > '2026-11-24T10:00:00'", "'2026-11-24T10:00:00' is not a time with a zone", "", 12),
        ("committed > 5", "committed is a time, and can't be compared with a number", "single quotes", 12),
        ("state = 'comitted'", "there is no state 'comitted'", "did you mean 'committed'?", 8),
        ("tag > 'a'", "tags are compared by =, !=, in, like and is null only", "", 0),
        ("tag = 4", "a tag is a text, and can't be compared with a number", "", 6),
        ("params.lr = true", "params.lr is a text or a number, and can't be compared with true or false", "", 12),
        ("size_bytes > 10XB", "'10X' is not a number", "units are B, kB, MB", 15),
        ("version = 2026-11", "'2026-' is not a number", "stand in 'single quotes'", 14),
        ("5 = slot", "'5' stands where a field should be", "the field stands first", 0),
        ("slot", "the condition ends where a comparison (=, !=, <, in, like, is null …) should be", "", 4),
        ("slot not 5", "'5' stands where in, like or between should be", "", 9),
        ("region = '\ud800'", "this is not valid text", "", 10),
    ],
)
def test_every_mistake_is_told_with_its_place(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord, text: str, problem: str, hint: str, caret: int
) -> None:
    index = open_index(memory_store)
    index.commit([make_record(metrics={"auc": 0.5, "only_number": 1}, params={"lr": "0.1"})])

    with pytest.raises(WhereError) as caught:
        index.query(where=text)

    assert caught.value.problem == problem
    assert hint in caught.value.hint
    assert caught.value.place == caret
    first, shown, under = str(caught.value).split("\n")
    assert first == f"--where: {problem}"
    assert under.index("^") == 2 + caret
    assert shown[2:] == "".join(char if char.isprintable() else " " for char in text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 30 + "slot = 1" + ")" * 30,
        "not " * 30 + "slot = 1",
        "slot = 1" + " or slot = 1" * 500,
        f"slot in ({', '.join(['1'] * 10_001)})",
        "region like '" + "%" * 1001 + "'",
        "region = '" + "x" * 20_000 + "'",
    ],
    ids=["parentheses", "nots", "comparisons", "values", "pattern", "text"],
)
def test_what_is_too_much_is_one_clear_error(open_index: OpenIndex, memory_store: Any, text: str) -> None:
    with pytest.raises(UsageError, match="more than"):
        open_index(memory_store).query(where=text)


def test_as_much_as_is_allowed_is_answered(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> None:
    index = open_index(memory_store)
    index.commit([make_record(slot=1), make_record(slot=9000, metrics={"é": 1})])
    deepest = "metrics.auc > 0.5"
    for _ in range(20):
        deepest = f'metrics."é" is null and ({deepest})'

    assert len(index.query(where=deepest)) == 1
    assert len(index.query(where=" and ".join(["slot = 1"] * 499) + f" and {'not ' * 20}slot = 1")) == 1
    assert len(index.query(where=f"slot in ({','.join(map(str, range(4000)))})")) == 1


def test_literals_are_never_part_of_the_sql(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> None:
    index = open_index(memory_store)
    index.commit([make_record(metrics={"x') OR 1 --": 1})])

    assert index.query(where="region = ''' OR 1=1 --'") == []
    assert index.query(where='metrics."x\') OR 1 --" = 2') == []
    assert len(index.query(where='metrics."x\') OR 1 --" = 1')) == 1


def test_sizes_have_units(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> None:
    index = open_index(memory_store)
    index.commit([make_record(data=b"x" * 2000)])

    assert len(index.query(where="size_bytes = 2kB")) == 1
    assert len(index.query(where="size_bytes > 1.9kB and size_bytes < 1MiB")) == 1
    assert index.query(where="size_bytes > 2KiB") == []


def test_in_an_empty_index_any_metric_may_be(open_index: OpenIndex, memory_store: Any) -> None:
    index = open_index(memory_store)

    assert index.query(where="metrics.auc > 0.5 and params.lr in (0.1, 0.01)", sort="metrics.auc:desc") == []
    with pytest.raises(WhereError):
        index.query(where="regoin = 'us'")


def test_ten_thousand_metrics_are_fields(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> None:
    index = open_index(memory_store)
    index.commit([make_record(metrics={f"m{number}": number for number in range(10_000)})])

    assert len(index.query(where="metrics.m9999 = 9999 and metrics.m0 = 0")) == 1
    with pytest.raises(WhereError) as caught:
        index.query(where="metrics.m99999 = 1")
    assert len(caught.value.hint) < 300


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("metrics.acu:desc", "--sort: no result has the metric 'acu'"),
        ("metrics.auc:down", "--sort: 'down' is not a direction"),
        ("metrics.auc version", "--sort: a comma should stand here"),
        ("metrics.auc,", "--sort: a field should stand here"),
    ],
)
def test_a_wrong_sort_is_told(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord, text: str, problem: str
) -> None:
    index = open_index(memory_store)
    index.commit([make_record()])

    with pytest.raises(WhereError, match=re.escape(problem)):
        index.query(sort=text)


def test_huge_metrics_and_limits(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> None:
    index = open_index(memory_store)
    index.commit([make_record(slot=0, metrics={"x": 10**400}), make_record(slot=1, metrics={"x": -(10**30)})])

    assert [row.slot for row in index.query(where="metrics.x > 1e300")] == [0]
    assert [row.slot for row in index.query(where="metrics.x < -99999999999999999999999")] == [1]
    assert [row.slot for row in index.query(sort="metrics.x:desc", limit=10**30)] == [0, 1]
    assert index.query(where="slot = 1")[0].metrics == {"x": -(10**30)}
