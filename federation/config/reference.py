"""Writes the reference of `fedml.toml` from its schema, as Markdown: keys, types, defaults and meaning.

`python -m federation.config.reference docs/reference/configuration.md` writes the tables between the page's markers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from federation.config.schema import Document
from federation.config.schema_places import NamespaceTable, SecretTable, StoreTable, Table
from federation.config.validation import table_in

BEGIN = "<!-- keys: begin -->"
END = "<!-- keys: end -->"

VALUES: dict[type[Table], str] = {StoreTable: "a store", SecretTable: "a secret", NamespaceTable: "a namespace"}
"""Tables that are values of several keys, each explained once."""


def keys_markdown() -> str:
    """One section a table, in the order of declaration; `NAME` stands for names of one's own."""
    parts = [
        _section(f"`[{path}]`" if not path.endswith("nodes") else f"`{path}`, each", model)
        for path, model in _tables("", Document)
    ]
    parts += [_section(title.capitalize(), model) for model, title in VALUES.items()]
    return "\n".join(parts)


def with_keys(page: str) -> str:
    """The page with the tables between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{keys_markdown()}{END}{after}"


def _tables(path: str, model: type[Table]) -> Iterator[tuple[str, type[Table]]]:
    for key, info in model.model_fields.items():
        inner = table_in(info.annotation)
        if inner is None or inner in VALUES:
            continue
        name = f"{path}.{key}".lstrip(".") + (".NAME" if get_origin(info.annotation) is dict else "")
        if any(table_in(field.annotation) in (None, *VALUES) for field in inner.model_fields.values()):
            yield name, inner
        yield from _tables(name, inner)


def _section(title: str, model: type[Table]) -> str:
    own_first = sorted(model.model_fields.items(), key=lambda field: field[0] not in model.__annotations__)
    rows = [
        f"| `{info.alias or key}` | {_type(info.annotation)} | {_default(info)} | {info.description} |"
        for key, info in own_first
    ]
    return "\n".join(
        [
            f"### {title}",
            "",
            " ".join(str(model.__doc__).split()),
            "",
            "| key | value | default | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "",
        ]
    )


def _type(annotation: Any) -> str:
    inner = table_in(annotation)
    if inner in VALUES:
        is_list = get_origin(annotation) is list
        return f"list of {VALUES[inner].removeprefix('a ')}s" if is_list else VALUES[inner]
    text = str(annotation)
    if "Literal" in text and inner is None:
        literal = next((part for part in get_args(annotation) if get_origin(part) is Literal), annotation)
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(literal))
    names = {"list": "list", "dict": "table", "bool": "true or false", "int": "whole number", "float": "number"}
    return next((word for name, word in names.items() if name in text), "text" if inner is None else "table")


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default is None or default == {} or isinstance(default, Table):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str):
        return f'`"{default}"`'
    return f"`{default}`".replace("'", '"')


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_keys(page.read_text()))
