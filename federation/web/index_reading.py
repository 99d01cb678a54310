"""How pages read the index: as it is now, asked of the home once for all viewers, or as it was at a revision."""

from __future__ import annotations

from dataclasses import dataclass

from federation.index.reader import Reader
from federation.index.time_travel import revision_at
from federation.web.pasts import View
from federation.web.query import Query
from federation.web.site import Site

LOOK_EVERY_S = 1.0
LIVE_PAUSE_S = 3.0
COST = "New entries of the index are asked for about once a second, for all viewers together"


@dataclass(frozen=True, slots=True)
class Reading:
    """An index to read, and how true it is. `at` is the revision that the address asks for, 0 for the present."""

    index: Reader
    head: int
    """The newest revision."""
    at: int
    as_of: float
    problem: str

    @property
    def option(self) -> str:
        """What makes a command read the same."""
        return f" --at {self.at}" if self.at else ""


def reading(site: Site, query: Query) -> Reading:
    """The index that an address asks for (`revision=` a number, or a time with a zone). Raises what commands raise for an index
    that is lost, is being rebuilt, or can't be reached and was never read."""
    index = site.app.index

    def look() -> int:
        return index.ask(lambda catalog: catalog.position().number)

    site.shared.get("index opened", look, max_age_s=float("inf"))  # takes longer than a look, and says nothing of one
    known = site.shared.get("index", look, max_age_s=LOOK_EVERY_S)
    head = index.ask_again(lambda catalog: catalog.position().number)
    problem = str(known.problem) if known.problem else ""
    when = query.text("revision")
    at = index.ask_again(lambda catalog: revision_at(catalog, when, index.now())) if when else head
    if at != head:
        return Reading(site.pasts.at(index, at), head, at, known.at, problem)
    return Reading(View(index.ask_again, index.entry, head), head, 0, known.at, problem)
