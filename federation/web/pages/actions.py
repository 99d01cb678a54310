"""The pages on which things are done: what would be done, and afterwards what the command says."""

from __future__ import annotations

import re
from subprocess import TimeoutExpired

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from federation.errors import UsageError
from federation.web.actions import Action, Intent, action_named
from federation.web.deeds import Deed, command_text, new_id
from federation.web.page import ActionRoute, Link, Live, Page, PageRoute
from federation.web.pages.plan import dispatch_intent
from federation.web.query import Query, form_of, inside, with_query
from federation.web.run_now import RUN_ID
from federation.web.security import author_of
from federation.web.site import Site

DEED_ID = re.compile(r"[0-9a-f]{16}")
QUICK_S = 20.0
"""A command that ends within this time answers the form itself."""


def confirm(site: Site, request: Request) -> Page:
    """Shows what an action would do, and asks for what it needs."""
    action, form = action_named(request.path_params["name"]), Query(request)
    _refuse_read_only(site)
    intent = action.intent(site, form)
    view = {"action": action, "name": request.path_params["name"], "intent": intent, "form": form, "deed": new_id()}
    return Page(
        "do.html",
        action.title,
        view,
        crumbs=(Link("back", intent.back),),
        command=command_text(intent.arguments) if intent.arguments else "",
    )


def act(site: Site, request: Request) -> Response:
    """Does it. A form without a value that it needs is shown again by its error."""
    action, form = action_named(request.path_params["name"]), form_of(request)
    for field in action.fields:
        if field.is_required and not form.text(field.name):
            raise UsageError(f"{(field.label or field.name).lower()} is missing")
    return _started(site, request, action, action.intent(site, form), form)


def dispatch(site: Site, request: Request) -> Response:
    """Dispatches what the plan page shows."""
    form = form_of(request)
    return _started(site, request, None, dispatch_intent(site, form), form)


def done(site: Site, request: Request) -> Page:
    """Shows a command that was started here, and what it says."""
    deed = site.deeds.get(request.path_params["deed"])
    output, code = deed.output(), deed.code
    runs = list(dict.fromkeys(RUN_ID.findall(output)))[:1]
    back = inside(request.query_params.get("back", "/"))
    view = {"deed": deed, "output": output, "code": code, "runs": runs, "back": back}
    title = "Running" if code is None else "Done" if code == 0 else "Failed"
    live = Live(version=(len(output), output[-80:], code), pause_s=1.0) if code is None else None
    return Page("did.html", title, view, command=deed.command, live=live)


def _started(site: Site, request: Request, action: Action | None, intent: Intent, form: Query) -> Response:
    _refuse_read_only(site)
    deed_id = form.text("deed")
    if not DEED_ID.fullmatch(deed_id):
        raise UsageError("the form is incomplete", hint="reload the page that it is on")
    deed = site.deeds.start(deed_id, intent.arguments, author_of(site.settings, site.author, request))
    _wait(deed)
    if deed.code == 0 and action is not None:
        return RedirectResponse(intent.back, 303)
    return RedirectResponse(with_query(f"/did/{deed.id}", {"back": intent.back}), 303)


def _wait(deed: Deed) -> None:
    try:
        deed.process.wait(QUICK_S if deed.arguments[0] == "index" else 0.2)
    except TimeoutExpired:
        return


def _refuse_read_only(site: Site) -> None:
    if site.settings.read_only:
        raise UsageError("these pages only show", hint="fedml ui without --read-only, or the command line")


ROUTES = (PageRoute("/do/{name}", confirm), PageRoute("/did/{deed}", done))
ACTIONS = (ActionRoute("/actions/dispatch", dispatch), ActionRoute("/actions/{name}", act))
