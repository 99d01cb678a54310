"""Writes the least rights that each role needs over stores, in each vendor's own JSON. Pure; fedml applies none of it.

The roles are those of `federation.checks.doctor.roles`: `node` creates results and artifacts and reads them back,
`coordinator` reads them and writes the home store (it never replaces an entry), `reader` reads. The coordinator may also
write and delete under `doctor/`, for `fedml doctor` and `fedml stores check`.

The JSON holds names to fill in where fedml can't know the value: `SERVICE_ACCOUNT`, `SUBSCRIPTION`, `RESOURCE_GROUP`,
`PRINCIPAL`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from federation.checks.doctor.roles import ROLES, s3_policy
from regions.model import StoreConfig

NODE_PARTS = ("results/", "artifacts/")
HOME_PARTS = ("format.json", "index/", "runs/")
SCRATCH = "doctor/"

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def policy(role: str, store: StoreConfig, home: StoreConfig | None) -> dict[str, Any] | None:
    """The policy of a role over one store. None where the vendor has none (a folder), or where the role needs no right
    there (a node in a store that is only home). `home` None: the store counts as a datacenter's."""
    is_home = home is not None and (store.url, store.endpoint) == (home.url, home.endpoint)
    scheme = store.url.partition("://")[0]
    if scheme == "s3":
        nowhere = StoreConfig(url="file:///")
        made = dict(s3_policy(role, store if is_home else nowhere, [store]))
        return made if made["Statement"] else None
    if scheme == "gs":
        return _gcp(role, store, is_home=is_home)
    if scheme == "az":
        return _azure(role, store, is_home=is_home)
    return None


def documents(stores: Sequence[StoreConfig], home: StoreConfig | None) -> list[dict[str, Any]]:
    """Every role over every store, for `--json`: role, store, kind (`aws`, `gcp`, `azure`, `folder`), policy."""
    kinds = {"s3": "aws", "gs": "gcp", "az": "azure", "file": "folder"}
    return [
        {
            "role": role,
            "store": store.url,
            "kind": kinds.get(store.url.partition("://")[0], "other"),
            "policy": policy(role, store, home),
        }
        for role in ROLES
        for store in stores
    ]


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
            yield f"# {document['store']}: {_HOW[document['kind']]}\n{json.dumps(document['policy'], indent=2)}\n"


_HOW = {
    "aws": "an IAM policy for the role's identity",
    "gcp": "bindings to merge into the bucket's IAM policy (gcloud storage buckets get-iam-policy, set-iam-policy)",
    "azure": "a custom role (az role definition create) and its assignment's condition",
}
_FOLDER = {
    "node": "write and read below results/ and artifacts/",
    "coordinator": "read; write below doctor/, and in the home store below index/ and runs/",
    "reader": "read",
}


# ── Google Cloud ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _gcp(role: str, store: StoreConfig, *, is_home: bool) -> dict[str, Any]:
    """Creators can't replace an object there: that needs `storage.objects.delete`, which only `doctor/` gets."""
    bucket, _, prefix = store.url.removeprefix("gs://").partition("/")
    base = f"projects/_/buckets/{bucket}/objects/{prefix.rstrip('/')}/".replace("//", "/")

    def binding(name: str, *parts: str, listing: bool = False) -> dict[str, Any]:
        tests = [f"resource.name.startsWith('{base}{part}')" for part in parts]
        if listing:  # a listing is asked of the bucket itself
            tests.insert(0, f"resource.name == 'projects/_/buckets/{bucket}'")
        return {
            "role": f"roles/storage.{name}",
            "members": [f"serviceAccount:SERVICE_ACCOUNT_OF_THE_{role.upper()}"],
            "condition": {"title": f"fedml-{role}-{name}", "expression": " || ".join(tests)},
        }

    if role == "node":
        bindings = [binding("objectCreator", *NODE_PARTS), binding("objectViewer", *NODE_PARTS)]
    else:
        bindings = [binding("objectViewer", "", listing=True)]
        if role == "coordinator":
            bindings += [binding("objectCreator", *HOME_PARTS)] if is_home else []
            bindings.append(binding("objectUser", SCRATCH))
    return {"version": 3, "bindings": bindings}


# ── Azure ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _azure(role: str, store: StoreConfig, *, is_home: bool) -> dict[str, Any]:
    """`add` creates a blob and never replaces one; the blocks of a large file need `write`."""
    account, _, rest = store.url.removeprefix("az://").partition("/")
    container, _, prefix = rest.partition("/")
    base = f"{prefix.rstrip('/')}/" if prefix else ""
    scope = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/RESOURCE_GROUP/providers/Microsoft.Storage/"
        f"storageAccounts/{account}/blobServices/default/containers/{container}"
    )
    rights: dict[str, tuple[str, ...]] = {"read": NODE_PARTS if role == "node" else ("",)}
    if role == "node":
        rights |= {"add/action": NODE_PARTS, "write": ("artifacts/",)}
    elif role == "coordinator":
        rights |= {"add/action": (*(HOME_PARTS if is_home else ()), SCRATCH), "write": (SCRATCH,), "delete": (SCRATCH,)}
    conditions = [
        _only_under(right, [base + part for part in parts], may_list=role != "node")
        for right, parts in rights.items()
        if base or parts != ("",)
    ]
    assignment = {"principalId": f"PRINCIPAL_OF_THE_{role.upper()}", "scope": scope}
    if conditions:
        assignment |= {"conditionVersion": "2.0", "condition": " AND ".join(conditions)}
    return {
        "role": {
            "Name": f"fedml {role} on {account}/{container}",
            "IsCustom": True,
            "Actions": [],
            "DataActions": [f"{_BLOBS}/{right}" for right in rights],
            "AssignableScopes": [scope],
        },
        "assignment": assignment,
    }


def _only_under(right: str, starts: Sequence[str], *, may_list: bool) -> str:
    """An ABAC condition: another action, or a blob whose path starts so. A listing is judged by its own prefix."""
    action = f"ActionMatches{{'{_BLOBS}/{right}'}}"
    path = " OR ".join(f"@Resource[{_BLOBS}:path] StringStartsWith '{start}'" for start in starts)
    if right != "read":
        return f"((NOT {action}) OR ({path}))"
    listing = "SubOperationMatches{'Blob.List'}"
    read = f"({action} AND (NOT {listing}) AND ({path}))"
    if may_list:
        listed = " OR ".join(f"@Request[{_BLOBS}:prefix] StringStartsWith '{start}'" for start in starts)
        read += f" OR ({action} AND {listing} AND ({listed}))"
    return f"((NOT {action}) OR {read})"
