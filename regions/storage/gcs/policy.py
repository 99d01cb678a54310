"""Least rights in Google Cloud Storage as bindings of a bucket's IAM policy."""

from __future__ import annotations

from typing import Any

from regions.storage.backend import Grants, before_patterns
from regions.store_config import StoreConfig


def policy(store: StoreConfig, grants: Grants) -> dict[str, Any]:
    """The bindings with these rights.

    Creators can't replace an object there: that needs `storage.objects.delete`, which only scratch objects get.
    """
    bucket, _, prefix = store.url.removeprefix("gs://").partition("/")
    base = f"projects/_/buckets/{bucket}/objects/{prefix.rstrip('/')}/".replace("//", "/")

    def binding(name: str, parts: tuple[str, ...], *, is_listing: bool = False) -> dict[str, Any]:
        tests = [f"resource.name.startsWith('{base}{part}')" for part in parts]
        if is_listing:  # a listing is asked of the bucket itself
            tests.insert(0, f"resource.name == 'projects/_/buckets/{bucket}'")
        return {
            "role": f"roles/storage.{name}",
            "members": [f"serviceAccount:SERVICE_ACCOUNT_OF_THE_{grants.role.upper()}"],
            "condition": {"title": f"fedml-{grants.role}-{name}", "expression": " || ".join(tests)},
        }

    reading = binding("objectViewer", grants.reads, is_listing=grants.may_list)
    creating = [binding("objectCreator", grants.added)] if grants.added else []
    bindings = [reading, *creating] if grants.may_list else [*creating, reading]
    if grants.scratch:
        bindings.append(binding("objectUser", before_patterns(grants.scratch)))
    return {"version": 3, "bindings": bindings}
