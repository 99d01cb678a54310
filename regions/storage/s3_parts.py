"""A large file enters, an upload by parts leaves through the given `call`: whole at its end, or aborted and invisible."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from regions.storage.errors import StoreError
from regions.storage.source import SourceFile

PART_BYTES_MIN = 8 << 20
PARTS_MAX = 10_000
PARTS_AT_ONCE = 4

Call = Callable[[Callable[[Any], Any]], Any]
"""Runs one request on the client and maps its errors."""


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are: 8 MiB, more only where 10,000 parts would not do."""
    return max(PART_BYTES_MIN, -(-size_bytes // PARTS_MAX))


def put_parts(call: Call, fields: Mapping[str, Any], source: SourceFile, digests: list[bytes]) -> Mapping[str, Any]:
    """Sends the parts, some at once, and gives S3's answer to the last request.

    `digests` are the parts' sha256 of an earlier reading: other bytes are refused with IntegrityError, and nothing is
    visible. `fields` are those of `create_multipart_upload`.
    """
    size_bytes = part_bytes(source.size_bytes)
    upload = call(lambda client: client.create_multipart_upload(**fields))["UploadId"]
    place = {"Bucket": fields["Bucket"], "Key": fields["Key"], "UploadId": upload}

    def send(number: int) -> dict[str, Any]:
        body = source.read(number * size_bytes, size_bytes)
        if hashlib.sha256(body).digest() != digests[number]:
            raise source.changed()
        part = place | {"PartNumber": number + 1, "Body": body}
        return {"PartNumber": number + 1, "ETag": call(lambda client: client.upload_part(**part))["ETag"]}

    pool = ThreadPoolExecutor(PARTS_AT_ONCE)
    try:
        parts = list(pool.map(send, range(len(digests))))
        source.refuse_changed(source.size_bytes)
        whole = place | {"MultipartUpload": {"Parts": parts}}
        answer: Mapping[str, Any] = call(lambda client: client.complete_multipart_upload(**whole))
    except BaseException:
        pool.shutdown(cancel_futures=True)
        with suppress(StoreError):
            call(lambda client: client.abort_multipart_upload(**place))
        raise
    finally:
        pool.shutdown()
    return answer
