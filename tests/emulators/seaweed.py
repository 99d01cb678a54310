"""SeaweedFS, a real distributed store with real signatures, on free loopback ports; a second S3 server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.emulators.process import HOST, free_port, server

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "fedml-tests", "AWS_SECRET_ACCESS_KEY": "only-on-loopback"}
"""The identity that it is started with; any other is refused."""

_GRPC = 10_000
"""Each of its parts listens on a second port so far above its own."""
_OFF = ("-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0")


def program() -> Path | None:
    """`weed`, if its wheel is installed here."""
    path = Path(sys.prefix, "bin/weed")
    return path if path.exists() else None


@contextmanager
def seaweed_server(weed: Path) -> Iterator[str]:
    """The endpoint of a fresh, empty SeaweedFS. Its clients need CREDENTIALS."""
    with TemporaryDirectory(prefix="fedml-seaweed.") as folder:

        def command(port: int) -> list[str]:
            parts = [f"-{part}.port={free_port(_GRPC)}" for part in ("master", "volume", "filer", "admin")]
            place = [f"-ip={HOST}", f"-ip.bind={HOST}", f"-dir={folder}", f"-s3.port={port}"]
            return [str(weed), "mini", *place, *parts, *_OFF]

        with server(command, CREDENTIALS, beside=_GRPC) as endpoint:
            yield endpoint
