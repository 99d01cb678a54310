"""Names of Google's buckets."""

from __future__ import annotations

import re

from regions.storage.url import split_bucket

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_HINT = (
    "a bucket name has 3 or more of lower-case letters, digits, '.', '-', '_'; a server's address goes into ?endpoint="
)


def split_gcs_bucket(url: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes at its ends) of `gs://bucket/prefix`."""
    return split_bucket(url, _NAME, _HINT)
