"""`fedml index log` with filters, and `fedml index show --open`."""

from __future__ import annotations

import json

import pytest

from tests.federation.cli.index.helpers import ALLOCATION, Cli, Project


def test_the_log_is_filtered(filled: Project, cli: Cli) -> None:
    filled.index.tag("prod", ALLOCATION.format("a"), reason="good")
    code, out, err = cli("log", "--kind", "tag", "--author", "ann")
    assert code == 0
    assert "tag prod" in out
    assert "open run" not in out
    assert "(the newest 1 that match)" in err
    code, out, _ = cli("log", "--job", "nobody", "--json")
    assert (code, json.loads(out)["revisions"]) == (0, [])
    assert cli("log", "--kind", "gossip")[0] != 0
    code, _, err = cli("log", "--follow", "--kind", "tag")
    assert code != 0
    assert "--follow shows all revisions" in err


def test_show_opens_the_page_of_a_result(filled: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("federation.cli.ui.show_page", lambda _, page: opened.append(page))
    assert cli("show", "a0000000", "--open")[0] == 0
    assert cli("show", "a0000000", "--open", "--at", "2")[0] == 0
    address = f"/results/{ALLOCATION.format('a')}"
    assert opened == [address, f"{address}?revision=2"]
