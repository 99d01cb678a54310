"""Rotation of a task's output."""

from __future__ import annotations

from pathlib import Path

from regions.local.drivers.log_files import LogFiles


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_files_are_rotated_at_lines_and_old_ones_removed(tmp_path: Path) -> None:
    log = LogFiles(f"{tmp_path}/a.stdout", max_files=2, max_bytes=10)
    for number in range(5):
        log.write(f"line {number}\n".encode())
    log.close()
    assert names(tmp_path) == ["a.stdout.3", "a.stdout.4"]
    assert (tmp_path / "a.stdout.4").read_text() == "line 4\n"


def test_a_longer_line_fills_files(tmp_path: Path) -> None:
    log = LogFiles(f"{tmp_path}/a.stdout", max_files=9, max_bytes=4)
    log.write(b"abcdefghij")
    log.close()
    assert [(tmp_path / n).read_text() for n in names(tmp_path)] == ["abcd", "efgh", "ij"]


def test_it_goes_on_in_the_last_file(tmp_path: Path) -> None:
    (tmp_path / "a.stdout.11").write_text("x")
    (tmp_path / "a.stdout.9").write_text("y")
    (tmp_path / "a.stdout.fifo").write_text("")
    log = LogFiles(f"{tmp_path}/a.stdout", max_files=10, max_bytes=100)
    log.write(b"z")
    log.close()
    assert (tmp_path / "a.stdout.11").read_text() == "xz"


def test_nothing_is_lost_when_many_lines_come_at_once(tmp_path: Path) -> None:
    text = "".join(f"{number}\n" for number in range(1000))
    log = LogFiles(f"{tmp_path}/a.stdout", max_files=1000, max_bytes=64)
    log.write(text.encode())
    log.close()
    files = sorted(tmp_path.iterdir(), key=lambda p: int(p.suffix[1:]))
    assert "".join(p.read_text() for p in files) == text
    assert all(p.read_text().endswith("\n") for p in files)
