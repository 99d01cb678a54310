"""Compares a record with what is known without it, and with itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from federation.claims.model import Expected, endpoint_of, shown
from federation.result import ADOPTED, CODE_SHA256, ResultFile, ResultRecord, store_name
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import checked_key

_RESERVED = ("artifacts/", "code/", "format.json", "index/", "results/", "runs/")
"""Keys below which only fedml writes: nothing there is an artifact in place."""
_SHA256 = re.compile("[0-9a-f]{64}")


def fields_of(record: ResultRecord) -> dict[str, object]:
    """The fields of a record that may be compared, in the order in which a refusal looks at them."""
    key = record.key
    return {
        "run": key.run,
        "slot": key.slot,
        "group": key.group,
        "index": key.index,
        "attempt": record.attempt,
        "allocation": record.alloc_id,
        "child": record.job_id,
        "job": record.job,
        "version": record.version,
        "spec hash": record.spec_hash,
        "region": record.region,
        "datacenter": record.datacenter,
        "node": record.node,
        "store": store_name(record.store),
        "endpoint": endpoint_of(record.store),
        "code": record.environment.get(CODE_SHA256, ""),
        **{f"parameter {name}": value for name, value in record.params.items()},
    }


def refusal(record: ResultRecord, *expected: Expected) -> str:
    """Says why a record isn't believed; empty for one that agrees with everything known."""
    return difference(record, *expected) or contradiction(record)


def difference(record: ResultRecord, *expected: Expected) -> str:
    """Names the first field that isn't as expected; empty where there is none."""
    claims = fields_of(record)
    for one in expected:
        for name, claimed in claims.items():
            if name in one and claimed not in one[name].values:
                return f"its record says {name} {shown(claimed)}; {one[name].told}"
    return ""


def contradiction(record: ResultRecord) -> str:
    """Says why a record contradicts itself; empty for one that doesn't."""
    problem = files_problem(record.files)
    if problem:
        return f"its record {problem}"
    if not record.has_its_manifest:
        return "the files that its record names don't have the record's manifest hash"
    if ADOPTED in record.environment:
        return "its record says that it was adopted, which only the index may say"
    if record.prefix is None:
        return ""
    own = f"artifacts/{record.key.path}/{record.alloc_id}/"
    if record.prefix and not record.prefix.endswith("/"):
        return f"its record says prefix {shown(record.prefix)}, which doesn't end with '/'"
    for key in (record.prefix, *(record.prefix + file.path for file in record.files)):
        segments = key.removesuffix("/").split("/")
        if key and any(segment in ("", ".", "..") for segment in segments):
            return f"its record says prefix {shown(record.prefix)}, which can leave its folder"
        if key.startswith(_RESERVED) and not key.startswith(own):
            return f"its record says prefix {shown(record.prefix)}; what lies there is fedml's own, not this result's"
    return ""


def files_problem(files: Iterable[ResultFile]) -> str:
    """Why these can't be the files of one folder (`names …`); empty for files that can."""
    paths: set[str] = set()
    for file in files:
        if {type(file.path), type(file.sha256)} - {str}:
            return "names a file by something else than a text"
        try:
            checked_key(file.path)
        except InvalidStoreURL as error:
            return f"names a file that would leave its folder ({error})"
        if not _SHA256.fullmatch(file.sha256):
            return f"names {shown(file.path)} with sha256 {shown(file.sha256)}, which isn't 64 hexadecimal digits"
        if file.path in paths:
            return f"names the file {shown(file.path)} twice"
        paths.add(file.path)
    for path in paths:
        folders = path.split("/")[:-1]
        if any("/".join(folders[:depth]) in paths for depth in range(1, len(folders) + 1)):
            return f"names {shown(path)} inside another file"
    return ""
