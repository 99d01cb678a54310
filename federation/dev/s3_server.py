"""Serves S3 with moto on an inherited socket. Keeps objects in a folder over restarts.

Run as `python -m federation.dev.s3_server DATA BUCKET… --fd N` by `fedml dev up`. For development: it checks no
signatures and holds all objects in memory. What a request changed is on disk before its answer is sent.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from federation.loopback_only import Application, loopback_only

LOCATION = "us-east-1"
SOMEBODY = "AWS4-HMAC-SHA256 Credential=dev/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
"""The header that moto takes for a signature; it doesn't check it."""


class KeptObjects:
    """Keeps moto's S3 backend and a folder in step: one file an object, a line of JSON before the bytes."""

    def __init__(self, backend: Any, folder: Path) -> None:
        self.backend = backend
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def restore(self) -> None:
        """Reads all objects of the folder into the backend."""
        for path in sorted(self.folder.glob("*.object")):
            head, _, data = path.read_bytes().partition(b"\n")
            about = json.loads(head)
            self.add_bucket(about["bucket"])
            key = self.backend.put_object(about["bucket"], about["key"], data, etag=about["etag"])
            key.set_metadata(about["metadata"])

    def add_bucket(self, name: str) -> None:
        """Makes the bucket, if it isn't there."""
        if name not in self.backend.buckets:
            self.backend.create_bucket(name, LOCATION)

    def sync(self, bucket: str, key: str) -> None:
        """Writes one object's file as the backend has it now."""
        path = self._path(bucket, key)
        with self._lock:
            held = self.backend.buckets.get(bucket)
            found = held.keys.get(key) if held is not None else None
            if found is None:
                path.unlink(missing_ok=True)
                return
            about = {"bucket": bucket, "key": key, "etag": found.etag.strip('"'), "metadata": dict(found.metadata)}
            beside = path.with_suffix(".new")
            beside.write_bytes(json.dumps(about).encode() + b"\n" + found.value)
            beside.replace(path)

    def sync_bucket(self, bucket: str) -> None:
        """Removes files of objects that a request on the whole bucket (delete many) removed."""
        for path in self.folder.glob("*.object"):
            with path.open("rb") as file:
                about = json.loads(file.readline())
            if about["bucket"] == bucket:
                self.sync(bucket, about["key"])

    def _path(self, bucket: str, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(f'{bucket}/{key}'.encode()).hexdigest()}.object"


def keeping(application: Application, kept: KeptObjects) -> Application:
    """The application. Each change is on disk before it is answered, and unsigned requests may do everything. Changes are
    made one at a time: moto checks a condition and then writes, which would let two writers both win."""
    one_at_a_time = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.setdefault("HTTP_AUTHORIZATION", SOMEBODY)
        if environ["REQUEST_METHOD"] not in ("PUT", "POST", "DELETE"):
            return application(environ, start_response)
        _read_body(environ)
        with one_at_a_time:
            parts = application(environ, start_response)
            raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"])
            bucket, _, key = unquote(raw.partition("?")[0]).lstrip("/").partition("/")
            if key:
                kept.sync(bucket, key)
            elif bucket:
                kept.sync_bucket(bucket)
        return parts

    return answer


def _read_body(environ: dict[str, Any]) -> None:
    """Read the request's body whole, so that no lock is held while a client stalls in the middle of it."""
    source = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    body = source.read(int(length)) if length else source.read() if environ.get("wsgi.input_terminated") else b""
    environ["wsgi.input"] = io.BytesIO(body)


def main(arguments: list[str]) -> None:
    """Serves until SIGTERM."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("buckets", nargs="*")
    parser.add_argument("--fd", type=int, required=True)
    options = parser.parse_args(arguments)

    kept = KeptObjects(s3_backends[DEFAULT_ACCOUNT_ID]["aws"], options.data)
    kept.restore()
    for bucket in options.buckets:
        kept.add_bucket(bucket)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    application = keeping(DomainDispatcherApplication(create_backend_app), kept)
    server = make_server("127.0.0.1", 0, loopback_only(application), threaded=True, fd=options.fd)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
