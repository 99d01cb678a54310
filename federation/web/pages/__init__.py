"""One module for each page. Each has `ROUTES`; those that do something have `ACTIONS` too."""

from __future__ import annotations

from federation.web.page import ActionRoute, PageRoute
from federation.web.pages import actions, compare, index, plan, result, result_files, runs

MODULES = (actions, compare, index, plan, result, result_files, runs)


def every_page() -> list[PageRoute]:
    """The pages of all modules."""
    return [route for module in MODULES for route in getattr(module, "ROUTES", ())]


def every_action() -> list[ActionRoute]:
    """What can be done on them."""
    return [route for module in MODULES for route in getattr(module, "ACTIONS", ())]
