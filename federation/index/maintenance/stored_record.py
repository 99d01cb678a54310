"""Reads the record of a result from a store, and compares it with another."""

from __future__ import annotations

from federation.result import RECORD_BYTES_MAX, ResultRecord
from regions.storage.store import Store


def read_record(store: Store, key: str) -> ResultRecord:
    """The record at that key. Raises PublishError for something else than a record, TooLarge for more bytes than a record
    may have (they aren't read), and the store's errors."""
    return ResultRecord.from_json(store.get_small(key, limit_bytes=RECORD_BYTES_MAX), source=store.url_of(key))


def fields_unlike(record: ResultRecord, other: ResultRecord) -> str:
    """Names of the fields in which the records differ; empty for the same records."""
    return ", ".join(name for name in record.__match_args__ if getattr(record, name) != getattr(other, name))
