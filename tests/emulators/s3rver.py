"""s3rver (npm: tools/azurite.py) over a folder: a negative control, for it takes no notice of If-None-Match or If-Match."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.process import HOST, server

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
BUCKET = "bucket"


def program() -> list[str] | None:
    """How it is started, if it and Node are installed here."""
    script = Path(sys.prefix, "azurite/node_modules/s3rver/bin/s3rver.js")
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.prefix, "bin")))
    return [node, str(script)] if node and script.exists() else None


@contextmanager
def s3rver_server(program: list[str], folder: Path) -> Iterator[str]:
    """The endpoint of the folder, with BUCKET in it. Its clients need CREDENTIALS."""

    def command(port: int) -> list[str]:
        place = ["--address", HOST, "--port", str(port), "--directory", str(folder), "--silent"]
        return [*program, *place, "--configure-bucket", BUCKET]

    with server(command, path="/") as endpoint:
        yield endpoint
