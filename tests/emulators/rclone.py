"""`rclone serve s3` over a folder: a negative control, for it takes no notice of If-None-Match or If-Match."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.process import HOST, server

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "fedml-tests", "AWS_SECRET_ACCESS_KEY": "only-on-loopback"}


def program() -> Path | None:
    """`rclone`, if its wheel is installed here."""
    path = Path(sys.prefix, "bin/rclone")
    return path if path.exists() else None


@contextmanager
def rclone_server(rclone: Path, folder: Path) -> Iterator[str]:
    """The endpoint of the folder, whose subfolders are buckets. Its clients need CREDENTIALS."""
    keys = ",".join(CREDENTIALS.values())

    def command(port: int) -> list[str]:
        # Without a configuration file of its own it would read the user's.
        options = ["--config", "", "--addr", f"{HOST}:{port}", "--auth-key", keys, "--vfs-cache-mode", "off"]
        return [str(rclone), "serve", "s3", *options, str(folder)]

    with server(command, path="/") as endpoint:
        yield endpoint
