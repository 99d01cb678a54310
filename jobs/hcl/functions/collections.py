"""Functions on lists, sets and maps."""

from __future__ import annotations

from itertools import product
from typing import Any

from jobs.hcl.functions.function import Function
from jobs.hcl.numbers import Number, counted
from jobs.hcl.types import convert, type_of
from jobs.hcl.values import (
    ListValue,
    MapValue,
    NotComputed,
    SetValue,
    ValueProblem,
    equal,
    has_set,
    make_set,
    sort_key,
    to_string,
    to_whole_number,
    type_name,
    unify,
)

CELLS_MAX = 100_000


def _list(value: object, *, allow_set: bool = True) -> list[Any]:
    if not isinstance(value, list) or (isinstance(value, SetValue) and not allow_set):
        raise ValueProblem(f"a list is required, not a {type_name(value)}")
    return value


def _map(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueProblem(f"a map is required, not a {type_name(value)}")
    return value


def _texts(value: object) -> list[str]:
    return [to_string(item) for item in _list(value)]


def _like(original: list[Any], items: list[Any]) -> list[Any]:
    """Returns the items as a list where the original is one, else as a tuple."""
    return ListValue(items) if isinstance(original, ListValue) else list(items)


def chunk_list(items: object, size: object) -> list[Any]:
    length, whole = to_whole_number(size), ListValue(unify(_list(items)))
    if length < 0:
        raise ValueProblem("the size can't be negative")
    if length == 0:
        return ListValue([whole] if whole else [])
    return ListValue(ListValue(whole[n : n + length]) for n in range(0, len(whole), length))


def coalesce(*values: object) -> Any:
    has_null = any(value is None for value in values)
    is_nested = any(isinstance(value, (list, dict)) for value in values)
    for value in values if has_null and is_nested else unify(list(values)):
        if value is not None:
            return value
    raise ValueProblem("all arguments are null")


def coalesce_list(*lists: object) -> list[Any]:
    for items in [_list(given, allow_set=False) for given in lists]:
        if items:
            return items
    raise ValueProblem("all lists are empty")


def compact(items: object) -> list[str]:
    kept: list[Any] = ListValue(to_string(item) for item in _list(items) if item is not None and item != "")
    return kept


def concat(*lists: object) -> list[Any]:
    given = [_list(items, allow_set=False) for items in lists]
    joined = [item for items in given for item in items]
    if all(isinstance(items, ListValue) for items in given):
        try:
            return ListValue(unify(joined))
        except ValueProblem:
            pass
    return joined


def contains(items: object, wanted: object) -> bool:
    return any(equal(item, wanted) for item in _list(items))


def distinct(items: object) -> list[Any]:
    by_key: dict[object, Any] = {}
    for item in unify(_list(items)):
        by_key.setdefault(sort_key(item), item)
    return ListValue(by_key.values())


def element(items: object, index: object) -> Any:
    whole, position = _list(items, allow_set=False), to_whole_number(index)
    if not whole:
        raise ValueProblem("the list is empty")
    if position < 0:
        raise NotComputed("the index is negative, which Nomad's versions treat differently")
    return whole[position % len(whole)]


def flatten(items: object) -> list[Any]:
    flat: list[Any] = []
    for item in _list(items):
        if isinstance(item, list):
            flat.extend(flatten(item))
        else:
            flat.append(item)
    return flat


def index(collection: object, key: object) -> Any:
    if isinstance(collection, MapValue):
        name = to_string(key)
        if name not in collection:
            raise ValueProblem(f'there is no key "{name}"')
        return collection[name]
    whole, position = _list(collection, allow_set=False), to_whole_number(key)
    if not 0 <= position < len(whole):
        raise ValueProblem(f"there is no element {position} in a list of {len(whole)}")
    return whole[position]


def keys(mapping: object) -> list[Any]:
    found = sorted(_map(mapping))
    return ListValue(found) if isinstance(mapping, MapValue) else list(found)


def length(collection: object) -> Number:
    if not isinstance(collection, (list, MapValue)):
        kind = type_name(collection)
        instead = {"string": "strlen() counts characters", "object": "write length(keys(…))"}.get(kind)
        raise ValueProblem(f"a list or a map is required, not a {kind}" + (f"; {instead}" if instead else ""))
    return counted(len(collection))


def lookup(mapping: object, key: object, default: object) -> Any:
    found, name = _map(mapping), to_string(key)
    if not isinstance(found, MapValue):
        return found.get(name, default)
    converted = _as_elements(found, default)
    return found.get(name, converted)


def _as_elements(mapping: MapValue, value: object) -> Any:
    """Converts a value to the type of the map's elements."""
    example = next((item for item in mapping.values() if item is not None), None)
    if isinstance(example, (list, dict)):
        return unify([example, value])[1]
    return value if example is None else convert(value, type_of(example))


def merge(*mappings: object) -> dict[str, Any]:
    given = [_map(mapping) for mapping in mappings if mapping is not None]
    merged: dict[str, Any] = {}
    for mapping in given:
        merged.update(mapping)
    is_map = bool(given) and all(isinstance(mapping, MapValue) for mapping in given)
    return MapValue(merged) if is_map and len({type_name(item) for item in merged.values()}) <= 1 else merged


def _sets(lists: tuple[object, ...]) -> list[list[Any]]:
    """Converts lists to lists of one type of elements."""
    given = [_list(items) for items in lists]
    unified = iter(unify([item for items in given for item in items]))
    return [[next(unified) for _ in items] for items in given]


def set_intersection(*sets: object) -> SetValue:
    first, *others = _sets(sets)
    in_others = [{sort_key(item) for item in items} for items in others]
    return make_set([item for item in first if all(sort_key(item) in found for found in in_others)])


def set_union(*sets: object) -> SetValue:
    return make_set([item for items in _sets(sets) for item in items])


def set_product(*sets: object) -> list[Any]:
    lists = [_list(items) for items in sets]
    cells = len(lists)
    for items in lists:
        cells *= len(items)
    if cells > CELLS_MAX:
        raise NotComputed(f"the product has more than {CELLS_MAX} elements")
    lists = [items if isinstance(items, (ListValue, SetValue)) else unify(items) for items in lists]
    rows: list[Any] = [list(row) for row in product(*lists)]
    return make_set(rows) if has_set(lists) else ListValue(rows)


def cut(items: object, start: object, end: object) -> list[Any]:
    whole, first, last = _list(items, allow_set=False), to_whole_number(start), to_whole_number(end)
    if not 0 <= first <= last <= len(whole):
        raise ValueProblem(f"there is no slice from {first} to {last} in a list of {len(whole)}")
    return _like(whole, whole[first:last])


def sort(items: object) -> list[Any]:
    return ListValue(sorted(_texts(items)))


def values(mapping: object) -> list[Any]:
    found = _map(mapping)
    ordered = [found[key] for key in sorted(found)]
    return ListValue(ordered) if isinstance(mapping, MapValue) else ordered


def zip_map(names: object, items: object) -> dict[str, Any]:
    keys_given, values_given = _texts(names), _list(items, allow_set=False)
    if len(keys_given) != len(values_given):
        raise ValueProblem(f"{len(keys_given)} keys and {len(values_given)} values don't fit together")
    pairs = zip(keys_given, values_given, strict=True)
    return MapValue(pairs) if isinstance(values_given, ListValue) else dict(pairs)


COLLECTION_FUNCTIONS = {
    "chunklist": Function(chunk_list, 2, 2),
    "coalesce": Function(coalesce, 1, None, takes_null=True),
    "coalescelist": Function(coalesce_list, 1, None),
    "compact": Function(compact, 1, 1),
    "concat": Function(concat, 1, None),
    "contains": Function(contains, 2, 2),
    "distinct": Function(distinct, 1, 1),
    "element": Function(element, 2, 2),
    "flatten": Function(flatten, 1, 1),
    "index": Function(index, 2, 2),
    "keys": Function(keys, 1, 1),
    "length": Function(length, 1, 1),
    "lookup": Function(lookup, 3, 3),
    "merge": Function(merge, 0, None, takes_null=True),
    "setintersection": Function(set_intersection, 1, None),
    "setproduct": Function(set_product, 2, None),
    "setunion": Function(set_union, 1, None),
    "slice": Function(cut, 3, 3),
    "sort": Function(sort, 1, 1),
    "values": Function(values, 1, 1),
    "zipmap": Function(zip_map, 2, 2),
}
