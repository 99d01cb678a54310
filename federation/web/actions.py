"""What can be done on pages: which command does it, and what it would do, said before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federation.errors import UnknownName
from federation.index import Row
from federation.index.catalog.history import TagMove
from federation.text import counted
from federation.web.query import Query
from federation.web.site import Site
from federation.web.templates import segment
from federation.workflows.run_control import what_is_open

NOTHING = "none"
"""What `--if-current` calls a tag that points to nothing."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of an action. A label: a person writes it. None: the link brings it."""

    name: str
    label: str = ""
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Intent:
    """What would be done: `arguments` of the command, `effects` in sentences, the page to go `back` to. `guards` are sent with
    the form: what was true when the person decided."""

    arguments: Sequence[str]
    effects: Sequence[str]
    back: str
    guards: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: its title, its values, and what they come to."""

    title: str
    fields: Sequence[Field]
    intent: Callable[[Site, Query], Intent]
    is_dangerous: bool = False


REASON = Field("reason", "Why", is_required=False)


def _run(form: Query) -> str:
    return form.text("run")


def _of_run(form: Query) -> str:
    return f"/runs/{segment(_run(form))}"


def _reason(form: Query, option: str) -> list[str]:
    reason = form.text("reason")
    return [f"{option}={reason}"] if reason else []


def _cancel(site: Site, form: Query) -> Intent:
    row = site.runs.find(_run(form))
    arguments = ["runs", "cancel", row.run, "--yes", *_reason(form, "--reason")]
    return Intent(arguments, [f"Run {row.run} of {row.job}: {what_is_open(site.runs, row.run)}."], _of_run(form))


def _retry(site: Site, form: Query) -> Intent:
    story = site.runs.story(_run(form))
    failed = [number for number, slot in enumerate(story.slots) if slot.state == "failed"]
    slots = [slot for slot in form.many("slot") if slot.isdecimal()]
    count = counted(len(slots or failed), "failed slot")
    return Intent(
        ["runs", "retry", story.manifest.run, *slots],
        [f"{count} of {story.manifest.job} would be tried again."],
        _of_run(form),
    )


def _rebind(site: Site, form: Query) -> Intent:
    story, region = site.runs.story(_run(form)), form.text("region")
    site.app.chosen_regions([region])
    open_there = sum(attempt.is_open and attempt.region == region for slot in story.slots for attempt in slot.attempts)
    effects = [
        f"{counted(open_there, 'open attempt')} in {region} would be moved to other regions.",
        (
            "Attempts that run there are stopped when the region answers. A result that one of them published counts if it is "
            "the first for its slot."
        ),
    ]
    return Intent(["runs", "rebind", story.manifest.run, f"--from={region}"], effects, _of_run(form))


def _resume(site: Site, form: Query) -> Intent:
    row = site.runs.find(_run(form))
    return Intent(
        ["runs", "resume", row.run], [f"Run {row.run} of {row.job} continues, driven from this machine."], _of_run(form)
    )


def _result(site: Site, form: Query) -> Row:
    return site.app.index.result(form.text("result"))


def _of_result(row: Row) -> str:
    return f"/results/{segment(row.alloc_id)}"


def _named(row: Row) -> str:
    return f"{row.alloc_id[:8]}, version {row.version} of {row.job}"


def _held(site: Site, name: str) -> tuple[TagMove | None, str]:
    """Where a tag points now, and that in words."""
    now = next((move for move in site.app.index.tags() if move.name == name), None)
    if now is None:
        return None, f"{name!r} points to nothing now."
    rows = site.app.index.find(now.alloc_id)
    return now, f"{name!r} points to {_named(rows[0]) if rows else now.alloc_id} now."


def _if_current(form: Query, now: TagMove | None) -> tuple[list[str], list[tuple[str, str]]]:
    """The option that lets the change be made only if nobody was faster since the form was shown."""
    seen = form.text("if_current") or (now.alloc_id if now else NOTHING)
    return [f"--if-current={seen}"], [("if_current", seen)]


def _tag(site: Site, form: Query) -> Intent:
    row, name = _result(site, form), form.text("tag")
    if not name:
        return Intent([], [f"Which tag is to point to {_named(row)}?"], _of_result(row))
    now, effect = _held(site, name)
    option, guards = _if_current(form, now)
    arguments = ["index", "tag", *option, *_reason(form, "--reason"), "--", name, row.alloc_id]
    return Intent(arguments, [effect, f"It would point to {_named(row)}."], _of_result(row), guards)


def _moved(site: Site, form: Query, command: Sequence[str], effect: str) -> Intent:
    name = form.text("tag")
    now, where = _held(site, name)
    option, guards = _if_current(form, now)
    back = f"/results/{segment(now.alloc_id)}" if now else "/index"
    return Intent([*command, *option, *_reason(form, "--reason"), "--", name], [where, effect], back, guards)


def _untag(site: Site, form: Query) -> Intent:
    return _moved(
        site, form, ["index", "untag"], "It would point to nothing. Its history stays, and a rollback brings it back."
    )


def _rollback(site: Site, form: Query) -> Intent:
    moves = site.app.index.tag_history(form.text("tag"))
    before = moves[0].previous if moves else ""
    rows = site.app.index.find(before) if before else []
    effect = f"It would point to {_named(rows[0])} again." if rows else "It would point where it pointed before."
    return _moved(site, form, ["index", "tag", "--rollback"], effect)


def _note(site: Site, form: Query) -> Intent:
    row, text = _result(site, form), form.text("text")
    return Intent(
        ["index", "note", "--", row.alloc_id, text], [f"The note would stand at {_named(row)}."], _of_result(row)
    )


def _retire(site: Site, form: Query) -> Intent:
    row, is_undone = _result(site, form), form.flag("undo")
    effect = (
        f"{_named(row)} would be shown again, in the state that it had."
        if is_undone
        else f"{_named(row)} would be hidden from lists and from its version. Its artifact stays, and nothing takes its place."
    )
    arguments = ["index", "retire", *(["--undo"] if is_undone else []), *_reason(form, "--reason"), "--", row.alloc_id]
    return Intent(arguments, [effect], _of_result(row))


ACTIONS = {
    "cancel": Action("Cancel the run", (Field("run"), REASON), _cancel, is_dangerous=True),
    "retry": Action("Try failed slots again", (Field("run"), Field("slot", is_required=False)), _retry),
    "rebind": Action(
        "Move a region's slots to other regions", (Field("run"), Field("region")), _rebind, is_dangerous=True
    ),
    "resume": Action("Continue the run", (Field("run"),), _resume),
    "tag": Action("Point a tag to this result", (Field("result"), Field("tag", "Tag"), REASON), _tag),
    "untag": Action("Point a tag to nothing", (Field("tag"), REASON), _untag, is_dangerous=True),
    "rollback": Action("Roll a tag back", (Field("tag"), REASON), _rollback, is_dangerous=True),
    "note": Action("Add a note", (Field("result"), Field("text", "Note")), _note),
    "retire": Action(
        "Retire this result", (Field("result"), Field("undo", is_required=False), REASON), _retire, is_dangerous=True
    ),
}


def action_named(name: str) -> Action:
    """Raises UsageError for one that doesn't exist."""
    if name not in ACTIONS:
        raise UnknownName(f"there is no action {name!r}", hint=f"there are: {', '.join(ACTIONS)}")
    return ACTIONS[name]
