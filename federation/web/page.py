"""What a page is, before it is HTML, JSON, CSV or SVG."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from federation.web.site import Site
from federation.web.table import Table


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads somewhere."""

    text: str
    href: str


class Picture(Protocol):
    """A chart (`federation.charts`)."""

    @property
    def svg(self) -> str:
        """For a page."""

    def standalone(self) -> str:
        """As a file of its own."""


@dataclass(frozen=True, slots=True)
class Live:
    """How a page stays true while somebody looks. `version` changes when anything that it shows has changed: the page is made
    again only then. `cost` says to the reader what this costs servers. `pause_s` lies between two looks."""

    version: Hashable
    pause_s: float = 2.0
    cost: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as values. `view` are the names of its template. `document` makes its JSON, which is the document that the
    command prints with `--json`. `table` is its CSV. `charts` are its SVG files. `command` does the same in a terminal."""

    template: str
    title: str
    view: Mapping[str, object]
    section: str = ""
    """Which word of the navigation it belongs to."""
    crumbs: Sequence[Link] = ()
    document: Callable[[], Mapping[str, Any]] | None = None
    table: Table | None = None
    charts: Mapping[str, Picture] = field(default_factory=dict)
    command: str = ""
    live: Live | None = None
    """None for a page that never changes."""
    as_of: float = 0.0
    """When what it shows was read, in seconds since the epoch."""
    problem: str = ""
    """Why nothing newer could be read."""
    status: int = 200


View = Callable[[Site, Request], Page | Response]
"""Reads what a page shows. Runs in a thread of its own; raises FedmlError for what can't be read or isn't valid."""


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page's address, as Starlette writes it (`/runs/{run}`), and what reads it."""

    path: str
    view: View


@dataclass(frozen=True, slots=True)
class ActionRoute:
    """The address of something to do, which only POST does. Read-only sites don't have it."""

    path: str
    view: View
