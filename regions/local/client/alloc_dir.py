"""Creates and removes an allocation's folder, laid out as Nomad does."""

from __future__ import annotations

from pathlib import Path

_SHARED = ("data", "logs", "tmp")
_TASK = ("local", "private", "secrets")


def create(alloc_dir: Path) -> None:
    """Creates `alloc/{data,logs,tmp}`, which the tasks share. Keeps what exists."""
    alloc_dir.mkdir(parents=True, exist_ok=True)
    _open_dirs(alloc_dir / "alloc", _SHARED)


def create_task(alloc_dir: Path, task: str) -> None:
    """Creates a task's own folders: `<task>/{local,private,secrets,tmp}`."""
    task_dir = alloc_dir / task
    _open_dirs(task_dir, _TASK)
    _open_dir(task_dir / "tmp", 0o1777)


def destroy(alloc_dir: Path) -> None:
    """Removes the folder as far as possible."""
    import shutil  # loaded on first use

    shutil.rmtree(alloc_dir, ignore_errors=True)


def _open_dirs(folder: Path, names: tuple[str, ...]) -> None:
    _open_dir(folder)
    for name in names:
        _open_dir(folder / name)


def _open_dir(folder: Path, mode: int = 0o777) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(mode)  # mkdir applies the umask
