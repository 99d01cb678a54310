"""Routes to a run's regions: their own addresses, and other regions' servers, which forward to them.

A ping asks all of them at once. A list asks the region itself first, then the regions that may carry its token. Every question
has a deadline; while one hangs, the same address isn't asked again.

**Which token goes where.** A region's token is sent to its own addresses. It is sent to another region's servers only where
they know it already (they are given the same token) or where the region has none. A ping carries no token. To allow more, write
the other region's address into `addresses` of the region.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from federation.run.brain.events import Pinged
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.credentials import SecretRef, SecretUnavailable
from regions.errors import PermissionDenied, RegionUnreachable, Throttled
from regions.model import Allocation, Region

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

T = TypeVar("T")

FORWARDING_REGIONS = 16
"""How many other regions are asked about one that doesn't answer itself; in turn, if there are more."""
SHORTEST_S = 0.75
"""The shortest time that a ping gets."""


@frozen
class Way(Generic[T]):
    """One way to ask a region: `via` another region, or "" for one of its own addresses."""

    via: str
    address: str
    ask: Callable[[], T]


@dataclass(slots=True)
class _Answers(Generic[T]):
    """The answers to one question so far; `own` and `relayed` count those that are still awaited."""

    problem: FedmlError
    """What the region's own address raised."""
    queue: queue.SimpleQueue[tuple[Way[T], T | FedmlError]] = field(default_factory=queue.SimpleQueue)
    own: int = 0
    relayed: int = 0
    direct: T | None = None
    """The answer of an own address."""
    forwarded: tuple[T, str] | None = None
    """The first answer of another region, and that region."""

    def wait(self, timeout_s: float) -> None:
        """Takes the next answer, if one comes in time."""
        try:
            way, answer = self.queue.get(timeout=max(0.001, timeout_s))
        except queue.Empty:
            return
        if way.via:
            self.relayed -= 1
            if not isinstance(answer, FedmlError):
                self.forwarded = self.forwarded or (answer, way.via)
            return
        self.own -= 1
        if isinstance(answer, FedmlError):
            self.problem = answer
        else:
            self.direct = answer


class Routes(Mapping[str, "NomadRegion"]):
    """Client of each region: its own, or one through another region while the region is followed only there.

    `client(name)` gives a region's own client. A ping takes a quarter of `grace_s` at most, a list half of it: answers come
    before the next question is due.
    """

    def __init__(
        self,
        regions: Mapping[str, Region],
        names: Sequence[str],
        client: Callable[[str], NomadRegion],
        *,
        grace_s: float,
    ) -> None:
        self._regions = regions
        self._names = tuple(names)
        self._client = client
        self._limit_s = max(SHORTEST_S, grace_s / 4)
        self._via: dict[str, str] = {}
        self._relays: dict[tuple[str, str], NomadRegion] = {}
        self._turn: dict[str, int] = {}
        self._hanging: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> NomadRegion:
        via = self._via.get(name)
        return self._relay(name, via) if via else self._client(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def is_direct(self, name: str) -> None:
        """Asks the region at its own addresses from now on: it answers there."""
        self._via.pop(name, None)

    def close(self) -> None:
        """Close the connections through other regions."""
        for relay in self._relays.values():
            relay.close()

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def ping(self, name: str) -> Pinged:
        """Whether the region answers at any of its addresses or, if not, through another region that forwards to it."""
        region = self._regions[name]
        ways = [Way("", address, lambda at=address: self._leads(region, at)) for address in region.addresses]  # type: ignore[misc]
        for other in self._others(name):
            asked = replace(region, tls=other.tls, token=None)
            ways += [
                Way(other.name, at, lambda asked=asked, at=at: self._leads(asked, at))  # type: ignore[misc]
                for at in other.addresses
                if at not in region.addresses
            ]
        try:
            _, via = self._first(name, "ping", ways, limit_s=self._limit_s)
        except FedmlError:
            return Pinged(name, is_alive=False)
        return Pinged(name, is_alive=True, via=via)

    def _leads(self, region: Region, address: str) -> str:
        """Asks one address who leads the region: one small request. A server that refuses is alive all the same; one that
        only forwards must know of a leader there."""
        from regions.nomad.client import NomadRegion

        client = NomadRegion(replace(region, addresses=(address,))).within(self._limit_s, rounds=1)
        is_own = address in self._regions[region.name].addresses
        try:
            leader = client.leader()
        except (PermissionDenied, Throttled):
            if is_own:
                return address
            raise
        finally:
            client.close()
        if not (leader or is_own):
            raise RegionUnreachable(f"{address} knows of no leader", region=region.name)
        return leader

    def list_allocations(self, name: str) -> tuple[Sequence[Allocation], str]:
        """Gives all allocations of the region, and the other region through which they came ("" for itself). From then on the
        region is asked for everything that way. Raises FedmlError."""
        region = self._regions[name]
        limit_s = 2 * self._limit_s
        ways = [Way("", "", lambda: self._client(name).within(limit_s).allocations()[0])]
        for other in self._others(name):
            if self.may_carry(region, other):
                relay = self._relay(name, other.name)
                ways.append(Way(other.name, "", lambda relay=relay: relay.within(limit_s).allocations()[0]))  # type: ignore[misc]
        allocations, via = self._first(name, "list", ways, limit_s=limit_s, head_start_s=self._limit_s / 4)
        self._via[name] = via
        return allocations, via

    # ── other regions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _others(self, name: str) -> list[Region]:
        """Lists other regions with addresses of their own; the one that forwarded last comes first."""
        own = set(self._regions[name].addresses)
        others = [one for one in self._regions.values() if one.name != name and not own.issuperset(one.addresses)]
        if len(others) <= FORWARDING_REGIONS:
            return others
        last = [one for one in others if one.name == self._via.get(name)]
        turn = self._turn[name] = (self._turn.get(name, -FORWARDING_REGIONS) + FORWARDING_REGIONS) % len(others)
        rest = [one for one in (*others[turn:], *others[:turn]) if one not in last]
        return [*last, *rest][:FORWARDING_REGIONS]

    @staticmethod
    def may_carry(region: Region, other: Region) -> bool:
        """Whether the other region's servers may see the region's token: it has none, or they are given the same."""
        if region.token is None or region.token == other.token:
            return True
        token = _read(region.token)
        return token is not None and token == _read(other.token)

    def _relay(self, name: str, via: str) -> NomadRegion:
        from regions.nomad.client import NomadRegion

        with self._lock:
            if (name, via) not in self._relays:
                region, other = self._regions[name], self._regions[via]
                addresses = tuple(each for each in other.addresses if each not in region.addresses)
                self._relays[name, via] = NomadRegion(replace(region, addresses=addresses, tls=other.tls))
            return self._relays[name, via]

    # ── asking at once ────────────────────────────────────────────────────────────────────────────────────────────────

    def _first(
        self, name: str, what: str, ways: Sequence[Way[T]], *, limit_s: float, head_start_s: float = 0.0
    ) -> tuple[T, str]:
        """Gives an answer, and which way it came. Other regions are asked when the region's own addresses have failed, at the
        latest after `head_start_s`; without a head start their answers count only where no own one comes in time. Raises
        what its own address raised, RegionUnreachable where none answers in time."""
        until_s, relay_at_s = time.monotonic() + limit_s, time.monotonic() + head_start_s
        asked: _Answers[T] = _Answers(RegionUnreachable(f"{what}: no answer in time", region=name))
        asked.own = sum(self._begin(name, what, way, asked.queue) for way in ways if not way.via)
        others = [way for way in ways if way.via]
        while (now_s := time.monotonic()) < until_s:
            if others and (now_s >= relay_at_s or not asked.own):
                asked.relayed = sum(self._begin(name, what, way, asked.queue) for way in others)
                others = []
            if not others and (asked.forwarded or not asked.relayed) and not asked.own:
                break
            asked.wait((relay_at_s if others else until_s) - now_s)
            if asked.direct is not None:
                return asked.direct, ""
            if asked.forwarded is not None and head_start_s:
                break
        if asked.forwarded is None:
            raise asked.problem
        return asked.forwarded

    def _begin(
        self, name: str, what: str, way: Way[T], answers: queue.SimpleQueue[tuple[Way[T], T | FedmlError]]
    ) -> bool:
        """Asks one way in a daemon thread, unless the last question there still hangs."""
        place = (name, what, f"{way.via} {way.address}")
        with self._lock:
            if place in self._hanging:
                return False
            self._hanging.add(place)

        def ask() -> None:
            try:
                answers.put((way, way.ask()))
            except FedmlError as error:
                answers.put((way, error))
            finally:
                with self._lock:
                    self._hanging.discard(place)

        threading.Thread(target=ask, name=f"{what}-{name}", daemon=True).start()
        return True


def _read(token: SecretRef | None) -> str | None:
    with suppress(SecretUnavailable):
        return token.read() if token is not None else None
    return None
