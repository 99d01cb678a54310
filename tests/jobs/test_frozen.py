"""`frozen` makes what `dataclass(frozen=True, slots=True)` makes, and `dataclasses` works with it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from jobs.frozen import field, frozen


@frozen
class Base:
    """What it is."""

    KIND: ClassVar[str] = "base"
    name: str
    size: int = 3
    meta: Mapping[str, str] = field(factory=dict)
    note: str = field(default="", compare=False)

    @property
    def twice(self) -> int:
        return 2 * self.size


@frozen
class Derived(Base):
    more: tuple[int, ...] = ()


@frozen
class Empty:
    pass


@frozen
class One:
    of: int


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    name: str
    size: int = 3
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class StandardOfFrozen(Base):
    last: int = 0


VALUES = (Base("a"), Base("a", 4, {"x": "y"}, "z"), Derived("a", more=(1, 2)), Empty(), One(5))


def test_an_instance_has_its_fields_and_defaults() -> None:
    assert (Base("a").name, Base("a").size, Base("a").meta, Base("a").twice, Base.KIND) == ("a", 3, {}, 6, "base")
    assert Base("a").meta is not Base("a").meta
    assert Derived("b", 1, more=(2,)).more == (2,)
    assert (Base.__doc__, Base.__qualname__, Base.__module__) == ("What it is.", "Base", __name__)


@pytest.mark.parametrize("given", [{}, {"nme": "a"}, {"name": "a", "other": 1}])
def test_wrong_arguments_are_refused_each_time(given: dict[str, Any]) -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Base\.__init__\(\)"):
            Base(**given)


def test_it_compares_hashes_and_shows_as_a_dataclass_does() -> None:
    for arguments in (("a",), ("a", 4), ("a", 3, {"x": "y"}, "note")):
        assert repr(Base(*arguments)).removeprefix("Base") == repr(Standard(*arguments)).removeprefix("Standard")
    assert Base("a", note="b") == Base("a")
    assert Base("a") != Base("b")
    assert Base("a") != Derived("a")
    assert hash(One(5)) == hash(One(5))
    assert len({Empty(), Empty(), One(1), One(1), One(2)}) == 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(Base("a"))


@pytest.mark.parametrize("one", VALUES)
def test_it_is_copied_and_pickled(one: object) -> None:
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_nothing_of_it_can_be_changed() -> None:
    one = Base("a")
    for name in ("size", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.size
    assert not hasattr(one, "__dict__")


def test_dataclasses_works_with_it() -> None:
    one = Derived("a", more=(1,))
    assert dataclasses.replace(one, size=9) == Derived("a", 9, more=(1,))
    assert dataclasses.asdict(one) == {"name": "a", "size": 3, "meta": {}, "note": "", "more": (1,)}
    assert [each.name for each in dataclasses.fields(Derived)] == ["name", "size", "meta", "note", "more"]
    assert dataclasses.is_dataclass(One)
    assert StandardOfFrozen("a", last=2) == StandardOfFrozen("a", 3, {}, "", 2)


def test_patterns_match_it_by_position() -> None:
    match Base("a", 5):
        case Base(name, size):
            assert (name, size) == ("a", 5)


def test_what_a_class_defines_itself_is_kept() -> None:
    @frozen
    class Own:
        of: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = object.__hash__

    assert repr(Own(1)) == "own"
    assert Own(1) == Own(2)


def test_it_begins_without_dataclasses() -> None:
    code = "import jobs.frozen, sys; assert 'dataclasses' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_field_of_dataclasses_is_refused() -> None:
    with pytest.raises(TypeError, match=r"jobs\.frozen\.field"):

        @frozen
        class Wrong:
            of: list[int] = dataclasses.field(default_factory=list)


def test_threads_may_ask_for_its_fields_at_once() -> None:
    for _ in range(20):

        @frozen
        class Asked:
            of: int
            more: tuple[int, ...] = ()

        start = threading.Barrier(8)

        def ask(kind: Any = Asked, start: threading.Barrier = start) -> Any:
            start.wait()
            return dataclasses.replace(kind(1), more=(2,)), [each.name for each in dataclasses.fields(kind)]

        with ThreadPoolExecutor(8) as pool:
            for found in [pool.submit(ask) for _ in range(8)]:
                assert found.result() == (Asked(1, (2,)), ["of", "more"])
