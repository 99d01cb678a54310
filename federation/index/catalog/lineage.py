"""Finds where a result came from: its data, its code and its parents.

Records hold that in their environment (`environment.json` beside the artifact) and parameters. It is found by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from federation.result import ResultRecord
from jobs.frozen import frozen

PARENT_NAMES = ("parent", "parents", "parent_result", "base_model")
PREFIX_CHARS_MIN = 8
"""A parent may be named by the beginning of its allocation id, if it is that long."""

_DATA = re.compile(r"(^|[._-])(data|dataset|train_data|input)([._-]|$)", re.IGNORECASE)
_CODE = re.compile(r"(^|[._-])(git|commit|code|revision|repo|repository|source|image)([._-]|$)", re.IGNORECASE)


@frozen
class Lineage:
    """`data` and `code` are what the record says of them, by name; parents and children are allocation ids. A parent may be
    unknown to the index: then it stands as it was written."""

    alloc_id: str
    spec_hash: str
    data: Mapping[str, str]
    code: Mapping[str, str]
    parents: tuple[str, ...]
    children: tuple[str, ...]


def named_parents(environment: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """The parents that a record names, as written: several are separated by commas or spaces."""
    texts = [source[name] for source in (environment, params) for name in PARENT_NAMES if name in source]
    return list(
        dict.fromkeys(one for text in texts if isinstance(text, str) for one in re.split(r"[,\s]+", text) if one)
    )


def data_and_code(record: ResultRecord) -> tuple[dict[str, str], dict[str, str]]:
    """The members of a record that name its data, and those that name its code. The environment wins over parameters of
    the same name."""
    members = {**record.params, **record.environment}
    names = sorted(name for name in members if name not in PARENT_NAMES)
    data = {name: members[name] for name in names if _DATA.search(name)}
    code = {name: members[name] for name in names if name not in data and _CODE.search(name)}
    return data, code
