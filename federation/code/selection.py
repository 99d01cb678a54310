"""Chooses which files of a folder are its code.

In a git repository these are the files that git has or would take (`git ls-files -co --exclude-standard`), with those of
submodules and nested repositories. Elsewhere, all that no `.gitignore` names. Left out are caches, environments and
outputs (`DEFAULTS`). A `.fedmlignore` in the folder has rules as a `.gitignore` has them, and the last word: a line
that begins with `!` takes a file back in, also one that git ignores.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from federation.code import git
from federation.errors import CodeError

IGNORE_FILE = ".fedmlignore"
DEFAULTS = (
    ".git", ".hg", ".svn", ".fedml",
    ".venv", "venv", "node_modules", ".pnpm-store", ".tox", ".nox", ".eggs", "*.egg-info",
    "__pycache__", "*.pyc", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".cache", ".ipynb_checkpoints",
    "mlruns", "wandb", "lightning_logs", "tb_logs", ".dvc/cache", ".dvc/tmp", ".terraform",
    ".idea", ".vscode", ".DS_Store", "*.swp",
)  # fmt: skip

Entries = dict[str, os.stat_result]
"""By path relative to the folder: what lies there. Links aren't followed."""
_Found = Iterator[tuple[str, os.stat_result]]
_Rules = Sequence[tuple[str, GitIgnoreSpec]]
"""Of `.gitignore` files, the deepest last, each with the path of its folder (with `/` at its end), relative to the
repository's."""


def select(root: Path) -> Entries:
    """The code's files and links. Raises CodeError for what can't be read, and for a submodule that isn't checked out."""
    try:
        return dict(_Selection(root).found())
    except OSError as error:
        raise CodeError(f"can't pack {root}: {error.filename or root}: {error.strerror or error}") from error


class _Selection:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._own = _spec(root / IGNORE_FILE, DEFAULTS)
        self._takes_back = any(pattern.include is False for pattern in self._own.patterns)
        self._outer = ""
        """The folder's path in its repository, where there is no git to ask."""
        self._is_behind_link = {"": False}

    def found(self) -> _Found:
        """All of the code."""
        listed = git.listed(self._root)
        if listed:
            yield from self._of_git("", listed)
            if self._takes_back:
                ignored = git.listed(self._root, ignored=True) or []
                yield from self._of_git("", [path for path in ignored if _verdict(self._own, path) is False])
        else:  # no git, no repository, or one that ignores this whole folder
            yield from self._walk("", self._rules_above(), is_ignored=False)

    def _of_git(self, prefix: str, listed: Sequence[str]) -> _Found:
        """Those that are there and not left out. git also lists what was deleted, or lies behind a link now."""
        for path in listed:
            whole = prefix + path.rstrip("/")
            if _verdict(self._own, whole) or self._behind_link(whole.rpartition("/")[0]):
                continue
            try:
                status = os.lstat(f"{self._root}/{whole}")
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield whole, status
            elif (self._root / whole / ".git").exists():
                yield from self._of_nested(f"{whole}/")
            elif not any((self._root / whole).iterdir()):
                raise CodeError(
                    f"can't pack {self._root}: the submodule {whole} isn't checked out",
                    hint=f"git submodule update --init, or leave it out by a line in {IGNORE_FILE}",
                )

    def _of_nested(self, folder: str) -> _Found:
        listed = git.listed(self._root / folder)
        return self._walk(folder, [], is_ignored=False) if listed is None else self._of_git(folder, listed)

    def _behind_link(self, folder: str) -> bool:
        if folder not in self._is_behind_link:
            above = self._behind_link(folder.rpartition("/")[0])
            self._is_behind_link[folder] = above or (self._root / folder).is_symlink()
        return self._is_behind_link[folder]

    def _walk(self, folder: str, rules: _Rules, *, is_ignored: bool) -> _Found:
        ignore_file = self._root / folder / ".gitignore"
        if ignore_file.is_file():
            rules = [*rules, (self._outer + folder, _spec(ignore_file))]
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                path = f"{folder}{entry.name}{'/' if is_folder else ''}"
                verdict = _verdict(self._own, path)
                is_out = verdict if verdict is not None else is_ignored or _is_ignored(rules, self._outer + path)
                if not is_folder and not is_out:
                    yield path, entry.stat(follow_symlinks=False)
                elif is_folder and entry.name != ".git" and (self._takes_back or not is_out):
                    yield from self._walk(path, rules, is_ignored=is_out)

    def _rules_above(self) -> _Rules:
        """Those of the folders above, up to the repository's: for a machine without git. None if they ignore all of it."""
        folders = [self._root, *self._root.parents]
        top = next((folder for folder in folders if (folder / ".git").exists()), self._root)
        if top == self._root:
            return []
        self._outer = f"{self._root.relative_to(top).as_posix()}/"
        above = [folder for folder in reversed(self._root.parents) if folder.is_relative_to(top)]
        files = [folder / ".gitignore" for folder in above if (folder / ".gitignore").is_file()]
        rules = [(f"{file.parent.relative_to(top).as_posix()}/".removeprefix("./"), _spec(file)) for file in files]
        return [] if _is_ignored(rules, self._outer) else rules


def _is_ignored(rules: _Rules, path: str) -> bool:
    """Whether the path is ignored. Of the rules that match it, the deepest counts."""
    verdicts = (_verdict(spec, path.removeprefix(folder)) for folder, spec in reversed(rules))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def _verdict(spec: GitIgnoreSpec, path: str) -> bool | None:
    """True: left out. False: taken back. None: the rules say nothing."""
    return spec.check_file(path if path.isascii() else path.encode(errors="replace").decode()).include


def _spec(file: Path, before: Sequence[str] = ()) -> GitIgnoreSpec:
    """The rules of a file, after others. Raises CodeError for a line that can't be read."""
    lines = file.read_bytes().decode(errors="replace").splitlines() if file.is_file() else []
    try:
        return GitIgnoreSpec.from_lines([*before, *lines])
    except ValueError as error:
        raise CodeError(f"{file} can't be read: {error}", hint="write it as a .gitignore") from error
