"""The stores of a federation: by datacenter, by name, each once; whether they answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.checks.stores.report import list_json, list_rows
from federation.checks.stores.uses import DEV_DOWN, Answer, by_store, chosen, places_of, reach_all
from federation.config.load import load
from federation.config.model import Config
from federation.errors import UsageError
from regions.storage.errors import InvalidStoreURL, PermissionDenied, Unavailable
from regions.storage.file.store import FileStore

TOML = """
[federation]
name = "shop"
home = "file://./stores/us"

[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.east]
store = "file://./stores/us"
[regions.us.datacenters.west]
store = "file://./stores/west"

[regions.eu]
addresses = ["http://127.0.0.1:2"]
[regions.eu.datacenters.dc1]
store = "s3://eu-models/fedml"
endpoint = "dev:s3"
[regions.eu.datacenters.east]
store = "file://./silent"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "fedml.toml").write_text(TOML + '\n[dev.stores.s3]\nbuckets = ["eu-models"]\n')
    return load(tmp_path / "fedml.toml")


def test_home_and_each_datacenter_in_the_files_order(config: Config) -> None:
    assert [(place.name, place.is_home) for place in places_of(config)] == [
        ("home", True),
        ("us/east", True),
        ("us/west", False),
        ("eu/dc1", False),
        ("eu/east", False),
    ]
    assert list(by_store(places_of(config)).values()) == [["home", "us/east"], ["us/west"], ["eu/dc1"], ["eu/east"]]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", ["home", "us/east", "us/west", "eu/dc1", "eu/east"]),
        ("home", ["home"]),
        ("us", ["us/east", "us/west"]),
        ("east", ["us/east", "eu/east"]),
        ("us/west", ["us/west"]),
        ("s3://eu-models/fedml/", ["eu/dc1"]),
        ("s3://eu-models/fedml?location=eu-west-1", ["eu/dc1"]),
    ],
)
def test_stores_are_chosen_by_name_or_url(config: Config, name: str, found: list[str]) -> None:
    assert [place.name for place in chosen(places_of(config), name)] == found


def test_an_unknown_name_is_told_with_the_nearest(config: Config) -> None:
    with pytest.raises(UsageError, match="no store 'us/wets'") as caught:
        chosen(places_of(config), "us/wets")
    assert caught.value.hint == "did you mean 'us/west'?"


def test_a_url_at_another_endpoint_is_another_store(config: Config) -> None:
    with pytest.raises(UsageError):
        chosen(places_of(config), "s3://eu-models/fedml?endpoint=http://127.0.0.1:9")
    with pytest.raises(InvalidStoreURL):
        chosen(places_of(config), "s3://eu-models/fedml?secret=x")


def test_whether_they_answer(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    places = places_of(config)
    listing = FileStore.list

    def refusing(self: FileStore, prefix: str = "", *, start_after: str = "") -> object:
        if "/west" in self.url:
            raise PermissionDenied("list: access denied")
        if "/silent" in self.url:
            raise Unavailable("the line is down", hint="look at the line")
        return listing(self, prefix, start_after=start_after)

    monkeypatch.setattr(FileStore, "list", refusing)
    reached = reach_all(list(by_store(places)))
    rows = list_rows(places, reached)
    assert [row[4] for row in rows] == ["yes", "yes", "denied", "no", "no"]
    assert [row[3] for row in rows] == ["*", "*", "", "", ""]
    assert rows[2][5] == "list: access denied"
    assert reached[places[3].store].detail == DEV_DOWN
    assert reached[places[4].store].hint == "look at the line"
    told = list_json(places, reached)["stores"]
    assert told[0] == {
        "region": None,
        "datacenter": None,
        "store": places[0].store.url,
        "is_home": True,
        "answers": str(Answer.YES),
        "detail": "",
        "hint": "",
    }
    assert [(one["region"], one["datacenter"]) for one in told[1:3]] == [("us", "east"), ("us", "west")]
