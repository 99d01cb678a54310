"""Least rights in S3 as IAM policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regions.storage.backend import Grants
from regions.store_config import StoreConfig


def policy(store: StoreConfig, grants: Grants) -> dict[str, Any]:
    """The identity policy with these rights in one store."""
    return joined_policy([{"Statement": list(_statements(store, grants))}])


def joined_policy(policies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One policy with the statements of all of them, each once."""
    statements = [statement for policy in policies for statement in policy["Statement"]]
    merged = {json.dumps(statement, sort_keys=True): statement for statement in statements}
    return {"Version": "2012-10-17", "Statement": list(merged.values())}


def _statements(store: StoreConfig, grants: Grants) -> Iterator[dict[str, Any]]:
    base = f"arn:aws:s3:::{store.url.removeprefix('s3://').rstrip('/')}/"

    def allow(actions: Sequence[str], parts: Sequence[str]) -> dict[str, Any]:
        named = [f"{base}{part}*" if part.endswith("/") or not part else base + part for part in parts]
        return {"Effect": "Allow", "Action": list(actions), "Resource": named}

    once = grants.creates + grants.appends
    if once:  # only by conditional create: none can be replaced
        yield allow(["s3:PutObject"], once) | {"Condition": {"Null": {"s3:if-none-match": "false"}}}
    if grants.appends:  # the parts of a large one carry no condition; what completes them does
        parts = allow(["s3:PutObject", "s3:AbortMultipartUpload"], grants.appends)
        yield parts | {"Condition": {"Bool": {"s3:ObjectCreationOperation": "false"}}}
    if grants.uploads:
        yield allow(["s3:PutObject", "s3:AbortMultipartUpload"], grants.uploads)
    yield allow(["s3:GetObject"], grants.reads)
    if (
        grants.may_list
    ):  # without it a missing object is answered with 403 instead of 404; then there is no prefix to compare
        bucket, _, prefix = store.url.removeprefix("s3://").rstrip("/").partition("/")
        listing = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]}
        yield listing | ({"Condition": {"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*"]}}} if prefix else {})
    if grants.scratch:
        yield allow(["s3:PutObject", "s3:DeleteObject"], grants.scratch)
    if grants.rewrites:
        yield allow(["s3:PutObject"], grants.rewrites)
