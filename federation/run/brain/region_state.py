"""What the brain knows of one region: a plain record."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from federation.plan import Room
from federation.run.brain.events import Pair


class Reach(StrEnum):
    """How far a region can be reached. A ping shows that it is alive; news of the run's children that it is followed."""

    REACHABLE = "reachable"
    """News of the children come from its own addresses."""
    RELAYED = "relayed"
    """News come through another region, which forwards; it gets no new work."""
    UNFOLLOWED = "unfollowed"
    """It answers pings and gives no news of the children."""
    SILENT = "silent"
    """It answers nothing."""
    LOST = "lost"
    """It gave no news for longer than the grace."""


@dataclass(slots=True)
class RegionState:
    """One region of the run. `limit` is how many open attempts it may hold, learnt by probes."""

    name: str
    order: int
    fixed: Room
    """What policies know of it besides its free slots."""
    pending_timeout_s: float | None = None
    max_outstanding: int | None = None
    limit: int = 0
    open: int = 0
    unacknowledged: int = 0
    """Attempts without a child, of the open ones."""
    running: int = 0
    done: int = 0
    """Attempts that gave their slot's results."""
    window: int = 0
    """How many unacknowledged attempts it may have: grows with each acknowledgement, halves when it fails to give one."""
    children: int = 0
    """Children of the job that the region keeps, of all runs, as far as is known."""
    problem: str = ""
    is_fatal: bool = False
    is_paused: bool = False
    """Its token is refused: nothing is asked of it until that is over."""
    has_worked: bool = False
    """It has answered in this run, with the token that it has …"""
    has_dispatched: bool = False
    """… and taken a dispatch: that it refuses now will pass."""
    reach: Reach = Reach.REACHABLE
    """Changed by `reach.Reaching` only."""
    via: str = ""
    """The other region through which it answered last; empty where it answers itself."""
    heard_s: float = 0.0
    """When it last gave a complete answer of any kind …"""
    followed_s: float = 0.0
    """… and when news of the children last came, by its event stream or a list."""
    asked_s: float | None = None
    """When it was first asked for news since; None while it gives them unasked."""
    pinged_s: float = float("-inf")
    is_pinged: bool = False
    """A sign of life was asked for and not answered yet."""
    is_deaf: bool = False
    """The last ping reached it at none of its addresses, nor through another region."""
    listed_s: float = float("-inf")
    is_listing: bool = False
    """Its children were asked for, and not answered yet."""
    said: set[Reach] = field(default_factory=set)
    """The states that were said since it was last well for a whole grace."""
    excused_s: float = float("-inf")
    """Not lost before then: it couldn't be heard while this machine was cut off. Once until news come."""
    woke_s: float = float("-inf")
    """When it gave its first sign of life after it had given none."""
    well_s: float = 0.0
    """Since when it is reachable."""
    has_job: bool = True
    """The run's job was brought there."""
    join_at_s: float = 0.0
    is_joining: bool = False
    probe_sent_s: float | None = None
    """When the probe under way was sent; None when none is."""
    probed_s: float = float("-inf")
    probe_after_s: float = 0.0
    open_at_probe: int = 0
    """Attempts that had a child when it was sent: what may be free is beyond those."""
    acknowledged_since: int = 0
    """Attempts that got a child since then."""
    unknown: set[Pair] = field(default_factory=set)
    """Attempts whose dispatch has no known outcome."""
    find_at_s: float | None = None
    is_finding: bool = False
    """A search is under way; a second one could be answered first, and tell of what was before a dispatch."""
    waiting: list[Pair] = field(default_factory=list)
    """Attempts that are in the log and wait for the check of the registered job before they are sent."""
    is_checking: bool = False
    hold_until_s: float = 0.0
    """Nothing is sent before then: the region asked for patience, or didn't answer."""
    hold_s: float = 0.0
    stopping: set[str] = field(default_factory=set)
    """Children whose stop is under way."""
    to_stop: set[str] = field(default_factory=set)
    """Children whose stop may not have happened: tried again at `stop_at_s`."""
    stop_at_s: float = 0.0
    unstoppable: set[str] = field(default_factory=set)
    """Children that the token may not stop: tried again only when a refused token is accepted again."""
    abandoned: list[Pair] = field(default_factory=list)
    """Attempts that were given up when the region was lost: stopped when it is back."""
    verify_at_s: float = 0.0
    unverified: list[str] = field(default_factory=list)
    """Children whose spec hash wasn't read back yet."""

    @property
    def is_usable(self) -> bool:
        """Whether anything may be sent there now, as far as is known."""
        return self.has_job and self.reach is Reach.REACHABLE and not (self.problem or self.is_paused or self.is_fatal)

    @property
    def is_known(self) -> bool:
        """Whether it has told its room in this run."""
        return self.probed_s > float("-inf")

    @property
    def is_awaited(self) -> bool:
        """Whether it may tell its room soon."""
        is_hopeless = self.problem or self.is_paused or self.is_fatal
        return self.reach is Reach.REACHABLE and not (self.is_known or is_hopeless)

    @property
    def is_lost(self) -> bool:
        """Whether its open attempts were given up, or are waited for."""
        return self.reach is Reach.LOST

    @property
    def is_out_of_sight(self) -> bool:
        """Whether no news of its children come."""
        return self.reach in (Reach.UNFOLLOWED, Reach.SILENT, Reach.LOST)

    @property
    def left(self) -> int:
        """Attempts that may still run there and could not be stopped."""
        return len(self.abandoned) + len(self.unknown) + len(self.stopping | self.to_stop | self.unstoppable)

    @property
    def is_full(self) -> bool:
        """Whether its cap allows no more, even when what is open there ends badly."""
        return self.fixed.cap is not None and self.done >= self.fixed.cap

    def room(self, now_s: float, ahead: int = 0) -> int:
        """How many more attempts it may take now; `ahead`: so many may wait there for a node."""
        if not self.is_usable or now_s < self.hold_until_s:
            return 0
        room = self.limit - self.open
        if ahead:
            room = max(room, ahead - (self.open - self.running))
        room = min(room, self.window - self.unacknowledged)
        if self.fixed.cap is not None:
            room = min(room, self.fixed.cap - self.open - self.done)
        if self.max_outstanding is not None:
            room = min(room, self.max_outstanding - self.children)
        return max(0, room)
