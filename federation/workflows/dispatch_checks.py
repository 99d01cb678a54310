"""Checks before a dispatch that regions answer and that their tokens have the rights it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from federation.errors import NoPlace, UsageError
from federation.workflows.first_questions import FirstAnswers
from federation.workflows.plan import Preview

Tell = Callable[[str], None]


def check_answers(preview: Preview, tell: Tell, *, skip_unreachable: bool) -> None:
    """Raises UsageError or NoPlace for answers that leave nothing to dispatch to. Tells which regions are left out, and why."""
    preview.require_an_answer()
    unanswered = [one for one in preview.unanswered if one.region not in preview.late]
    if unanswered and not skip_unreachable:
        missing = "; ".join(f"{one.problem}: {one.region} ({one.detail})" for one in unanswered)
        raise UsageError(
            f"{missing}; nothing was dispatched",
            hint="choose others with --regions, or go on without them: --skip-unreachable",
        )
    for room in preview.plan.excluded:
        if room.region in preview.late:
            continue
        tell(f"Left out: {room.region}: {room.excluded}{f', {room.detail}' if room.detail else ''}")
    for region, warning in preview.warnings():
        tell(f"{region}: {warning}")
    if preview.plan.problems:
        raise UsageError(
            f"{'; '.join(preview.plan.problems)}; nothing was dispatched",
            hint="see what fits:  fedml plan  with the same options",
        )
    if not preview.usable:
        is_code = preview.request is not None and preview.request.code is not None
        see = "see: fedml plan" if not is_code else "see what there is:  fedml regions list"
        raise NoPlace("no region can take the job; nothing was dispatched", hint=see)


def require_rights(may_dispatch: Mapping[str, bool]) -> None:
    """Raises UsageError for regions whose token may not dispatch, before a version is taken."""
    denied = [name for name, may in may_dispatch.items() if not may]
    if denied:
        raise UsageError(
            f"the token may not dispatch (dispatch-job) in: {', '.join(denied)}; nothing was dispatched",
            hint="`fedml doctor --policy` prints the policy that it needs; or choose other regions with --regions",
        )


def warn_of_what_cannot_be_stopped(
    preview: Preview, answers: Mapping[str, FirstAnswers], deployed: Collection[str], tell: Tell
) -> None:
    """Warns of regions where attempts can't be stopped: that needs submit-job, as deploying does."""
    for name, answer in answers.items():
        may_submit = name in deployed or answer.may_submit is not False
        if not (preview.snapshot.regions[name].may_plan and may_submit):
            tell(
                f"{name}: the token may not stop what it dispatches (submit-job): an attempt that is given up, or "
                "cancelled, goes on there until it ends by itself"
            )
