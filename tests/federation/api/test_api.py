"""The face in Python: its exact names, and what a program and a notebook get."""

from __future__ import annotations

import hashlib
import inspect
import json
import subprocess
import sys
import types
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

import federation
from federation.api import CurvePoints, FederatedIndex
from federation.errors import UsageError
from federation.index import Index
from federation.index.tags import TagRefused
from federation.result import Key, ResultFile, ResultRecord
from jobs.errors import InvalidMeta
from regions.storage import open_store, store_url

CONFIG = """
[federation]
name = "test"
home = "{root}/home"

[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.us-east-1]
store = "{root}/us"

[tags.production]
where = "metrics.auc >= 0.72"
"""


LIGHT = """
job "light" {
  type        = "batch"
  datacenters = ["*"]
  parameterized {}
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "true" }
    }
  }
}
"""


def record(store: Any, number: int, auc: float) -> ResultRecord:
    data = f"model {number}".encode()
    made = ResultRecord(
        key=Key("run-1", number, "train", 0),
        attempt=1,
        job="sales",
        version=str(number),
        spec_hash="5pec",
        region="us",
        datacenter="us-east-1",
        node="us-1",
        alloc_id=f"{number}aaa1111-0000-4000-8000-000000000000",
        job_id="sales/dispatch-1",
        store=store_url(store),
        manifest_sha256="m" * 64,
        files=(ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),),
        created="2026-11-24T10:00:00Z",
        metrics={"auc": auc},
        params={"lr": "<0.1>"},
    )
    open_store(store).put(made.artifact_prefix + "model.bin", data)
    return made


@pytest.fixture
def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("FEDML_CACHE_DIR", raising=False)
    (tmp_path / "fedml.toml").write_text(CONFIG.format(root=tmp_path.as_uri()))
    with federation.open(tmp_path) as opened:
        config = opened._app.config
        store = config.regions["us"].datacenters["us-east-1"].store
        index = Index(open_store(config.home), cache_dir=tmp_path / "other", author="ann@host")
        index.commit([record(store, number, 0.7 + number / 100) for number in (1, 2, 3)])
        index.close()
        yield opened


CLASSES: tuple[type, ...] = (
    *(federation.Federation, FederatedIndex, federation.Run, federation.Results, federation.RunList),
    federation.Comparison,
    CurvePoints,
)


def public(what: Any) -> set[str]:
    return {name for name in dir(what) if not name.startswith("_")}


def test_the_names_are_exactly_these() -> None:
    assert set(federation.__all__) == {"Comparison", "Federation", "KeepBest", "Results", "Run", "RunList", "open"}
    assert public(federation.Federation) == {
        *("cancel", "close", "dispatch", "index", "plan", "resume", "retry", "run", "runs"),
    }
    assert public(FederatedIndex) == {"compare", "follow", "get", "list", "result", "rollback", "tag", "untag"}
    assert public(federation.Results) == {"chart", "count", "index", "to_dicts", "to_pandas"}
    assert public(CurvePoints) == {"count", "index", "of", "to_dicts", "to_pandas"}
    assert public(federation.Run) == {
        *("cancel", "chart", "curves", "is_driven", "logs", "results", "retry", "state", "wait")
    }
    assert public(federation.RunList) == {"count", "index", "to_dicts"}
    assert public(federation.Comparison) == {"count", "differences", "index"}
    assert [*inspect.signature(federation.open).parameters] == ["path"]
    assert [*inspect.signature(federation.Federation.dispatch).parameters] == [
        *("self", "slots", "version", "regions", "job", "variables", "meta", "sweep", "params", "policy"),
        *("name", "skip_unreachable", "slot_timeout_s", "pending_timeout_s", "max_attempts", "max_failures"),
        *("stop_when", "keep_best"),
    ]
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = federation.opne  # type: ignore[attr-defined]


def test_every_public_name_says_what_it_does() -> None:
    for one in CLASSES:
        assert one.__doc__
        own = [value for name, value in vars(one).items() if not name.startswith("_") and callable(value)]
        assert all(value.__doc__ for value in own)


def test_every_public_name_is_documented() -> None:
    text = Path(__file__).parents[3].joinpath("docs/reference/python.md").read_text(encoding="utf-8")
    classes = CLASSES
    names = {name for one in classes for name in public(one)} - {"count"}  # of every sequence

    assert [name for name in names if name not in text] == []


def test_importing_the_package_loads_nothing() -> None:
    script = "import json, sys, federation; print(json.dumps([m for m in sys.modules if m.startswith('federation.')]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_results_are_a_sequence_a_table_and_flat_dictionaries(fed: Any) -> None:
    found = fed.index.list(where="metrics.auc > 0.71", sort="metrics.auc:desc")

    assert repr(fed) == "<federation test: us>"
    assert repr(found).splitlines()[0] == "<2 results, revision 1>"
    assert len(repr(found).splitlines()) == 4
    assert repr(fed.index) == "<index of test>"
    assert repr(fed.index.list(tag="nobody")) == "<0 results, revision 1>"
    assert found[1:].revision == 1
    assert [row.version for row in found] == ["3", "2"]
    assert [row.version for row in found[1:]] == ["2"]
    assert found.to_dicts()[0]["metrics.auc"] == 0.73
    assert found.to_dicts()[0]["params.lr"] == "<0.1>"
    html = found._repr_html_()
    assert html.count("<tr>") == 3
    assert "0.73" in html
    assert html.count('<img src="data:image/svg+xml;base64,') == 1
    assert "2 of 2" in found.chart().note
    assert found.chart()._repr_svg_().startswith("<svg xmlns=")
    assert fed.index.list(tag="nobody")._repr_html_() == "<p>0 results, revision 1</p>"


def test_pandas_is_used_where_it_is(fed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=dict))
    columns = fed.index.list().to_pandas()
    assert columns["version"][0] == "3"
    assert all(time.tzinfo is UTC for time in columns["committed"])
    assert set(columns) == {name for row in fed.index.list().to_dicts() for name in row}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        fed.index.list().to_pandas()


def test_promote_get_and_take_back(fed: Any) -> None:
    with pytest.raises(TagRefused):
        fed.index.tag("production", "1")
    fed.index.tag("production", "2", reason="good")
    fed.index.tag("production", "3", if_current="2")

    folder = fed.index.get("production")
    assert (folder / "model.bin").read_bytes() == b"model 3"
    assert folder.name == fed.index.result("production").alloc_id
    assert fed.index.get("production") == folder
    assert fed.index.rollback("production").alloc_id.startswith("2aaa")
    assert (fed.index.get("production", to=folder.parent / "mine") / "model.bin").read_bytes() == b"model 2"
    assert [row.version for row in fed.index.list(tag="production", at=3)] == ["3"]
    assert fed.index.untag("production").alloc_id == ""


def test_following_a_tag_tells_each_holder_once_and_costs_one_request_a_look(
    fed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed.index.tag("production", "2")
    requests: list[str] = []
    home = fed._app.home
    get_small = home.get_small

    def counted(key: str, *, limit_bytes: int) -> bytes:
        requests.append(key)
        return bytes(get_small(key, limit_bytes=limit_bytes))

    monkeypatch.setattr(home, "get_small", counted)
    looks = iter(["nothing", "nothing", "move", "untag"])

    def pause() -> None:
        match next(looks):
            case "nothing":
                requests.clear()
            case "move":
                assert len(requests) == 1
                fed.index.tag("production", "3")
            case "untag":
                fed.index.untag("production")

    holders = fed.index.follow("production", pause=pause)

    assert next(holders).version == "2"
    assert next(holders).version == "3"
    assert next(holders) is None


def test_a_plan_that_no_region_answers_is_one_clear_error(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "light.nomad.hcl").write_text(LIGHT)
    with pytest.raises(federation.errors.FederationError, match="no region can be asked"):
        fed.plan(slots=2)
    with pytest.raises(InvalidMeta, match="declares no meta key 'depth' to sweep over"):
        fed.dispatch(sweep={"lr": [0.1, 0.01]}, params=[{"depth": 3}, {"depth": None}])
    with pytest.raises(InvalidMeta, match="params:2: 'depth' is a list"):
        fed.plan(params=[{"depth": 3}, {"depth": [4]}])
    with pytest.raises(InvalidMeta, match="--sweep lr has the value '1' twice"):
        fed.plan(sweep={"lr": [1, 1]})
    with pytest.raises(federation.errors.FederationError, match="no region can be asked"):
        fed.dispatch(slots=2)
    assert [row.version for row in fed.index.list(limit=1)] == ["3"]


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (
            lambda fed: fed.dispatch(slots=20.0),
            "dispatch(): slots takes a whole number, not the number 20.0",
            "20",
        ),
        (lambda fed: fed.dispatch("20"), "dispatch(): slots takes a whole number, not the text '20'", "20"),
        (lambda fed: fed.dispatch(True), "dispatch(): slots takes a whole number, not True", ""),
        (lambda fed: fed.plan(regions="us"), "plan(): regions takes a list of texts, not the text 'us'", "['us']"),
        (lambda fed: fed.plan(regions=["us", 1]), "plan(): regions[1] takes a text, not the number 1", '"1"'),
        (lambda fed: fed.plan(regions={"us": 1}), "plan(): regions takes a list of texts, not a dictionary", ""),
        (lambda fed: fed.plan(meta=["lr=1"]), "plan(): meta takes a dictionary, not a list", ""),
        (
            lambda fed: fed.plan(meta={"lr": None}),
            "plan(): meta['lr'] takes a text or a number or True or False, not None",
            "True or False",
        ),
        (lambda fed: fed.plan(meta={3: "x"}), "plan(): meta: a key takes a text, not the number 3", '"3"'),
        (lambda fed: fed.plan(variables="a=b"), "plan(): variables takes a dictionary, not the text 'a=b'", ""),
        (
            lambda fed: fed.plan(sweep={"lr": "0.1"}),
            "sweep['lr'] takes a list of values, not the text '0.1'",
            "['0.1']",
        ),
        (lambda fed: fed.plan(sweep={"lr": 0.1}), "sweep['lr'] takes a list of values, not the number 0.1", "[0.1]"),
        (lambda fed: fed.plan(sweep={"lr": {1, 2}}), "sweep['lr'] takes a list of values, not a set", ""),
        (lambda fed: fed.plan(params={"lr": 1}), "params takes a list of dictionaries, not a dictionary", ""),
        (lambda fed: fed.plan(params=["lr"]), "plan(): params[0] takes a dictionary, not the text 'lr'", ""),
        (
            lambda fed: fed.plan(params=Frame()),
            "params takes a list of dictionaries, not a Frame",
            'to_dict("records")',
        ),
        (lambda fed: fed.plan(job=Path("x")), "plan(): job takes a text, not a", ""),
        (lambda fed: fed.dispatch(skip_unreachable="no"), "takes True or False, not the text 'no'", "True or False"),
        (lambda fed: fed.resume(7), "resume(): run takes a text, not the number 7", '"7"'),
        (
            lambda fed: sys.modules["federation"].open(7),
            "open(): path takes a path or a text, not the number 7",
            '"7"',
        ),
        (lambda fed: fed.index.list(limit="5"), "list(): limit takes a whole number, not the text '5'", "5"),
        (lambda fed: fed.index.list(limit=-1), "list(): limit takes at least 0, not -1", ""),
        (lambda fed: fed.index.list(where=["x"]), "list(): where takes a text, not a list", ""),
        (
            lambda fed: fed.index.list(version=1.5),
            "version takes a text or a whole number, not the number 1.5",
            "",
        ),
        (lambda fed: fed.index.result(3), "result(): ref takes a text or a result, not the number 3", '"3"'),
        (lambda fed: fed.index.get("3", force=1), "get(): force takes True or False, not the number 1", "True"),
        (
            lambda fed: fed.index.get("3", allow_stores="s3://x"),
            "get(): allow_stores takes a list of texts",
            "['s3://x']",
        ),
        (lambda fed: fed.index.tag("a", None), "tag(): ref takes a text or a result, not None", ""),
        (
            lambda fed: fed.index.follow("a", pause=30),
            "follow(): pause takes a function, not the number 30",
            "",
        ),
    ],
)
def test_a_wrong_type_is_refused_in_words(fed: Any, call: Any, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        call(fed)

    assert message in refused.value.message
    assert hint in refused.value.hint


class Frame:
    """As much of a DataFrame as counts here."""

    ndim = 2

    def __iter__(self) -> Any:
        return iter(["lr"])

    def to_dict(self, orient: str) -> Any:
        return [{"lr": 1}]


def test_what_is_as_good_as_the_right_type_is_taken(fed: Any) -> None:
    class Scalar:  # as NumPy has them
        shape = ()

        def item(self) -> int:
            return 2

    assert [row.version for row in fed.index.list(limit=Scalar())] == ["3", "2"]
    assert [row.version for row in fed.index.list(version=2)] == ["2"]
    [row] = fed.index.list(version="3")
    assert fed.index.tag("best", row).alloc_id == row.alloc_id
    with pytest.raises(federation.errors.FederationError, match="jobspec"):
        fed.plan(sweep={"lr": (each for each in (1, 2))}, meta={"epochs": 3}, regions=("us",))


def test_limits_and_rows_are_checked_before_a_region_is_asked(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "light.nomad.hcl").write_text(LIGHT)
    for wrong in ("x", "-1", -1, "200%"):
        with pytest.raises(UsageError, match="is not a number or a share of slots"):
            fed.dispatch(max_failures=wrong)
    with pytest.raises(InvalidMeta, match="params has no row"):
        fed.dispatch(params=[])


def test_every_public_method_checks_its_arguments() -> None:
    """By the annotations: each is wrapped, and each annotation has words."""
    for one in CLASSES:
        for name, method in vars(one).items():
            if (
                not name.startswith("_")
                and inspect.isfunction(method)
                and len(inspect.signature(method).parameters) > 1
            ):
                assert hasattr(method, "__wrapped__"), f"{one.__name__}.{name}"
