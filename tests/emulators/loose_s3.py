"""A small S3 server that may break its promises: a context manager gives its address. The negative control of
`fedml stores check`: `ignores` names the conditions that it takes no notice of, as some real servers do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

CREATE = "If-None-Match"
UPDATE = "If-Match"


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        return hashlib.md5(self.data).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, ignores: frozenset[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ignores = ignores
        self.objects: dict[str, _Object] = {}
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    @property
    def path_key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kept = {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
        with self.server.lock:
            found = self.server.objects.get(self.path_key)
            wanted = self.headers.get(UPDATE)
            is_taken = bool(self.headers.get(CREATE) and found)
            is_stale = bool(wanted and (not found or wanted != f'"{found.etag}"'))
            honours = {CREATE, UPDATE} - self.server.ignores
            if (is_taken and CREATE in honours) or (is_stale and UPDATE in honours):
                self.refuse(412, "PreconditionFailed")
            else:
                made = self.server.objects[self.path_key] = _Object(data, kept)
                self.answer(200, b"", {"ETag": f'"{made.etag}"'})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in query:
            self.list(self.path_key.split("/")[0], query.get("prefix", [""])[0], query.get("start-after", [""])[0])
            return
        found = self.server.objects.get(self.path_key)
        if found is None:
            self.refuse(404, "NoSuchKey")
            return
        self.answer(200, found.data, {**found.headers, "ETag": f'"{found.etag}"'})

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        with self.server.lock:
            self.server.objects.pop(self.path_key, None)
        self.answer(204, b"", {})

    def list(self, bucket: str, prefix: str, after: str) -> None:
        found = sorted(
            (
                (key.removeprefix(f"{bucket}/"), one)
                for key, one in self.server.objects.items()
                if key.startswith(f"{bucket}/{prefix}") and key.removeprefix(f"{bucket}/") > after
            ),
            key=lambda pair: pair[0].encode(),
        )
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(one.data)}</Size><ETag>{one.etag}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, one in found
        )
        text = f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{contents}"
        self.answer(200, f"{text}</ListBucketResult>".encode(), {"Content-Type": "application/xml"})

    def refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self.answer(status, text.encode(), {"Content-Type": "application/xml"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Last-Modified": self.date_time_string(), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def loose_s3(*ignores: str) -> Iterator[str]:
    """Its endpoint. Any bucket exists; credentials are not looked at."""
    server = _Server(frozenset(ignores))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
