"""What a run's slots differ in is kept in the home store and read back, or missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from federation.errors import IndexCorrupt
from federation.manifest import Manifest
from federation.plan import Reason, Room
from federation.run.brain.commands import Tell
from federation.run.slot_inputs import inputs_of, keep_asks, naming, parameters_of
from jobs.params.file import read_asks
from jobs.params.sweep import Axis, Sweep
from tests.federation.conftest import MemoryStore
from tests.federation.run.brain.world import MANIFEST


def kept(home: MemoryStore, folder: Path) -> Manifest:
    (folder / "p.jsonl").write_text('{"depth": 3, "note": "a, b"}\n{"depth": 5}\n')
    (folder / "payloads").mkdir()
    (folder / "payloads" / "a").write_bytes(b"\xff\x00")
    (folder / "payloads" / "b").write_bytes(b"")
    asks = read_asks(["lr=0.1,0.01"], folder / "p.jsonl", folder / "payloads")
    sweep = keep_asks(home, MANIFEST.run, asks)
    return replace(MANIFEST, meta={"all": "1"}, payload=b"", sweep=sweep, slots=asks.combinations)


def test_each_slot_gets_the_same_on_any_machine(tmp_path: Path) -> None:
    home = MemoryStore()
    manifest = kept(home, tmp_path)
    again = Manifest.from_json(manifest.to_json(), source="x")
    assert again == manifest
    inputs = inputs_of(again, home)
    assert inputs(0) == ({"all": "1", "depth": "3", "note": "a, b", "lr": "0.1"}, b"\xff\x00")
    assert inputs(7) == ({"all": "1", "depth": "5", "lr": "0.01"}, b"")
    assert inputs.parameters(7) == {"depth": 5, "lr": 0.01}


def test_a_run_without_a_sweep_reads_nothing() -> None:
    home = MemoryStore()
    inputs = inputs_of(replace(MANIFEST, meta={"a": "1"}, payload=b"x"), home)
    assert (inputs(5), home.requests) == (({"a": "1"}, b"x"), [])


def test_what_was_kept_and_is_gone_or_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = MemoryStore()
    manifest = kept(home, tmp_path)
    key = f"runs/{MANIFEST.run}/params.jsonl.gz"
    good = home.objects.pop(key)
    with pytest.raises(IndexCorrupt, match=r"params\.jsonl\.gz is gone"):
        inputs_of(manifest, home)
    home.objects[key] = good[:-5]
    with pytest.raises(IndexCorrupt, match="isn't what the run was opened with"):
        inputs_of(manifest, home)
    home.objects[key] = good
    monkeypatch.setattr("federation.run.slot_inputs._PACKED_BYTES_MAX", len(good) - 1)
    with pytest.raises(IndexCorrupt, match=r"at most .* are read of such an object"):
        inputs_of(manifest, home)


def test_an_old_manifest_has_neither_sweep_nor_rooms() -> None:
    text = MANIFEST.to_json().decode()
    before = "\n".join(line for line in text.splitlines() if "rooms" not in line)
    assert Manifest.from_json(before.encode(), source="x").rooms == ()


def test_rooms_come_back_without_what_was_free() -> None:
    room = Room("us", 9, 2.0, 1, None, "", 0.5, 60.0, 1, 7, 20)
    manifest = replace(MANIFEST, rooms=(room,), sweep=Sweep((Axis("lr", ("1",)),)))
    again = Manifest.from_json(manifest.to_json(), source="x")
    assert again == replace(manifest, rooms=(replace(room, free=0),))
    refused = replace(manifest, rooms=(replace(room, excluded=Reason.REFUSED),))
    assert Manifest.from_json(refused.to_json(), source="x").rooms[0].excluded is None


def test_parameters_are_shown_for_each_slot_and_missed_without_an_error(tmp_path: Path) -> None:
    home = MemoryStore()
    manifest = kept(home, tmp_path)
    parameters, inputs = parameters_of(manifest, home), inputs_of(manifest, home)
    assert [parameters(slot) for slot in range(8)] == [inputs.parameters(slot) for slot in range(8)]
    seen: list[Tell] = []
    observe = naming(seen.append, parameters)
    observe(Tell("failed", "us", 7, 1, "exit code 1"))
    observe(Tell("lost", "us"))
    assert [tell.params for tell in seen] == [{"depth": 5, "lr": 0.01}, {}]
    del home.objects[f"runs/{MANIFEST.run}/params.jsonl.gz"]
    assert parameters_of(manifest, home)(7) == {}
