"""Run by a task: publishes as it should or, in region us while there are lies left, writes a forged record in its place.

    python lying_task.py HONEYPOT FOLDER

HONEYPOT is the address that a forged store names. FOLDER holds one file for each lie that was told already.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from federation.publish.publish import publish
from federation.result import ResultFile, manifest_sha256
from regions.model import StoreConfig
from regions.storage.file.store import FileStore

Record = dict[str, Any]
HASH = "0" * 64
WAIT_S = 100.0


def told(change: Callable[[Record], object]) -> Callable[[Record], bytes]:
    """The record with this change, and with the hash that its files then have."""

    def lie(record: Record) -> bytes:
        change(record)
        files = [ResultFile(file["path"], file["size_bytes"], file["sha256"]) for file in record["files"]]
        return json.dumps(record | {"manifest_sha256": manifest_sha256(files)}).encode()

    return lie


def files(*named: tuple[str, int, str]) -> Callable[[Record], object]:
    """Change the files."""
    return lambda record: record.update(
        files=[{"path": path, "size_bytes": size, "sha256": sha256} for path, size, sha256 in named]
    )


def store(url: str) -> Callable[[Record], bytes]:
    """Change the store to one of the stranger's."""
    return told(lambda record: record.update(store=url.replace("HONEYPOT", sys.argv[1])))


def elsewhere(record: Record) -> object:
    """Claim all that another region has published."""
    return record.update(store=record["store"].removesuffix("us") + "eu", prefix="artifacts/")


LIES: dict[str, Callable[[Record], bytes]] = {
    "says job 'another'": told(lambda record: record.update(job="another", version="99")),
    "says version '9999999999999999999'": told(lambda record: record.update(version="9" * 19)),
    "metrics is a list": lambda record: json.dumps(record | {"metrics": []}).encode(),
    "Infinity is not a JSON number": lambda record: json.dumps(record | {"format": float("inf")}).encode(),
    "is nested deeper": lambda _: b"[" * 5_000,
    "files[0].path is null": lambda record: json.dumps(
        record | {"files": [{"path": None, "size_bytes": 1, "sha256": HASH}]}
    ).encode(),
    "are read of such an object": lambda record: json.dumps(record | {"params": {"x": "x" * 60_000_000}}).encode(),
    "bytes in its files; the limit is": told(files(*((f"f{number}", 2**53 - 1, HASH) for number in range(1_100)))),
    "/stores/eu'": told(elsewhere),
    "says store 's3://bucket'": store("s3://bucket?endpoint=http://HONEYPOT"),
    "says store 'gs://bucket'": store("gs://bucket?endpoint=http://HONEYPOT"),
    "says store 'az://account/box'": store("az://account/box?endpoint=http://HONEYPOT"),
    "names a file that would leave its folder": told(files(("../../../escaped", 1, HASH))),
    "isn't 64 hexadecimal digits": told(files(("model", 1, "../../x"))),
    "says attempt 7": told(lambda record: record.update(attempt=7)),
    "says region 'eu'": told(lambda record: record.update(region="eu")),
}
"""What a forged record says, by what its attempt's failure must say of it."""


def main() -> None:
    """Publish, or lie."""
    taken = Path(sys.argv[2])
    output = Path(os.environ["NOMAD_TASK_DIR"]) / "output"
    output.mkdir()
    (output / "model").write_text(os.environ["NOMAD_ALLOC_ID"])
    (output / "metrics.json").write_text('{"score": 0.5}')
    reason = next((name for name in LIES if _take(taken, name)), "") if os.environ["FEDML_REGION"] == "us" else ""
    if reason:
        _lie(LIES[reason], output)
        return
    ends = time.monotonic() + WAIT_S  # so that slots are left for the liars
    while len(list(taken.iterdir())) < len(LIES) and time.monotonic() < ends:
        time.sleep(0.2)
    publish(output)


def _take(taken: Path, name: str) -> bool:
    try:
        (taken / str(list(LIES).index(name))).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _lie(lie: Callable[[Record], bytes], output: Path) -> None:
    """Make an honest record in a store of its own, and write the forged one where the coordinator looks."""
    stores: dict[str, str] = json.loads(os.environ["FEDML_STORES"])
    ((datacenter, url),) = stores.items()
    with tempfile.TemporaryDirectory() as folder:
        scratch = json.dumps({datacenter: Path(folder).as_uri()})
        record = publish(output, environ={**os.environ, "FEDML_STORES": scratch}).record
    document = copy.deepcopy(record.to_dict()) | {"store": url}
    FileStore(StoreConfig(url)).put(record.key.record_key(record.alloc_id), lie(document))


if __name__ == "__main__":
    main()
