"""Resolves the runs, regions and tags that a person names. Errors suggest the nearest name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from federation.errors import UsageError
from federation.index.reader import Reader
from federation.index.validation import refuse_no_text

_SHOWN = 5


def run_named(index: Reader, run: str) -> str:
    """The id of the run of that id or unique prefix: one that was opened, or that a result names. Raises UsageError."""
    refuse_no_text(run)
    asked = (run, run + chr(0x10FFFF)) * 2
    found = index.ask(
        lambda catalog: catalog.values(
            "SELECT run FROM run WHERE run >= ? AND run < ? UNION SELECT run FROM result WHERE run >= ? AND run < ?",
            *asked,
        )
    )
    chosen = the_one(run, found)
    if chosen is None:
        known = index.ask(lambda catalog: catalog.values("SELECT run FROM run UNION SELECT run FROM result"))
        raise UsageError(f"the index knows no run {run!r}", hint=_hint(run, known, "see: fedml runs list"))
    return chosen


def the_one(run: str, found: Sequence[str]) -> str | None:
    """Of the runs that begin with `run` the one that is meant: the whole id, else the only one; None where there is none.
    Raises UsageError for several."""
    if run in found:
        return run
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN])
        raise UsageError(f"{len(found)} runs begin with {run!r}: {shown}", hint="give more of the id")
    return found[0] if found else None


def require_region(index: Reader, region: str, configured: Collection[str]) -> None:
    """Raises UsageError for a region that neither the project nor any result has."""
    refuse_no_text(region)
    if region in configured:
        return
    if index.ask(lambda catalog: catalog.value("SELECT 1 FROM result WHERE region = ? LIMIT 1", region)) is None:
        known = {*configured, *index.ask(lambda catalog: catalog.values("SELECT DISTINCT region FROM result"))}
        hint = _hint(region, known, f"there are: {', '.join(sorted(known))}")
        raise UsageError(f"there is no region {region!r} in fedml.toml, and no result was made in one", hint=hint)


def require_tag(index: Reader, tag: str) -> None:
    """Raises UsageError for a tag that never existed. One that points to nothing now is a tag."""
    refuse_no_text(tag)
    known = index.ask(lambda catalog: catalog.values("SELECT DISTINCT name FROM holder ORDER BY name"))
    if tag not in known:
        hint = _hint(tag, known, f"there are: {', '.join(known[:_SHOWN])}" if known else "see: fedml index tag --help")
        raise UsageError(f"the index has no tag {tag!r}", hint=hint)


def _hint(name: str, known: Collection[str], otherwise: str) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
