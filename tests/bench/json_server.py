"""What the stand-ins for servers share: they answer with JSON, and end with the process that started them."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JsonHandler(BaseHTTPRequestHandler):
    """Answers requests with JSON, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        """Send an answer. Names of headers have `_` for `-`."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Print the port, and serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
