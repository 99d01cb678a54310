"""`frozen`: a frozen class with slots, as `dataclass(frozen=True, slots=True)` makes it, in a twentieth of the time.

`dataclasses` compiles six methods of each class when its module is imported. That took two fifths of the imports of a command.
Here `__init__` is compiled when the first instance is made, and the rest is shared. `replace`, `asdict` and `fields` of
`dataclasses` work with these classes. Their methods can't call `super()` without arguments, as with any class whose slots a
decorator made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
_UNSET: Any = object()
_FIELDS = "__frozen_fields__"


class _Field:
    """How one field gets its value. `default` and `factory` are unset for one that must be given."""

    __slots__ = ("compare", "default", "factory")

    def __init__(self, default: Any, factory: Any, compare: bool) -> None:
        self.default, self.factory, self.compare = default, factory, compare


def field(*, default: Any = _UNSET, factory: Callable[[], Any] = _UNSET, compare: bool = True) -> Any:
    """Describes a field: its default, or what makes one for each instance, and whether it counts for `==` and `hash`."""
    return _Field(default, factory, compare)


if TYPE_CHECKING:
    from typing import dataclass_transform  # novermin - only for mypy
else:  # nodes may have an older Python

    def dataclass_transform(**_: Any) -> Callable[[T], T]:
        return lambda made: made


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Makes the annotated names of the class its fields."""
    kinds = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 - `inspect` takes a while to import
    own = {
        name: _as_field(cls.__dict__.get(name, _UNSET)) for name, kind in kinds.items() if "ClassVar" not in str(kind)
    }
    fields: dict[str, _Field] = {}
    for base in cls.__mro__[:0:-1]:
        fields |= base.__dict__.get(_FIELDS, {})
    fields |= own
    space = {name: of for name, of in cls.__dict__.items() if name not in (*own, "__dict__", "__weakref__")}
    metaclass: Any = type(cls)
    made: type[T] = metaclass(
        cls.__name__,
        cls.__bases__,
        {
            **_methods(fields),
            **space,
            "__slots__": tuple(own),
            "__qualname__": cls.__qualname__,
            "__match_args__": tuple(fields),
            "__dataclass_fields__": _StandardFields(cls, own),
            _FIELDS: fields,
        },
    )
    if "__init__" not in space:
        made.__init__ = _first_init(made, fields)  # type: ignore[method-assign]
    return made


def as_dict(one: Any) -> dict[str, Any]:
    """The fields of an instance, by name. What they hold is as it is."""
    return {name: getattr(one, name) for name in one.__match_args__}


def defaults_of(kind: object) -> dict[str, Any]:
    """The names of a frozen class's fields with their defaults; empty for anything else."""
    return {name: one.default for name, one in getattr(kind, "__dict__", {}).get(_FIELDS, {}).items()}


def _as_field(given: Any) -> _Field:
    if hasattr(given, "default_factory"):
        raise TypeError("a field of a frozen class is described by jobs.frozen.field")
    return given if isinstance(given, _Field) else _Field(given, _UNSET, compare=True)


def _first_init(made: Any, fields: Mapping[str, _Field]) -> Callable[..., None]:
    """The `__init__` that replaces itself by the compiled one."""

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        made.__init__ = _init(made, fields)
        made.__init__(self, *args, **given)

    return __init__


def _init(made: Any, fields: Mapping[str, _Field]) -> Any:
    values: dict[str, Any] = {"_unset": _UNSET}
    parameters, lines = [], ["pass"]
    for name, one in fields.items():
        values[f"_set_{name}"] = getattr(made, name).__set__
        values[f"_default_{name}"] = one.default
        values[f"_make_{name}"] = one.factory
        is_needed = one.default is _UNSET and one.factory is _UNSET
        parameters.append(name if is_needed else f"{name}=_default_{name}")
        taken = name if one.factory is _UNSET else f"_make_{name}() if {name} is _unset else {name}"
        lines.append(f"_set_{name}(self, {taken})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    exec(f"def __init__(self, {', '.join(parameters)}):\n  " + "\n  ".join(lines), values)  # noqa: S102 - its own names
    init = values["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _methods(fields: Mapping[str, _Field]) -> dict[str, Any]:
    """The methods that need only the names of the fields."""
    names = tuple(fields)
    compared = tuple(name for name, one in fields.items() if one.compare)
    values_of: Callable[[Any], Any] = attrgetter(*compared) if compared else lambda _: ()

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        return values_of(self) == values_of(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values_of(self))

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: list[Any]) -> None:  # noqa: N807
        for name, of in zip(names, state):  # noqa: B905 - nodes may have an older Python
            object.__setattr__(self, name, of)

    methods = (__eq__, __hash__, __repr__, __getstate__, __setstate__)
    return {method.__name__: method for method in methods} | {"__setattr__": _refuse, "__delattr__": _refuse}


def _refuse(self: Any, name: str, *_: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"{name!r} of a {self.__class__.__qualname__} can't be changed")


class _StandardFields:
    """`__dataclass_fields__`, made by `dataclasses` from a copy of the class when somebody asks for it. Threads that ask at
    once each make their own, which are alike."""

    def __init__(self, cls: Any, own: Mapping[str, _Field]) -> None:
        self._cls, self._own = cls, own

    def __get__(self, _: Any, owner: Any) -> Mapping[str, Any]:
        import dataclasses

        cls = self._cls
        space = {name: of for name, of in cls.__dict__.items() if name not in ("__dict__", "__weakref__")}
        for name, one in self._own.items():
            if one.factory is not _UNSET:
                space[name] = dataclasses.field(default_factory=one.factory, compare=one.compare)
            elif not one.compare:
                space[name] = dataclasses.field(default=one.default, compare=False)
        standard: Any = dataclasses.dataclass(frozen=True)(type(cls)(cls.__name__, cls.__bases__, space))
        if _FIELDS in owner.__dict__:
            owner.__dataclass_params__ = standard.__dataclass_params__
            owner.__dataclass_fields__ = standard.__dataclass_fields__
        found: Mapping[str, Any] = standard.__dataclass_fields__
        return found
