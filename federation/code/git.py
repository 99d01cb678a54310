"""Asks git about a folder. Where git is missing, fails, or knows nothing of the folder, the answer is None."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.code.refusals import secret_in
from federation.errors import CodeError

DIFF_BYTES_MAX = 1_000_000
_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
"""Set where fedml runs in a git hook; they would make git answer about the hook's repository."""


@dataclass(frozen=True, slots=True)
class GitState:
    """Where the code stood in git. `diff` is what `git diff HEAD` says of it: empty where it has more than
    `DIFF_BYTES_MAX`, or holds what looks like a secret."""

    commit: str
    is_dirty: bool
    diff: bytes = b""


def listed(root: Path, *, ignored: bool = False) -> list[str] | None:
    """The files that git knows or would take below `root` (those that it ignores, with `ignored`), with `/` at the end of
    a folder that is a repository of its own. Raises CodeError for a folder that git can't read."""
    which = ("-o", "-i") if ignored else ("-c", "-o")
    answer = _run(root, "ls-files", *which, "--exclude-standard", "-z")
    if answer is None:
        return None
    output, complaints = answer
    if "could not open directory" in complaints:
        raise CodeError(
            f"can't pack {root}: {complaints.strip().splitlines()[0].removeprefix('warning: ')}",
            hint="make it readable, or leave it out by a line in .gitignore",
        )
    return [os.fsdecode(path) for path in dict.fromkeys(output.split(b"\0")) if path]


def state(root: Path, paths: Sequence[str] = (".",)) -> GitState | None:
    """Returns the commit and changes of these paths; None outside of a repository, and before its first commit."""
    head = _run(root, "rev-parse", "--verify", "-q", "HEAD")
    changed = head and _run(root, "status", "--porcelain", "-z", "--", *paths)
    if head is None or changed is None:
        return None
    if not changed[0]:
        return GitState(head[0].decode().strip(), is_dirty=False)
    asked = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--", *paths)
    diff = _run(root, *asked, bytes_max=DIFF_BYTES_MAX)
    text = diff[0] if diff is not None and not secret_in(diff[0]) else b""
    return GitState(head[0].decode().strip(), is_dirty=True, diff=text)


def _run(root: Path, *arguments: str, bytes_max: int | None = None) -> tuple[bytes, str] | None:
    """What git prints to standard output and standard error; None where it fails or prints more than `bytes_max`."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "--literal-pathspecs", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as git:
            assert git.stdout
            assert git.stderr
            if bytes_max is not None:
                output = git.stdout.read(bytes_max + 1)
                if len(output) > bytes_max:
                    git.kill()
                    return None
            rest, complaints = git.communicate()
            output = rest if bytes_max is None else output + rest
    except OSError:
        return None
    return (output, complaints.decode(errors="replace")) if git.returncode == 0 else None
