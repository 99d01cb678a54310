"""Sends an artifact's files to the store, those that an earlier call has sent not again."""

from __future__ import annotations

from federation.publish.artifact import Artifact
from federation.result import ResultFile, ResultRecord
from regions.storage import Store
from regions.storage.errors import NotFound, PermissionDenied

_MIB = 1 << 20
FILES_AT_ONCE = ((2 * _MIB, 32), (4 * _MIB, 16), (16 * _MIB, 4))
"""How many files of up to that many bytes are sent at once: 64 MiB in memory, as with the parts of a larger file."""


def send(store: Store, record: ResultRecord, artifact: Artifact) -> None:
    """Sends the files. The smallest one goes first: if it exists, an earlier call was interrupted, and the files that it sent
    are not sent again. Small files are sent in parallel, large ones one by one in parts."""
    first, *others = sorted(record.files, key=lambda file: file.size_bytes)
    is_another_try = _is_sent(store, record, first)
    if not is_another_try:
        _send_file(store, record, artifact, first)

    def send_one(file: ResultFile) -> None:
        if not (is_another_try and _is_sent(store, record, file)):
            _send_file(store, record, artifact, file)

    for size_bytes_max, at_once in FILES_AT_ONCE:
        batch = [file for file in others if file.size_bytes <= size_bytes_max]
        others = others[len(batch) :]
        if not batch:
            continue
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(at_once) as pool:
            try:
                for future in [pool.submit(send_one, file) for file in batch]:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    for file in others:
        send_one(file)


def _is_sent(store: Store, record: ResultRecord, file: ResultFile) -> bool:
    """Whether the store has the same bytes. If the node's role may only create, they are sent again."""
    try:
        info = store.stat(record.artifact_prefix + file.path)
    except (NotFound, PermissionDenied):
        return False
    return (info.size_bytes, info.sha256) == (file.size_bytes, file.sha256)


def _send_file(store: Store, record: ResultRecord, artifact: Artifact, file: ResultFile) -> None:
    store.put_file(record.artifact_prefix + file.path, artifact.root / file.path, sha256=file.sha256)
