"""uv is downloaded once a node, by whichever task comes first."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from federation.task.command_line import UvDownload
from federation.task.uv_download import downloaded_uv


def test_tasks_of_one_process_number_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers, tasks that share the cache folder often have the same number."""
    data = b"#!/bin/sh\necho uv\n"
    (tmp_path / "uv").write_bytes(data)
    (tmp_path / "cache").mkdir()
    source = UvDownload((tmp_path / "uv").as_uri(), hashlib.sha256(data).hexdigest())
    chmod, others = Path.chmod, []

    def other_task_first(path: Path, mode: int) -> None:
        if not others:
            others.append(path)
            downloaded_uv(source, tmp_path / "cache")
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", other_task_first)
    program = downloaded_uv(source, tmp_path / "cache")
    assert program.read_bytes() == data
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [program.name]
