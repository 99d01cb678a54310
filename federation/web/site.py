"""What all pages of one `fedml ui` share: the project, its settings, and what was read for everybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from federation.app import App
from federation.log import default_author
from federation.web.deeds import Deeds
from federation.web.pasts import Pasts
from federation.web.shared import Shared
from federation.workflows.runs import Runs
from jobs.errors import FedmlError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Who may look, and what they may do. `hosts` are the names (without port) under which a browser may ask for pages."""

    hosts: frozenset[str] = LOOPBACK_NAMES
    read_only: bool = False
    user_header: str = ""
    """The header in which a proxy says who is signed in. Empty: people sign in by the link that the terminal shows."""
    is_tls: bool = False


@dataclass
class Site:
    """One project's pages. May be used from threads."""

    app: App
    settings: Settings = field(default_factory=Settings)
    shared: Shared = field(default_factory=Shared)
    pasts: Pasts = field(default_factory=Pasts)
    author: str = field(default_factory=default_author)
    """Who looks, where no proxy says it: the person who started `fedml ui`."""

    def __post_init__(self) -> None:
        self.runs = Runs(self.app)
        self.deeds = Deeds(self.app.config)

    @property
    def first_command(self) -> str:
        """What begins a run in this project."""
        try:
            self.app.registered_job() or self.app.job_file()
        except FedmlError:
            return "fedml run SCRIPT"
        return "fedml dispatch"

    def now(self) -> datetime:
        """The time, of which deadlines are counted."""
        return datetime.now(UTC)
