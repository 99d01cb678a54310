"""Checks names that come from outside, and whole records: jobs, runs, versions, tags, texts."""

from __future__ import annotations

import re
import unicodedata

from federation.errors import PublishError, UsageError
from federation.result import RECORD_BYTES_MAX, ResultRecord, refuse_too_large
from jobs.errors import InvalidSpec
from jobs.spec import JobShape, is_key_segment
from jobs.spec import checked_version as checked_by_jobs

NAME_CHARS_MAX = 256
TAG_CHARS_MAX = 64
TEXT_CHARS_MAX = 10_000

_RENAME = "use letters, digits, '-', '_' and '.' (results = \"none\" in fedml.toml allows any name)"
_TAG_WORDS = ("latest", "next", "none")
_HAS_MEANING = "is a word with a meaning of its own"
LAST_RUN = re.compile(r"last(?:-([0-9]{1,9}))?", re.ASCII | re.IGNORECASE)
"""`last` is the newest run, `last-1` the one before it."""
_HEXADECIMAL = set("0123456789abcdef-")


def checked_name(what: str, name: str) -> str:
    """The name itself. Raises UsageError for one that is empty, too long, no text, or could leave its folder."""
    problem = _problem(name, NAME_CHARS_MAX)
    if not problem and any(segment in ("", ".", "..") for segment in name.split("/")):
        problem = "has an empty, '.' or '..' segment"
    if problem:
        raise UsageError(f"{what} {name[:80]!r} {problem}")
    return name


def checked_version(version: str) -> str:
    """The version itself. Raises UsageError for what a job can't have as one (`jobs.spec.checked_version`)."""
    try:
        return checked_by_jobs(version)
    except InvalidSpec as error:
        raise UsageError(f"version {error.message}", hint=error.hint) from error


def checked_tag(name: str) -> str:
    """The name itself. Raises UsageError for one that isn't valid: it begins with a letter of any script, goes on with letters,
    digits, `-`, `_` and `.`, and can't be taken for the beginning of an allocation id or a word with a meaning."""
    problem = _word_problem(name, "allocation id")
    if not problem and name.lower() in _TAG_WORDS:
        problem = _HAS_MEANING
    if problem:
        raise UsageError(f"tag {name[:80]!r} {problem}", hint="a tag is a word, like production or sales-champion")
    return name


def checked_run_name(name: str) -> str:
    """The name itself. Raises UsageError for one that isn't written as a tag is, that could be a run id, `last` or `last-1`."""
    problem = _word_problem(name, "run id")
    if not problem and LAST_RUN.fullmatch(name):
        problem = _HAS_MEANING
    if problem:
        raise UsageError(f"run name {name[:80]!r} {problem}", hint="a name is a word, like nightly or lr-sweep")
    return name


def _word_problem(name: str, id_of: str) -> str:
    problem = _problem(name, TAG_CHARS_MAX)
    if not problem and not (name[0].isalpha() and all(char.isalnum() or char in "-_." for char in name)):
        problem = "isn't a letter followed by letters, digits, '-', '_' and '.'"
    if not problem and set(name.lower()) <= _HEXADECIMAL:
        problem = f"could be a part of {'an' if id_of[0] in 'aeiou' else 'a'} {id_of}"
    return problem


def checked_text(what: str, text: str) -> str:
    """The text without spaces around it. Raises UsageError for one that is empty, too long, or no text."""
    stripped = text.strip()
    problem = "is empty" if not stripped else ""
    if len(stripped) > TEXT_CHARS_MAX:
        problem = f"has more than {TEXT_CHARS_MAX} characters"
    if any(unicodedata.category(char) == "Cs" or (not char.isprintable() and char not in "\n\t") for char in stripped):
        problem = "holds a control character"
    if problem:
        raise UsageError(f"{what} {problem}")
    return stripped


def checked_names(shape: JobShape, where: str) -> JobShape:
    """The shape itself. Raises InvalidSpec for a job or a publishing group whose name no result could have: its task would
    train to the end before `fedml publish` refuses it."""
    names = [("the job's ID", shape.id, True), *(("the group", name, is_key_segment(name)) for name in shape.groups)]
    for what, name, is_possible in names:
        try:
            checked_name(what, name)
        except UsageError as error:
            raise InvalidSpec(f"{where}: {error.message}, and results are named after it", hint=_RENAME) from None
        if not is_possible:
            problem = f"{what} {name[:80]!r} can't be part of the key of a result"
            raise InvalidSpec(f"{where}: {problem}", hint=_RENAME)
    return shape


def checked_record(record: ResultRecord) -> ResultRecord:
    """The record itself. Raises UsageError for one that can't stand in the index: a value of another type than it should
    have, more than the limits allow, a name that isn't one. Records are claims: everybody who may write to
    the store may write one."""
    try:
        source = f"the record of {record.alloc_id!a}"
        refuse_too_large(ResultRecord.from_dict(record.to_dict(), source=source), source=source)
        if len(record.to_json()) > RECORD_BYTES_MAX:
            raise PublishError(f"{source} has more than {RECORD_BYTES_MAX:,} bytes")
    except PublishError as error:
        raise UsageError(error.message, hint=error.hint) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"the record of {record.alloc_id!a} holds what can't be written: {error}") from error
    names = {"run": record.key.run, "group": record.key.group, "job": record.job, "allocation": record.alloc_id}
    names |= {"region": record.region, "datacenter": record.datacenter}
    for what, name in names.items():
        checked_name(what, name)
    checked_version(record.version)
    return record


def refuse_no_text(text: str) -> None:
    """Raises UsageError for an argument that isn't valid Unicode: SQLite can't be asked for it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid text") from None


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
