"""A command of `[hooks]` and what happened enter, the command is run; what went wrong with it leaves, as a sentence.

The command (program and arguments, no shell) reads what happened from its environment (`FEDML_EVENT` and its like) or,
whole, as one JSON object from standard input. It gets a minute. A leaf: no stage of the federation is known here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from federation.visible import visible_json, visible_line

HOOK_TIMEOUT_S = 60.0
FIELD_CHARS_MAX = 8_000
"""A system limits each variable and all of them together: a longer text is cut there, and whole on standard input."""


def run_hook(event: str, command: Sequence[str], told: Mapping[str, Any], *, names: Sequence[str], folder: Path) -> str:
    """Run it in `folder`; "" when it ended with 0, else why not. `told` is what it reads, and `names` which members of that
    stand in its environment too, as `FEDML_{NAME}`."""
    environment = {f"FEDML_{name.upper()}": _field(told.get(name, "")) for name in names}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            input=visible_json(json.dumps(told, ensure_ascii=False)).encode(),
            stdout=subprocess.DEVNULL,
            timeout=HOOK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"hooks.{event}: {command[0]} took longer than {HOOK_TIMEOUT_S:.0f} s and was ended"
    except (OSError, ValueError) as error:
        return f"hooks.{event}: {command[0]} can't be run: {getattr(error, 'strerror', None) or error}"
    return f"hooks.{event}: {command[0]} ended with exit code {done.returncode}" if done.returncode else ""


def _field(value: object) -> str:
    """A value as an environment variable: one line, no hidden characters. So no text keeps the command from running."""
    return visible_line(str(value)[:FIELD_CHARS_MAX])
