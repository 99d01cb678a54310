"""Functions on lists, sets and maps."""

from __future__ import annotations

from itertools import product
from typing import Any

from jobs.hcl.functions.function import Function
from jobs.hcl.values import SetValue, ValueProblem, equal, make_set, to_string, to_whole_number, type_name, unify

MAX_ELEMENTS = 100_000


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueProblem(f"a list is required, not a {type_name(value)}")
    return value


def _map(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueProblem(f"a map is required, not a {type_name(value)}")
    return value


def _texts(value: object) -> list[str]:
    return [to_string(item) for item in _list(value)]


def chunk_list(items: object, size: object) -> list[list[Any]]:
    length, whole = to_whole_number(size), unify(_list(items))
    if length < 0:
        raise ValueProblem("the size can't be negative")
    if length == 0:
        return [whole] if whole else []
    return [whole[n : n + length] for n in range(0, len(whole), length)]


def coalesce(*values: object) -> Any:
    unified = unify(list(values))
    for value in unified:
        if value is not None:
            return value
    raise ValueProblem("all arguments are null")


def coalesce_list(*lists: object) -> list[Any]:
    for items in lists:
        if items is not None and _list(items):
            return _list(items)
    raise ValueProblem("all lists are empty")


def compact(items: object) -> list[str]:
    return [to_string(item) for item in _list(items) if item is not None and item != ""]


def concat(*lists: object) -> list[Any]:
    return [item for items in lists for item in _list(items)]


def contains(items: object, wanted: object) -> bool:
    return any(equal(item, wanted) for item in _list(items))


def distinct(items: object) -> list[Any]:
    found: list[Any] = []
    for item in unify(_list(items)):
        if not any(equal(item, other) for other in found):
            found.append(item)
    return found


def element(items: object, index: object) -> Any:
    whole, position = _list(items), to_whole_number(index)
    if not whole:
        raise ValueProblem("the list is empty")
    if position < 0:
        raise ValueProblem("the index can't be negative")
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
    if isinstance(collection, dict):
        name = to_string(key)
        if name not in collection:
            raise ValueProblem(f'there is no key "{name}"')
        return collection[name]
    whole, position = _list(collection), to_whole_number(key)
    if not 0 <= position < len(whole):
        raise ValueProblem(f"there is no element {position} in a list of {len(whole)}")
    return whole[position]


def keys(mapping: object) -> list[str]:
    return sorted(_map(mapping))


def length(collection: object) -> int:
    if not isinstance(collection, (list, dict)):
        raise ValueProblem(f"a list or a map is required, not a {type_name(collection)} (strlen() counts characters)")
    return len(collection)


def lookup(mapping: object, key: object, *default: object) -> Any:
    found, name = _map(mapping), to_string(key)
    if name in found:
        return found[name]
    if default:
        return default[0]
    raise ValueProblem(f'there is no key "{name}"')


def merge(*mappings: object) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for mapping in mappings:
        if mapping is not None:
            merged.update(_map(mapping))
    return merged


def set_intersection(*sets: object) -> SetValue:
    first, *others = [_list(items) for items in sets]
    return make_set([item for item in first if all(contains(other, item) for other in others)])


def set_union(*sets: object) -> SetValue:
    return make_set(concat(*sets))


def set_product(*sets: object) -> list[Any]:
    lists = [_list(items) for items in sets]
    size = 1
    for items in lists:
        size *= len(items)
    if size > MAX_ELEMENTS:
        raise ValueProblem(f"the product has more than {MAX_ELEMENTS} elements")
    rows: list[Any] = [list(row) for row in product(*lists)]
    return make_set(rows) if all(isinstance(items, SetValue) for items in lists) else rows


def cut(items: object, start: object, end: object) -> list[Any]:
    whole, first, last = _list(items), to_whole_number(start), to_whole_number(end)
    if not 0 <= first <= last <= len(whole):
        raise ValueProblem(f"there is no slice from {first} to {last} in a list of {len(whole)}")
    return whole[first:last]


def sort(items: object) -> list[str]:
    return sorted(_texts(items), key=lambda text: text.encode("utf-8", "surrogatepass"))


def values(mapping: object) -> list[Any]:
    found = _map(mapping)
    return [found[key] for key in sorted(found)]


def zip_map(names: object, items: object) -> dict[str, Any]:
    keys_given, values_given = _texts(names), _list(items)
    if len(keys_given) != len(values_given):
        raise ValueProblem(f"{len(keys_given)} keys and {len(values_given)} values don't fit together")
    return dict(zip(keys_given, values_given, strict=True))


COLLECTION_FUNCTIONS = {
    "chunklist": Function(chunk_list, 2, 2),
    "coalesce": Function(coalesce, 1, None, takes_null=True),
    "coalescelist": Function(coalesce_list, 1, None, takes_null=True),
    "compact": Function(compact, 1, 1),
    "concat": Function(concat, 1, None),
    "contains": Function(contains, 2, 2),
    "distinct": Function(distinct, 1, 1),
    "element": Function(element, 2, 2),
    "flatten": Function(flatten, 1, 1),
    "index": Function(index, 2, 2),
    "keys": Function(keys, 1, 1),
    "length": Function(length, 1, 1),
    "lookup": Function(lookup, 2, 3),
    "merge": Function(merge, 0, None, takes_null=True),
    "setintersection": Function(set_intersection, 1, None),
    "setproduct": Function(set_product, 1, None),
    "setunion": Function(set_union, 1, None),
    "slice": Function(cut, 3, 3),
    "sort": Function(sort, 1, 1),
    "values": Function(values, 1, 1),
    "zipmap": Function(zip_map, 2, 2),
}
