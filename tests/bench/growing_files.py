"""A stand-in region whose allocations' files grow by 20 lines between two reads. One process, as `slow_regions`."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LINES = 20
PIECE = "".join(
    f'{{"step": {step}, "loss": 0.{step:04d}, "accuracy": 0.75, "lr": 0.001}}\n' for step in range(LINES)
).encode()
_sizes: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """`stat` and `readat` of any allocation."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        alloc_id = parts.path.rpartition("/")[2]
        if "/stat/" in parts.path:
            _sizes[alloc_id] += len(PIECE)
            body = json.dumps({"Name": "metrics.jsonl", "IsDir": False, "Size": _sizes[alloc_id]}).encode()
        else:
            body = PIECE[: int(parse_qs(parts.query)["limit"][0])]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
