"""One module for each page. Each has `ROUTES`; those that do something have `ACTIONS` too."""

from __future__ import annotations

from federation.web.page import ActionRoute, PageRoute
from federation.web.pages import (
    actions,
    attempt,
    compare,
    doctor,
    federation,
    history,
    index,
    jobs,
    plan,
    result,
    result_files,
    run,
    run_log,
    runs,
)

MODULES = (
    federation,
    plan,
    runs,
    run,
    run_log,
    attempt,
    compare,
    index,
    result,
    result_files,
    history,
    jobs,
    doctor,
    actions,
)


def every_page() -> list[PageRoute]:
    """The pages of all modules."""
    return [route for module in MODULES for route in getattr(module, "ROUTES", ())]


def every_action() -> list[ActionRoute]:
    """What can be done on them."""
    return [route for module in MODULES for route in getattr(module, "ACTIONS", ())]
