"""Names that come from outside enter, and leave as they are or not at all: jobs, runs, allocation ids, versions."""

from __future__ import annotations

import unicodedata

from federation.errors import UsageError

NAME_CHARS_MAX = 256
VERSION_CHARS_MAX = 64


def checked_name(what: str, name: str) -> str:
    """The name itself. Raises UsageError for one that is empty, too long, no text, or could leave its folder."""
    problem = _problem(name, NAME_CHARS_MAX)
    if not problem and any(segment in ("", ".", "..") for segment in name.split("/")):
        problem = "has an empty, '.' or '..' segment"
    if problem:
        raise UsageError(f"{what} {name[:80]!r} {problem}")
    return name


def checked_version(version: str) -> str:
    """The version itself. Raises UsageError for one that is none: white space, `/`, `@`, too long, empty."""
    problem = _problem(version, VERSION_CHARS_MAX)
    if not problem and any(char in "/@" or char.isspace() for char in version):
        problem = "holds white space, '/' or '@'"
    if not problem and version in (".", "..", "next"):
        problem = "is a word with a meaning of its own"
    if problem:
        raise UsageError(
            f"version {version[:80]!r} {problem}", hint="a version is a number or a word, like 4 or 2026-11"
        )
    return version


def _problem(text: str, chars_max: int) -> str:
    if not text.strip():
        return "is empty"
    if len(text) > chars_max:
        return f"has more than {chars_max} characters"
    if text.startswith("-"):
        return "begins with '-'"
    if "\\" in text or any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        return "holds a control character or a backslash"
    return ""
