"""What the brain knows of one region: plain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from federation.plan import Room
from federation.run.brain.events import Pair
from federation.run.brain.transitions import Admission, Job, Reach, Token


class Proof(IntEnum):
    """The most that a region has done in this run with its token. What it refuses after that may pass."""

    NONE = 0
    ANSWERED = 1
    DISPATCHED = 2


@dataclass(slots=True)
class Signs:
    """The signs of life that a region gave, and the questions that are open. Kept by `reach.Reaching`."""

    heard_s: float = 0.0
    """When it last gave a complete answer of any kind."""
    followed_s: float = 0.0
    """When news of the children last came, by its event stream or a list."""
    asked_s: float | None = None
    """When it was first asked for news since; None while it gives them unasked."""
    pinged_s: float = float("-inf")
    is_pinged: bool = False
    """A ping is under way."""
    is_deaf: bool = False
    """The last ping reached it at none of its addresses, nor through another region."""
    listed_s: float = float("-inf")
    is_listing: bool = False
    """A list of its children is under way."""
    said: set[Reach] = field(default_factory=set)
    """The states that were reported since it was last well for a whole grace."""
    excused_s: float = float("-inf")
    """Not lost before then: it couldn't be heard while this machine was cut off. Once until news come."""
    woke_s: float = float("-inf")
    """When it gave its first sign of life after it had given none."""
    well_s: float = 0.0
    """Since when it is reachable."""


@dataclass(slots=True)
class Probing:
    """The questions for a region's room."""

    sent_s: float | None = None
    """When the probe under way was sent; None when none is."""
    last_s: float = float("-inf")
    after_s: float = 0.0
    """The pause until the next one."""
    open_then: int = 0
    """Attempts that had a child when it was sent: what may be free is beyond those."""
    acknowledged_since: int = 0
    """Attempts that got a child since then."""
    is_least: bool = False
    """The last answer said that there may be more room."""


@dataclass(slots=True)
class Finding:
    """The search for children of attempts whose dispatch has no known outcome."""

    unknown: set[Pair] = field(default_factory=set)
    due_s: float | None = None
    is_under_way: bool = False
    """A second search could be answered first, and tell of what was before a dispatch."""


@dataclass(slots=True)
class Stops:
    """The stops of children."""

    under_way: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    """Children whose stop may not have happened: it is repeated at `again_at_s`."""
    again_at_s: float = 0.0
    refused: set[str] = field(default_factory=set)
    """Children that the token may not stop: repeated only when a refused token is accepted again."""

    @property
    def all(self) -> set[str]:
        """Children that aren't known to be stopped."""
        return self.under_way | self.again | self.refused


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
    reach: Reach = Reach.REACHABLE
    via: str = ""
    """The other region through which it answered last; empty where it answers itself."""
    admission: Admission = Admission.OPEN
    problem: str = ""
    """Why it isn't OPEN."""
    token: Token = Token.ACCEPTED
    proof: Proof = Proof.NONE
    job: Job = Job.THERE
    join_at_s: float = 0.0
    signs: Signs = field(default_factory=Signs)
    probing: Probing = field(default_factory=Probing)
    finding: Finding = field(default_factory=Finding)
    stops: Stops = field(default_factory=Stops)
    waiting: list[Pair] = field(default_factory=list)
    """Attempts that are in the log and wait for the check of the registered job before they are sent."""
    is_checking: bool = False
    hold_until_s: float = 0.0
    """Nothing is sent before then: the region asked for patience, or didn't answer."""
    hold_s: float = 0.0
    abandoned: list[Pair] = field(default_factory=list)
    """Attempts that were given up when the region was lost: stopped when it is back."""
    verify_at_s: float = 0.0
    unverified: list[str] = field(default_factory=list)
    """Children whose spec hash wasn't read back yet."""

    @property
    def is_excluded(self) -> bool:
        """Whether it gets nothing more in this run."""
        return self.admission is Admission.EXCLUDED

    @property
    def is_paused(self) -> bool:
        """Whether its token is refused."""
        return self.token is Token.REFUSED

    @property
    def _takes_work(self) -> bool:
        is_open = self.admission is Admission.OPEN and self.token is Token.ACCEPTED
        return is_open and self.reach is Reach.REACHABLE

    @property
    def is_usable(self) -> bool:
        """Whether anything may be sent there now, as far as is known."""
        return self.job is Job.THERE and self._takes_work

    @property
    def is_known(self) -> bool:
        """Whether its room is known in this run."""
        return self.probing.last_s > float("-inf")

    @property
    def is_awaited(self) -> bool:
        """Whether its room may be known soon."""
        return self._takes_work and not self.is_known

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
        return len(self.abandoned) + len(self.finding.unknown) + len(self.stops.all)

    @property
    def is_full(self) -> bool:
        """Whether its cap allows no more, even when what is open there ends badly."""
        return self.fixed.cap is not None and self.done >= self.fixed.cap

    def room(self, now_s: float, ahead: int = 0) -> int:
        """Gives how many more attempts it may take now; `ahead` of them may wait there for a node."""
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
