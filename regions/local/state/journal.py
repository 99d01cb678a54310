"""Writes committed changes to a file, one line per commit, and reads them back in order after any crash.

A commit is acknowledged after its line was handed to the kernel. So nothing acknowledged is lost when the process is
killed at any moment. A power cut may lose the last moments: this is a development engine. A torn last line was never
acknowledged and is dropped.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
from pathlib import Path
from typing import Any

from regions.local.state.derived import TRACKED_VERSIONS, derive
from regions.local.state.snapshot import PRIMARY, Record, Snapshot, version_key
from regions.local.state.table import Table
from regions.local.state.transaction import Change

_REWRITE_AT_START_BYTES = 8 * 1024 * 1024
_REWRITE_BYTES = 64 * 1024 * 1024
_REWRITE_FACTOR = 4
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class StateInUse(Exception):
    """Another process uses the folder."""


class Journal:
    """The file `state.jsonl` in a folder, for one process at a time. Raises StateInUse."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "state.jsonl"
        self._lock = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateInUse(f"another process runs a region in {folder}") from error
        self._file = -1
        self._size = 0
        self._rewritten_size = 0

    def load(self) -> Snapshot:
        """Reads the state as of the last acknowledged commit and opens the file for appending."""
        records = _Records()
        good = first = 0
        gc.disable()  # reading makes no garbage
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    records.replay(json.loads(line))
                    good += len(line)
                    first = first or good
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, good)
        os.lseek(self._file, good, os.SEEK_SET)
        self._size, self._rewritten_size = good, first
        state = records.snapshot()
        if good - first > max(_REWRITE_AT_START_BYTES, first):
            self._rewrite(state)
        gc.freeze()
        gc.enable()
        return state

    def append(self, before: Snapshot, after: Snapshot, changes: list[Change]) -> None:
        """Writes one commit. It then survives the death of this process. Where it raises, nothing was written."""
        encoded = [_shorten(before, *change) for change in changes]
        line = (_encode({"i": after.index, "c": encoded}) + "\n").encode()
        try:
            _write_all(self._file, line)
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(line)
        if self._size > max(_REWRITE_BYTES, _REWRITE_FACTOR * self._rewritten_size):
            self._rewrite(after)

    def close(self) -> None:
        """Flushes the file to the disk."""
        os.fsync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def _rewrite(self, state: Snapshot) -> None:
        """Replaces the file by one line with the whole state. At any moment the old or the new file is complete."""
        changes: list[Any] = []
        for table in PRIMARY:
            for key, value in getattr(state, table).items():
                base = None
                if table == "jobs":
                    # A parent's key comes before its children's, so each finds its base when this is read.
                    versions = state.job_versions(*key)[::-1]
                    changes += [_shorten(state, table, key, None, job) for job in versions]
                    base = versions[-1]
                if value is not base:
                    changes.append(_shorten(state, table, key, base, value))
                if table == "allocs" and version_key(value["Job"]) not in state.versions:
                    changes[-1][3] = value["Job"]
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        line = (_encode({"i": state.index, "c": changes, "t": state.table_index}) + "\n").encode()
        _write_all(file, line)
        os.fsync(file)
        os.replace(new, self._path)  # noqa: PTH105
        os.close(self._file)
        self._file, self._size, self._rewritten_size = file, len(line), len(line)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _shorten(before: Snapshot, table: str, key: Any, old: Record | None, new: Record | None) -> list[Any]:
    """Encodes a change as [table, key, fields, base]: only the fields that differ from the base.

    base: 0 nothing, 1 the object under the same key, 2 the parent job; for an allocation the job's version, then or
    whole.
    """
    if new is None:
        return [table, key, None, 0]
    base, code = old, 1
    if base is None:
        code = 0
        if table == "jobs" and new["ParentID"]:
            base, code = before.jobs.get((new["Namespace"], new["ParentID"])), 2
            if base is None or base["ParentID"]:
                base, code = None, 0
    if base is not None and any(field not in new for field in base):
        base, code = None, 0
    fields = (
        new if base is None else {field: value for field, value in new.items() if base.get(field, _ABSENT) != value}
    )
    if table == "allocs":
        job = new["Job"]
        fields = {field: value for field, value in fields.items() if field != "Job"}
        same_job = old is not None and old["Job"] is job
        return [table, key, fields, job["Version"] if not same_job else None, code]
    return [table, key, fields, code]


_ABSENT = object()


class _Records:
    """Applies lines of the journal in order to a snapshot."""

    def __init__(self) -> None:
        self._index = 0
        self._table_index: dict[str, int] = {}
        self._tables: dict[str, dict[Any, Record]] = {table: {} for table in PRIMARY}
        self._versions: dict[Any, dict[int, Record]] = {}

    def replay(self, entry: dict[str, Any]) -> None:
        """Takes one commit."""
        self._index = entry["i"]
        for change in entry["c"]:
            self._replay(*change)
            self._table_index[change[0]] = self._index
        self._table_index |= entry.get("t", {})

    def _replay(self, table: str, key: Any, fields: Record | None, base: Any, code: int = 0) -> None:
        records = self._tables[table]
        if isinstance(key, list):
            key = tuple(key)
        if fields is None:
            records.pop(key, None)
            if table == "jobs":
                self._versions.pop(key, None)
            return
        old = records.get(key, {})
        if table == "allocs":
            new = {**old, **fields} if code == 1 else {**fields, "Job": old.get("Job")}
            if isinstance(base, dict):
                new["Job"] = base
            elif base is not None:
                new["Job"] = self._versions[new["Namespace"], new["JobID"]][base]
        elif base == 1:
            new = {**old, **fields}
        elif base == 2:
            new = {**self._tables["jobs"][key[0], fields["ParentID"]], **fields}
        else:
            new = fields
        records[key] = new
        if table == "jobs" and new["ModifyIndex"] == new["JobModifyIndex"]:
            versions = self._versions.setdefault(key, {})
            versions[new["Version"]] = new
            for version in sorted(versions)[:-TRACKED_VERSIONS]:
                del versions[version]

    def snapshot(self) -> Snapshot:
        state = Snapshot()
        state.index, state.table_index = self._index, self._table_index
        for table, records in self._tables.items():
            setattr(state, table, Table.of(sorted(records.items(), key=lambda pair: pair[0])))
            for record in records.values():
                derive(state, table, None, record)
        versions = [(version_key(job), job) for jobs in self._versions.values() for job in jobs.values()]
        state.versions = Table.of(sorted(versions, key=lambda pair: pair[0]))
        return state
