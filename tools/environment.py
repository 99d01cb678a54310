"""Makes `.venv` with this checkout and the named extras: `python3 tools/environment.py demo dev`.

Uses uv if it is installed, else venv and pip. Installs only the versions in constraints.txt, and only if that file or
pyproject.toml changed or an extra is missing. A lock makes a second call wait for the first. Uses the standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "fedml-installed.json"
PYTHON = VENV / "bin" / "python"


def main(extras: set[str]) -> int:
    """Makes or completes `.venv`. Returns the exit code of the step that failed, else 0."""
    if sys.version_info < (3, 11):
        print(f"fedml needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    VENV.mkdir(exist_ok=True)
    with (VENV / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        inputs = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
        wanted = {"inputs": hashlib.sha256(inputs).hexdigest(), "extras": sorted(extras | installed_extras())}
        if PYTHON.exists() and STAMP.exists() and json.loads(STAMP.read_text()) == wanted:
            return 0
        STAMP.unlink(missing_ok=True)
        print(f"Installing fedml-nomad[{','.join(wanted['extras'])}] into {VENV} …", file=sys.stderr, flush=True)
        code = install(f"{ROOT}[{','.join(wanted['extras'])}]")
        if code == 0:
            STAMP.write_text(json.dumps(wanted))
        return code


def installed_extras() -> set[str]:
    """The extras that are installed already."""
    return set(json.loads(STAMP.read_text())["extras"]) if STAMP.exists() else set()


def install(what: str) -> int:
    """Installs with uv or pip. The checkout is installed in place, so that `git pull` needs no new install."""
    limits = ["-c", str(ROOT / "constraints.txt")]
    if shutil.which("uv"):
        steps = [
            ["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV)],
            ["uv", "pip", "install", "--quiet", "--python", str(PYTHON), *limits, "-e", what],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(VENV)],
            [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *limits, "-e", what],
        ]
    for step in steps:
        code = subprocess.run(step, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
