"""What `fedml dev up` starts in tests instead of a region: it answers as one, and does what its nodes' names say.

`fail`: it ends at once. `mute`: it never has a leader. `stubborn`: SIGTERM doesn't end it. `task`: it runs a task that
outlives it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    assert sys.argv[1] == "region"
    assert sys.argv[3] == "--fd"
    settings = json.loads(Path(sys.argv[2]).read_text())
    behaviours = {node["name"] for node in settings["nodes"]}
    data = Path(settings["data_dir"])
    data.mkdir(parents=True, exist_ok=True)
    with (data / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if "fail" in behaviours:
        sys.exit("the last words of a region")
    if "task" in behaviours and not (data / "task").exists():
        task = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            env={**os.environ, "NOMAD_ALLOC_ID": "a1"},
            start_new_session=True,
        )
        (data / "task").write_text(str(task.pid))
    stubborn = "stubborn" in behaviours
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: os._exit(0))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'""' if "mute" in behaviours else b'"127.0.0.1:4647"'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(sys.argv[4]))
    while True:
        server.serve_forever()
        time.sleep(0.1)


main()
