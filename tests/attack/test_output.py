"""Hostile text in every field that somebody else fills, and the output of every command that shows it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attack.hostile import ESCAPES, FORMULAS, MARKUP, forbidden
from tests.attack.region import RIGHT, FakeRegion, allocation, members, nodes
from tests.attack.scene import NODE_ALLOC, OPEN_RUN, Scene, assert_ended_well, dumped, record_of
from tests.attack.test_logs import KEPT, RUN_CHANGES, manifest, open_run
from tests.attack.test_records import READS
from tests.regions.conftest import Reply

ALL = "".join((*ESCAPES, *MARKUP))
TEXT = ALL.replace("\ud800", "")
"""Without a lone surrogate: a record, log, kept story or answer of a region with one is refused whole (`test_reported`)."""
ARGUMENT = ALL.replace("\0", "")
COMMANDS = (
    *READS,
    ("index", "lineage", NODE_ALLOC, "--json"),
    ("index", "export", "--format", "csv"),
    ("index", "tag"),
    ("index", "watch", "--once", "--after", "0", "--json"),
    ("index", "verify"),
    ("index", "verify", "--json"),
    ("index", "get", NODE_ALLOC, "--to", "got/x"),
    ("runs", "list", "--json"),
    ("runs", "show", OPEN_RUN),
    ("runs", "show", OPEN_RUN, "--json"),
    ("runs", "logs", OPEN_RUN, "--json"),
    ("regions", "list"),
    ("regions", "list", "--json"),
    ("regions", "show", "us"),
    ("plan",),
    ("plan", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("stores", "list"),
    ("job", "diff"),
    ("index", "show", ARGUMENT),
    ("index", "list", "--where", f"metrics.{ARGUMENT}"),
    (ARGUMENT,),
    ("plan", f"--{ARGUMENT}"),
    ("plan", "--config", ARGUMENT),
)


def poisoned(value: Any, text: str = ALL, *, keep: frozenset[str] = frozenset()) -> Any:
    """The document with hostile text at the end of each text, but in the members `keep`."""
    if isinstance(value, dict):
        return {name: one if name in keep else poisoned(one, text, keep=keep) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [poisoned(one, text, keep=keep) for one in value]
    return value + text if isinstance(value, str) else value


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A federation where everybody else writes hostile text wherever a text is."""
    region = FakeRegion()
    region.spoilt = {
        r"GET /v1/nodes": Reply(
            body=dumped(poisoned(nodes(), TEXT, keep=frozenset({"ID", "Status", "SchedulingEligibility"})))
        ),
        r"GET /v1/agent/members": Reply(body=dumped(members())),
        r"GET /v1/status/leader": Reply(body=dumped("10.0.0.1" + TEXT)),
        r"GET /v1/evaluations": Reply(400, ALL.encode(errors="replace")),
        r"GET /v1/job/.*/allocations": Reply(
            body=dumped([poisoned(allocation(), TEXT, keep=frozenset({"ID", "Name"}))])
        ),
    }
    assert set(region.spoilt) <= set(RIGHT)
    refusing = FakeRegion()
    refusing.spoilt = dict.fromkeys([*RIGHT, "*"], Reply(403, ("Permission denied " + ALL).encode(errors="replace")))
    made = Scene.made(
        tmp_path_factory.mktemp("attack") / "project", address=region.address, eu_address=refusing.address
    )
    names = frozenset(
        {"alloc_id", "run", "group", "store", "manifest_sha256", "created", "region", "datacenter", "version"}
    )
    record = poisoned(record_of(made.us.url).to_dict(), TEXT, keep=names)
    record["metrics"] = {"auc": 0.5, TEXT: 1.0, "text": TEXT}
    record["params"] = {TEXT: TEXT}
    record["environment"] = {TEXT: TEXT, "parents": TEXT}
    made.append([{"type": "add", "record": record}], author=f"mallory{TEXT}", reason=TEXT)
    made.append(
        [{"type": "note", "alloc_id": NODE_ALLOC, "text": TEXT}, {"type": "of-a-newer-fedml" + TEXT, TEXT: TEXT}],
        reason=TEXT,
    )
    made.append(
        [{"type": "tag", "name": f"tag{TEXT}".replace("\0", ""), "alloc_id": NODE_ALLOC, "previous": ""}], reason=TEXT
    )
    open_run(made, _manifest())
    made.append(
        [{"type": "bind", "slot": 0, "attempt": 1, "region": "us"}], prefix=f"runs/{OPEN_RUN}/log/", author=TEXT
    )
    made.append([RUN_CHANGES[1] | {"job_id": f"sales/dispatch-{TEXT}"}], prefix=f"runs/{OPEN_RUN}/log/", author=TEXT)
    made.append([RUN_CHANGES[2] | {"reason": TEXT}], prefix=f"runs/{OPEN_RUN}/log/", author=TEXT)
    kept = poisoned(KEPT, TEXT, keep=frozenset({"region", "state", "started", "finished", "time", "id"}))
    made.home.put(f"runs/{OPEN_RUN}/logs/000000000/1/{NODE_ALLOC}.json.gz", gzip.compress(dumped(kept)))
    made.remember()
    yield made
    region.close()
    refusing.close()


def _manifest() -> bytes:
    document = json.loads(manifest().to_json())
    return dumped(document | {"author": TEXT, "meta": {TEXT: TEXT}})


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: " ".join(command).encode("unicode_escape").decode()[:60]
)
def test_nothing_that_steers_a_terminal_is_printed(scene: Scene, command: tuple[str, ...]) -> None:
    done = scene.run(*command, limit_s=30)
    assert_ended_well(done)
    if done.code == 0 and "--json" not in command:
        for line in (done.out + done.err).splitlines():
            assert line.strip() != "Error: forged", "a line feed in a field must not begin a line"


def test_the_hostile_text_is_really_shown(scene: Scene) -> None:
    for command in (
        ("index", "show", NODE_ALLOC),
        ("index", "log"),
        ("runs", "show", OPEN_RUN),
        ("regions", "show", "us"),
    ):
        done = scene.run(*command, limit_s=30)
        assert "\\x1b[2J" in done.out, (command, done.out, done.err)
        assert "[link=http://stranger/]click[/link]" in done.out, command


def test_json_has_the_exact_text(scene: Scene) -> None:
    out = scene.run("index", "show", NODE_ALLOC, "--json").out
    (result,) = json.loads(out)["results"]
    assert result["params"] == {TEXT: TEXT}
    assert not forbidden(out)


def test_logs_are_escaped_on_a_terminal_only(scene: Scene) -> None:
    piped = scene.run("runs", "logs", OPEN_RUN, limit_s=30)
    assert "\x1b[2J" in piped.out, piped.err
    shown = scene.run("runs", "logs", OPEN_RUN, limit_s=30, is_terminal=True)
    assert not forbidden(shown.out + shown.err)
    assert "epoch 1\n\\x1b[2J" in shown.out


def test_a_spreadsheet_sees_no_formula(scene: Scene) -> None:
    texts = {f"p{number}": text for number, text in enumerate(FORMULAS)}
    metrics = {"negative": -0.5, "text": "=1+1", "plus": "+1"}
    scene.append(
        [
            {
                "type": "add",
                "record": record_of(
                    scene.us.url, alloc_id="66666666-0000-4000-8000-000000000006", params=texts, metrics=metrics
                ).to_dict(),
            }
        ]
    )
    done = scene.run("index", "export", "--format", "csv")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    row = next(one for one in rows if one["alloc_id"].startswith("66666666"))
    for name, text in texts.items():
        assert row[f"params.{name}"].startswith("'"), text
    assert row["metrics.negative"] == "-0.5"
    assert row["metrics.text"] == "'=1+1"
    assert json.loads(row["record"])["params"] == texts, "the record has the exact texts"
    for one in rows:
        for name, cell in one.items():
            assert not (cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(cell)), (name, cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
