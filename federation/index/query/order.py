"""Compiles `--sort` (`metrics.auc:desc,version`) to ORDER BY, and `--columns` (`version,metrics.auc,tags`) to fields."""

from __future__ import annotations

import re

from federation.index.query.fields import Field, Fields, Sql
from federation.index.query.tokens import WhereError

_ITEM = re.compile(r'[^\s,:"]+(?:"(?:[^"]|"")*"[^\s,:"]*)*')
_DIRECTIONS = {"": "ASC", "asc": "ASC", "desc": "DESC"}
_SPACE = re.compile(r"\s*")


def order(text: str, fields: Fields) -> Sql:
    """ORDER BY for `FIELD[:asc|desc]`, separated by commas. Numbers come before NaN, texts after both; what is missing is
    last in either direction. Raises WhereError."""
    found = terms(text, fields)
    return Sql(", ".join(term.text for term in found), tuple(value for term in found for value in term.values))


def terms(text: str, fields: Fields) -> list[Sql]:
    """The terms of `order`, each of which may end in ASC or DESC. Raises WhereError."""
    found: list[Sql] = []
    for field, direction in _items(text, fields, "--sort"):
        if direction.lower() not in _DIRECTIONS:
            raise WhereError(
                f"{direction!r} is not a direction",
                text=text,
                place=text.rfind(direction),
                hint="asc or desc",
                what="--sort",
            )
        found += _terms(field, _DIRECTIONS[direction.lower()])
    return found


def only_metric(text: str, fields: Fields) -> tuple[str, str] | None:
    """(name, ASC or DESC) where the order is that of one metric and nothing else. Raises WhereError."""
    items = _items(text, fields, "--sort")
    field, direction = items[0]
    is_one = len(items) == 1 and field.kind == "metric"
    return (field.key, _DIRECTIONS[direction.lower()]) if is_one else None


def sort_fields(text: str, fields: Fields) -> list[Field]:
    """The fields that `--sort` names, in that order. Raises WhereError."""
    return [field for field, _ in _items(text, fields, "--sort")]


def columns(text: str, fields: Fields) -> list[Field]:
    """The fields of `FIELD,FIELD,…`, in that order. Raises WhereError."""
    found = _items(text, fields, "--columns")
    for field, direction in found:
        if direction:
            raise WhereError(
                f"{field.name} has a direction",
                text=text,
                place=text.find(":"),
                hint="that is for --sort",
                what="--columns",
            )
    return [field for field, _ in found]


def _items(text: str, fields: Fields, what: str) -> list[tuple[Field, str]]:
    found: list[tuple[Field, str]] = []
    place = 0
    try:
        while True:
            place = _after_space(text, place)
            item = _ITEM.match(text, place)
            if item is None:
                raise WhereError("a field should stand here", text=text, place=place)
            field = fields.field(item[0], text=text, place=place)
            place = item.end()
            direction = re.compile(r":\s*(\w*)").match(text, place)
            if direction is not None:
                place = direction.end()
            found.append((field, direction[1] if direction else ""))
            place = _after_space(text, place)
            if place == len(text):
                return found
            if text[place] != ",":
                raise WhereError("a comma should stand here", text=text, place=place)
            place += 1
    except WhereError as error:
        raise WhereError(error.problem, text=text, place=error.place, hint=error.hint, what=what) from None


def _after_space(text: str, place: int) -> int:
    space = _SPACE.match(text, place)
    return space.end() if space else place


def _terms(field: Field, direction: str) -> list[Sql]:
    if "tag" in field.types:
        tag = "(SELECT MIN(name) FROM tag WHERE tag.alloc_id = result.alloc_id)"
        return [Sql(f"{tag} IS NULL"), Sql(f"{tag} {direction}")]
    terms = [field.is_missing()]
    if "number" in field.types or "text or number" in field.types:
        number = field.typed("number")
        terms += [Sql(f"{number.text} IS NULL", number.values), Sql(f"{number.text} {direction}", number.values)]
    if field.kind == "metric":
        nan = field.is_nan()
        terms.append(Sql(f"{nan.text} DESC", nan.values))
    kinds = [kind for kind in ("text", "bool") if kind in field.types]
    kinds += ["text"] if "text or number" in field.types or "time" in field.types else []
    for kind in kinds:
        value = field.typed(kind)
        terms += [Sql(f"{value.text} IS NULL", value.values), Sql(f"{value.text} {direction}", value.values)]
    return terms
