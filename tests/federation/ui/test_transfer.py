"""What a transfer shows on a terminal, and that nothing is shown or loaded where there is none."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from federation.ui.transfer import transfer
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.url import folder_url


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_bytes_and_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(bytes(3_000_000))
    store = open_store(StoreConfig(folder_url(tmp_path / "store")))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with transfer("publishing", 3_000_000) as progress:
        store.progress = progress
        store.put_file("key", tmp_path / "source")
    assert "publishing" in terminal.getvalue()
    assert "3.0/3.0 MB" in terminal.getvalue()
    assert "MB/s" in terminal.getvalue() or "GB/s" in terminal.getvalue()
    told: list[int] = []
    store.put_file("key", tmp_path / "source", progress=told.append)  # the call's own is told instead
    store.get_file("key", tmp_path / "copy", progress=told.append)
    assert sum(told) == 6_000_000


def test_without_a_terminal_nothing_is_shown_or_loaded() -> None:
    code = (
        "import sys; from federation.ui.transfer import transfer\n"
        "with transfer('publishing') as progress: assert progress is None\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'rich'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
