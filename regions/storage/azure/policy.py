"""Least rights in Azure Blob Storage as a custom role and the condition of its assignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regions.storage.backend import Grants, before_patterns
from regions.store_config import StoreConfig

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def policy(store: StoreConfig, grants: Grants) -> dict[str, Any]:
    """The role and its assignment. `add` creates a blob and never replaces one; the blocks of a large file need `write`."""
    account, _, rest = store.url.removeprefix("az://").partition("/")
    container, _, prefix = rest.partition("/")
    base = f"{prefix.rstrip('/')}/" if prefix else ""
    scope = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/RESOURCE_GROUP/providers/Microsoft.Storage/"
        f"storageAccounts/{account}/blobServices/default/containers/{container}"
    )
    wanted = {
        "read": grants.reads,
        "add/action": before_patterns(grants.added + grants.scratch),
        "write": before_patterns(grants.uploads + grants.scratch),
        "delete": before_patterns(grants.scratch),
    }
    rights = {right: parts for right, parts in wanted.items() if parts}
    conditions = [
        _only_under(right, [base + part for part in parts], may_list=grants.may_list)
        for right, parts in rights.items()
        if base or parts != ("",)
    ]
    assignment = {"principalId": f"PRINCIPAL_OF_THE_{grants.role.upper()}", "scope": scope}
    if conditions:
        assignment |= {"conditionVersion": "2.0", "condition": " AND ".join(conditions)}
    return {
        "role": {
            "Name": f"fedml {grants.role} on {account}/{container}",
            "IsCustom": True,
            "Actions": [],
            "DataActions": [f"{BLOBS}/{right}" for right in rights],
            "AssignableScopes": [scope],
        },
        "assignment": assignment,
    }


def _only_under(right: str, starts: Sequence[str], *, may_list: bool) -> str:
    """An ABAC condition: another action, or a blob whose path starts so. A listing is judged by its own prefix."""
    action = f"ActionMatches{{'{BLOBS}/{right}'}}"
    path = " OR ".join(f"@Resource[{BLOBS}:path] StringStartsWith '{start}'" for start in starts)
    if right != "read":
        return f"((NOT {action}) OR ({path}))"
    listing = "SubOperationMatches{'Blob.List'}"
    read = f"({action} AND (NOT {listing}) AND ({path}))"
    if may_list:
        listed = " OR ".join(f"@Request[{BLOBS}:prefix] StringStartsWith '{start}'" for start in starts)
        read += f" OR ({action} AND {listing} AND ({listed}))"
    return f"((NOT {action}) OR {read})"
