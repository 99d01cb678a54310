"""Writes the least rights that each role needs over stores, in each vendor's own JSON. Pure; fedml applies none of it.

The roles are those of `federation.checks.doctor.roles`: `node` creates results and artifacts and reads them back,
`coordinator` and `dispatcher` read them and write the home store (they never replace an entry), `maintenance` writes and
deletes in all stores, `reader` reads. A coordinator may also write and delete under `doctor/`, for `fedml doctor` and
`fedml stores check`.

The JSON holds names to fill in where fedml can't know the value: `SERVICE_ACCOUNT`, `SUBSCRIPTION`, `RESOURCE_GROUP`,
`PRINCIPAL`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from federation.checks.doctor.roles import ROLES, grants
from regions.model import StoreConfig
from regions.storage.backend import backend_of


def policy(role: str, store: StoreConfig, home: StoreConfig | None) -> dict[str, Any] | None:
    """The policy of a role over one store. None where the vendor has none (a folder), or where the role needs no right
    there (a node in a store that is only home). `home` None: the store counts as a datacenter's."""
    is_home = home is not None and (store.url, store.endpoint) == (home.url, home.endpoint)
    form = backend_of(store.url).policy
    return form.make(store, grants(role, is_home=is_home)) if form is not None else None


def documents(stores: Sequence[StoreConfig], home: StoreConfig | None) -> list[dict[str, Any]]:
    """Every role over every store, for `--json`: role, store, kind (`aws`, `gcp`, `azure`, `folder`), policy."""
    return [
        {
            "role": role,
            "store": store.url,
            "kind": _kind(store),
            "policy": policy(role, store, home),
        }
        for role in ROLES
        for store in stores
    ]


def _kind(store: StoreConfig) -> str:
    backend = backend_of(store.url)
    if backend.policy is not None:
        return backend.policy.kind
    return "folder" if backend.is_folder else "other"


def text(stores: Sequence[StoreConfig], home: StoreConfig | None) -> str:
    """All policies, in sections by role, to read and to copy from."""
    return "\n".join(_sections(stores, home))


def _sections(stores: Sequence[StoreConfig], home: StoreConfig | None) -> Iterator[str]:
    section = ""
    for document in documents(stores, home):
        if document["role"] != section:
            section = document["role"]
            yield f"# ── {section}\n"
        if document["policy"] is None:
            yield f"# {document['store']}: {_FOLDER[section]}\n"
        else:
            form = backend_of(document["store"]).policy
            assert form is not None
            yield f"# {document['store']}: {form.usage}\n{json.dumps(document['policy'], indent=2)}\n"


_FOLDER = {
    "node": "write and read below results/ and artifacts/",
    "coordinator": "read; write below doctor/, and in the home store below index/ and runs/",
    "dispatcher": "as the coordinator",
    "maintenance": "read, write and delete",
    "reader": "read",
}
