"""An allocation's id and tasks go in; its folder, laid out as Nomad lays it out, comes out."""

from __future__ import annotations

from pathlib import Path

_SHARED = ("data", "logs", "tmp")
_TASK = ("local", "private", "secrets")


def create(alloc_dir: Path) -> None:
    """`alloc/{data,logs,tmp}`: what the tasks share. Does nothing for what is there."""
    alloc_dir.mkdir(parents=True, exist_ok=True)
    _open_dirs(alloc_dir / "alloc", _SHARED)


def create_task(alloc_dir: Path, task: str) -> None:
    """`<task>/{local,private,secrets,tmp}`: what a task has of its own."""
    task_dir = alloc_dir / task
    _open_dirs(task_dir, _TASK)
    _open_dir(task_dir / "tmp", 0o1777)


def destroy(alloc_dir: Path) -> None:
    """Removes it, as far as that goes."""
    import shutil  # not loaded before something is removed

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
    folder.chmod(mode)  # past the umask
