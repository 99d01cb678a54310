"""Base of the region client: one call, a list over its pages, the version of the servers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import quote

import nomad.api  # noqa: TID253 - this module is loaded only when a region is really called

from regions.errors import PermissionDenied, RegionUnreachable, UnexpectedAnswer
from regions.model import Region
from regions.nomad.decode import server_version
from regions.nomad.json_types import NOT_OF_NOMADS_SHAPE
from regions.nomad.request import ANSWER_BYTES_MAX, Answer, Request
from regions.nomad.sender import sender
from regions.nomad.transport import ROUNDS_WITHOUT_ANSWER, Transport

PAGE_SIZE = 1000
T = TypeVar("T")


class RegionCalls:
    """Calls to one region and what they have in common. `NomadRegion` says how they behave."""

    def __init__(self, region: Region, *, timeout_s: float = 10.0, deadline_s: float = 30.0) -> None:
        self.region = region
        self.name = region.name
        self._transport = Transport(region, sender(region), timeout_s=timeout_s, deadline_s=deadline_s)
        self._version: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {', '.join(self.region.addresses)})"

    def within(self, deadline_s: float, *, rounds: int = ROUNDS_WITHOUT_ANSWER) -> Self:
        """The same region over the same connections. A call takes at most `deadline_s`, all attempts together. `rounds`:
        how often addresses that don't answer are asked."""
        region = copy.copy(self)
        region._transport = self._transport.within(deadline_s, rounds=rounds)
        return region

    @property
    def address(self) -> str:
        """The address that answered last; the first one before any did."""
        return self._transport.address

    def close(self) -> None:
        """Close all connections, those of other threads too. A later call opens new ones."""
        self._transport.close()

    def version(self) -> str:
        """The oldest version among the region's living servers ("1.6.3"), read once.

        It comes from the gossip members, which every server of the federation knows for all regions: `/v1/agent/self`
        answers for the agent that was reached, whatever `?region=` says. A token without `node:read` is refused there;
        so is a list of nodes, hence `PermissionDenied`.
        """
        if self._version is None:
            members = self._get("version", nomad.api.Agent, "members")
            version = self._parse("version", lambda: server_version(members["Members"], self.region.nomad_region))
            if not version:
                raise RegionUnreachable(
                    f"no living server of Nomad region {self.region.nomad_region!r} is known",
                    region=self.name,
                    operation="version",
                    hint="the servers it was asked of know these regions: " + ", ".join(self.federation_regions()),
                )
            self._version = version
        return self._version

    def federation_regions(self) -> list[str]:
        """The names of all Nomad regions that the server knows, sorted."""
        names = self._get("regions", nomad.api.Regions)
        return self._parse("regions", lambda: sorted(checked_as(str, name) for name in checked_as(list, names)))

    def _known_version(self) -> str:
        """The version, or "" where the token may not read it."""
        try:
            return self.version()
        except PermissionDenied:
            return ""

    def _get(
        self, operation: str, endpoint: type, *path: str, about: str = "", params: Mapping[str, Any] | None = None
    ) -> Any:
        return self._transport.call(Request(operation, endpoint, path, params=params, about=about)).value

    def _post(
        self,
        operation: str,
        endpoint: type,
        *path: str,
        json: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        about: str,
        is_repeatable: bool = True,
    ) -> Any:
        request = Request(operation, endpoint, path, "post", params, json, about, is_repeatable=is_repeatable)
        return self._transport.call(request).value

    def _bytes(
        self, endpoint: type, alloc_id: str, params: Mapping[str, Any], about: str, bytes_max: int = ANSWER_BYTES_MAX
    ) -> bytes:
        path = (quoted(alloc_id),)
        request = Request(
            "read", endpoint, path, params=params, about=about, expects_json=False, answer_bytes_max=bytes_max
        )
        return self._transport.call(request).response.content

    def _pages(
        self,
        operation: str,
        endpoint: type,
        *path: str,
        params: Mapping[str, Any],
        items_max: int | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A list over all its pages, and the first page's index. Reads no further page when it has `items_max`.

        Each object comes once: Nomad 1.6 compares page tokens as text, so a page may begin too early when an index gains
        a digit. A page that brings nothing new ends the list, since it would come for ever.
        """
        items: dict[str, dict[str, Any]] = {}
        index, next_token = 0, ""
        while True:
            page = {**params, "per_page": PAGE_SIZE, "next_token": next_token or None}
            answer = self._transport.call(Request(operation, endpoint, path, params=page))
            before = len(items)
            for number, item in enumerate(self._parse(operation, partial(_items, answer))):
                name = item.get("ID") or f"{before + number} without an ID"
                items.setdefault(f"{item.get('Namespace')}/{name}", item)
            headers = answer.response.headers
            index = index or self._parse(operation, partial(_index_in, headers))
            next_token = headers.get("X-Nomad-NextToken", "")
            if not next_token or len(items) == before or (items_max is not None and len(items) >= items_max):
                return list(items.values()), index

    def _parse(self, operation: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except NOT_OF_NOMADS_SHAPE as error:
            problem = f"{', '.join(self.region.addresses)}: an answer not of Nomad's shape ({type(error).__name__})"
            raise UnexpectedAnswer(f"{operation}: {problem}", region=self.name, operation=operation) from None


def _items(answer: Answer) -> list[dict[str, Any]]:
    return [checked_as(dict, item) for item in checked_as(list, answer.value or [])]


def quoted(segment: str) -> str:
    """The segment of a path, quoted. A child's ID holds `/`, which python-nomad would send as it is."""
    return quote(segment, safe="")


def _index_in(headers: Mapping[str, str]) -> int:
    return int(headers.get("X-Nomad-Index") or 0)


def checked_as(kind: type[T], value: object) -> T:
    """The value, if it is of that kind. Raises TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected")
    return value
