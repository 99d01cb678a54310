"""Finds the files that a pattern of fileset() matches, by the rules of Go's doublestar.

`*` and `?` stay within one name, `**` as a whole name stands for any number of folders, `[a-z]` and `[^a-z]` for one
character, `{a,b}` for one of several texts. A backslash takes the next character literally. Names that begin with a
dot are matched too, and links to folders are followed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from jobs.hcl.values import NotComputed, ValueProblem

NAMES_MAX = 100_000


def matching_files(root: str, pattern: str) -> set[str]:
    """Returns the paths of regular files, relative to the folder `root`. Raises ValueProblem for a wrong pattern."""
    if re.search(r"\{[^}]*/", pattern):
        raise NotComputed("fedml reads no patterns with a slash between { and }")
    parts = [part for part in posixpath.normpath(pattern.lstrip("/") or ".").split("/") if part != "."]
    found: set[str] = set()
    for path in _Search().below(Path(root), [part if part in ("..", "**") else _compiled(part) for part in parts]):
        if path.is_file():
            found.add(posixpath.relpath(path, root))
        elif not path.exists() and parts[-1] != "**":
            raise ValueProblem(f"{path} is a link to nothing")
    return found


class _Search:
    """Walks through folders. Refuses too many names: links to folders can lead around in a circle."""

    def __init__(self) -> None:
        self.names_left = NAMES_MAX

    def below(self, folder: Path, matchers: list[re.Pattern[str] | str]) -> Iterator[Path]:
        """Yields what the pattern matches below a folder."""
        if not matchers:
            yield folder
            return
        first, *rest = matchers
        if first == "..":
            yield from self.below(folder.parent, rest)
            return
        if first == "**" and rest:
            yield from self.below(folder, rest)
        for path in self._inside(folder):
            if first == "**":
                if not rest:
                    yield path
                if path.is_dir():
                    yield from self.below(path, matchers)
            elif isinstance(first, re.Pattern) and first.fullmatch(path.name):
                yield from self.below(path, rest)

    def _inside(self, folder: Path) -> list[Path]:
        try:
            paths = list(folder.iterdir())
        except OSError:
            return []
        self.names_left -= len(paths)
        if self.names_left < 0:
            raise NotComputed(f"the pattern leads through more than {NAMES_MAX:,} names")
        return paths


def _compiled(part: str) -> re.Pattern[str]:
    """Translates the pattern of one name."""
    pieces: list[str] = []
    at, open_braces = 0, 0
    while at < len(part):
        letter = part[at]
        at += 1
        if letter == "\\" and at < len(part):
            pieces.append(re.escape(part[at]))
            at += 1
        elif letter == "[":
            piece, at = _character_class(part, at)
            pieces.append(piece)
        elif letter == "{" or (letter in ",}" and open_braces):
            open_braces += (letter == "{") - (letter == "}")
            pieces.append({"{": "(?:", "}": ")", ",": "|"}[letter])
        else:
            pieces.append({"*": ".*", "?": "."}.get(letter, re.escape(letter)))
    if open_braces:
        raise ValueProblem(f'the pattern "{part[:60]}" has a {{ that is never closed')
    return re.compile("".join(pieces), re.DOTALL)


def _character_class(part: str, at: int) -> tuple[str, int]:
    """Translates `[…]`, whose first character is at `at`. Returns the translation and where the class ends."""
    found = re.compile(r"(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL).match(part, at)
    if found is None or found.group(2).startswith("-") or re.search(r"(?<!\\)-$", found.group(2)):
        raise ValueProblem(f'the pattern "{part[:60]}" has no valid range between [ and ]')
    members = re.sub(
        r"\\(.)|([\[\]^&|~\\])", lambda letter: re.escape(letter.group(1) or letter.group(2)), found.group(2)
    )
    try:
        re.compile(f"[{members}]")
    except re.error:
        raise NotComputed(f'the pattern "{part[:60]}" has a range that ends before it begins') from None
    return f"[{found.group(1)}{members}]", found.end()
