"""Names made from a pattern are read back by it, whatever the values; what is no pattern is refused."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.publish.adopt_pattern import parse

STORY = "gs://bucket/{save_path}_v{version}_{alloc_id}.json"
ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
VALUES = {"save_path": "models/close", "version": "4", "alloc_id": ALLOC}

alloc_ids = st.uuids().map(str)
versions = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,8}", fullmatch=True)
segments = st.text(st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1)
paths = st.lists(segments, min_size=1, max_size=3).map("/".join)


def test_the_names_that_older_pipelines_write() -> None:
    pattern = parse(STORY)
    name = f"gs://bucket/models/close_v4_{ALLOC}.json"
    assert pattern.name(VALUES) == name
    assert pattern.match(name) == VALUES
    assert pattern.meta_keys == ("save_path",)
    assert pattern.is_place
    assert pattern.prefix({}) == "gs://bucket/"
    assert pattern.prefix({"save_path": "models/close"}) == "gs://bucket/models/close_v"
    assert pattern.name({"save_path": "models/close"}) is None


@given(save_path=paths, version=versions, alloc_id=alloc_ids)
def test_a_name_that_was_made_is_read_back(save_path: str, version: str, alloc_id: str) -> None:
    pattern = parse("out/{save_path}_v{version}_{alloc_id}.json")
    values = {"save_path": save_path, "version": version, "alloc_id": alloc_id}
    name = pattern.name(values)
    assert name is not None
    assert pattern.match(name) == values
    assert pattern.match(name, values) == values
    assert pattern.match(name, {"alloc_id": str(uuid.UUID(int=0))}) is None
    assert name.startswith(pattern.prefix({"save_path": save_path}))


@given(texts=st.lists(segments.filter(lambda text: "*" not in text), min_size=2, max_size=2), alloc_id=alloc_ids)
def test_texts_stand_for_themselves_whatever_they_hold(texts: list[str], alloc_id: str) -> None:
    before, after = (text.replace("{", "{{").replace("}", "}}") for text in texts)
    pattern = parse(f"{before}{{alloc_id}}{after}")
    assert pattern.name({"alloc_id": alloc_id}) == f"{texts[0]}{alloc_id}{texts[1]}"
    assert pattern.match(f"{texts[0]}{alloc_id}{texts[1]}") == {"alloc_id": alloc_id}
    assert pattern.match(f"{texts[0]}{alloc_id}{texts[1]}x") is None


@given(version=versions, alloc_id=alloc_ids, stamp=segments, name=paths)
def test_gaps_and_folders_are_listed_and_matched(version: str, alloc_id: str, stamp: str, name: str) -> None:
    timed = parse("v{version}/{alloc_id}-*.bin")
    values = {"version": version, "alloc_id": alloc_id}
    assert timed.name(values) is None
    assert timed.prefix(values) == f"v{version}/{alloc_id}-"
    assert timed.match(f"v{version}/{alloc_id}-{stamp}.bin") == values
    assert timed.match(f"v{version}/{alloc_id}-a/{stamp}.bin") is None
    folder = parse("runs/{alloc_id}/")
    assert folder.name(values) is None
    assert folder.prefix(values) == f"runs/{alloc_id}/"
    assert folder.match(f"runs/{alloc_id}/{name}") == {"alloc_id": alloc_id}


def test_a_field_that_stands_twice_is_one_value() -> None:
    pattern = parse("{version}/{alloc_id}/model-{version}.bin")
    assert pattern.match(f"4/{ALLOC}/model-4.bin") == {"version": "4", "alloc_id": ALLOC}
    assert pattern.match(f"4/{ALLOC}/model-5.bin") is None


def test_where_a_name_can_be_read_in_several_ways_earlier_fields_take_most() -> None:
    found = parse("{save_path}_v{version}_{alloc_id}").match(f"a_v1_v2_{ALLOC}")
    assert found == {"save_path": "a_v1", "version": "2", "alloc_id": ALLOC}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gs://bucket/{save_path}_v{version}.json", "names no {alloc_id}"),
        ("{alloc_id", "a single '{'"),
        ("{alloc_id}}", "a single '}'"),
        ("{}/{alloc_id}", "a single '{'"),
        ("gs:///{alloc_id}", "names no bucket"),
        ("{scheme}://bucket/{alloc_id}", "names no bucket"),
        ("", "names no {alloc_id}"),
    ],
)
def test_what_is_no_pattern(text: str, told: str) -> None:
    with pytest.raises(UsageError, match="the pattern") as caught:
        parse(text)
    assert told in str(caught.value)
    assert caught.value.hint
