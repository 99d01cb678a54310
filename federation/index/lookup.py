"""Resolves the runs, regions and tags that a person names. Errors suggest the nearest name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from federation.errors import UnknownName, UsageError
from federation.index.reader import Reader
from federation.index.validation import LAST_RUN, refuse_no_text
from federation.text import counted

_SHOWN = 5
_END_CHARS_MIN = 4
_OPENED = "SELECT run FROM run"
_NEWEST = "ORDER BY revision DESC, rowid DESC"


def run_named(index: Reader, run: str) -> str:
    """The id of the run that `run` means: its id; `last`, `last-1`, … (counted from the newest); a name (of several runs the
    newest has it); the beginning or, from 4 characters on, the end of the ids of one run only. Raises UsageError."""
    refuse_no_text(run)
    text = run.strip()
    if last := LAST_RUN.fullmatch(text):
        return _last(index, int(last[1] or 0))
    sql = "SELECT run FROM run WHERE run = ? UNION ALL SELECT run FROM result WHERE run = ? LIMIT 1"
    exact = index.ask(lambda catalog: catalog.value(sql, text, text))
    by_name = f"{_OPENED} WHERE name = ? AND name != '' {_NEWEST} LIMIT 1"
    if found_run := exact or index.ask_again(lambda catalog: catalog.value(by_name, text)):
        return str(found_run)
    found = _by_part(index, text.lower()) if text else []
    if len(found) > 1:
        raise _several(index, run, found)
    if found:
        return found[0]
    known = index.ask_again(
        lambda catalog: catalog.values("SELECT run FROM run UNION SELECT name FROM run UNION SELECT run FROM result")
    )
    raise UnknownName(
        f"the index knows no run {run!r}", hint=_hint(run, [one for one in known if one], "see: fedml runs list")
    )


def _last(index: Reader, back: int) -> str:
    found = index.ask(lambda catalog: catalog.values(f"{_OPENED} {_NEWEST} LIMIT 1 OFFSET ?", back))
    if not found:
        number = index.ask_again(lambda catalog: catalog.value("SELECT COUNT(*) FROM run"))
        raise UnknownName(
            f"there is no run last{f'-{back}' if back else ''}: the index has {counted(number, 'run')}",
            hint="see: fedml runs list" if number else "begin one: fedml dispatch",
        )
    return str(found[0])


def _by_part(index: Reader, text: str) -> list[str]:
    """The ids that begin with the text, and those of opened runs that end with it."""
    asked = (text, text + chr(0x10FFFF)) * 2
    begins = "SELECT run FROM run WHERE run >= ? AND run < ? UNION SELECT run FROM result WHERE run >= ? AND run < ?"
    found = index.ask_again(lambda catalog: catalog.values(begins, *asked))
    if len(text) < _END_CHARS_MIN:
        return found
    ends = "SELECT DISTINCT run FROM {} WHERE substr(run, ?) = ? AND run NOT LIKE 'nomad:%'"
    found += index.ask_again(lambda catalog: catalog.values(ends.format("run"), -len(text), text))
    found = found or index.ask_again(lambda catalog: catalog.values(ends.format("result"), -len(text), text))
    return list(dict.fromkeys(found))


def _several(index: Reader, text: str, found: Sequence[str]) -> UsageError:
    newest = found[::-1][:_SHOWN]
    short = index.short_runs(newest)
    lines = []
    for run in newest:
        about = (f"  {row.job} version {row.version}, {row.opened}" for row in index.runs(run=run))
        lines.append(f"  {short[run]}{next(about, '')}")
    rest = [f"  … and {len(found) - len(lines)} more"] if len(found) > len(lines) else []
    return UsageError(
        f"{text!r} means {len(found)} runs:\n" + "\n".join(lines + rest),
        hint="name one by the id that  fedml runs list  shows",
    )


def require_region(index: Reader, region: str, configured: Collection[str]) -> None:
    """Raises UsageError for a region that neither the project nor any result has."""
    refuse_no_text(region)
    if region in configured:
        return
    if index.ask(lambda catalog: catalog.value("SELECT 1 FROM result WHERE region = ? LIMIT 1", region)) is None:
        known = {*configured, *index.ask(lambda catalog: catalog.values("SELECT DISTINCT region FROM result"))}
        hint = _hint(region, known, f"there are: {', '.join(sorted(known))}")
        raise UnknownName(f"there is no region {region!r} in fedml.toml, and no result was made in one", hint=hint)


def require_tag(index: Reader, tag: str) -> None:
    """Raises UsageError for a tag that never existed. One that points to nothing now is a tag."""
    refuse_no_text(tag)
    known = index.ask(lambda catalog: catalog.values("SELECT DISTINCT name FROM holder ORDER BY name"))
    if tag not in known:
        hint = _hint(tag, known, f"there are: {', '.join(known[:_SHOWN])}" if known else "see: fedml index tag --help")
        raise UnknownName(f"the index has no tag {tag!r}", hint=hint)


def _hint(name: str, known: Collection[str], otherwise: str) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
