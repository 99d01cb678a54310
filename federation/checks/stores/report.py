"""Formats checks and stores for people and programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.check import Check, is_healthy
from federation.checks.stores.uses import Place, Reached
from regions.model import StoreConfig
from regions.storage import store_url

LIST_COLUMNS = ("region", "datacenter", "store", "home", "answers", "detail")
CHECK_COLUMNS = ("check", "state", "found", "what to do")


@dataclass(frozen=True, slots=True)
class CheckedStore:
    """One store, its uses (empty for a URL that the federation doesn't use), and its checks."""

    url: str
    used_by: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def keeps_its_promises(self) -> bool:
        """Whether nothing failed."""
        return is_healthy(self.checks)


def list_rows(places: Sequence[Place], reached: Mapping[StoreConfig, Reached]) -> list[tuple[str, ...]]:
    """One row a use, under LIST_COLUMNS."""
    return [
        (
            place.region,
            place.datacenter or "-",
            store_url(place.store),
            "*" if place.is_home else "",
            str(reached[place.store].answer),
            reached[place.store].detail,
        )
        for place in places
    ]


def list_json(places: Sequence[Place], reached: Mapping[StoreConfig, Reached]) -> dict[str, Any]:
    """For `stores list --json`."""
    return {
        "stores": [
            {
                "region": place.region if place.datacenter else None,
                "datacenter": place.datacenter or None,
                "store": store_url(place.store),
                "is_home": place.is_home,
                "answers": str(reached[place.store].answer),
                "detail": reached[place.store].detail,
                "hint": reached[place.store].hint,
            }
            for place in places
        ]
    }


def title(checked: CheckedStore) -> str:
    """The line above a store's table."""
    used = f"  ({', '.join(checked.used_by)})" if checked.used_by else ""
    return f"{checked.url}{used}"


def check_rows(checked: CheckedStore) -> list[tuple[str, str, str, str]]:
    """One row a check, under CHECK_COLUMNS."""
    return [(check.name, str(check.outcome), check.detail, check.remedy) for check in checked.checks]


def verdict(stores: Sequence[CheckedStore]) -> str:
    """One line that sums up all checks."""
    broken = [checked.url for checked in stores if not checked.keeps_its_promises]
    if broken:
        return f"Not every promise is kept: {', '.join(broken)}"
    return f"{'Every promise' if len(stores) == 1 else 'On all of them every promise'} that was looked at is kept."


def check_json(stores: Sequence[CheckedStore]) -> dict[str, Any]:
    """For `stores check --json`."""
    return {
        "healthy": all(checked.keeps_its_promises for checked in stores),
        "stores": [
            {
                "store": checked.url,
                "used_by": list(checked.used_by),
                "healthy": checked.keeps_its_promises,
                "checks": [
                    {
                        "name": check.name,
                        "outcome": str(check.outcome),
                        "detail": check.detail,
                        "remedy": check.remedy,
                    }
                    for check in checked.checks
                ],
            }
            for checked in stores
        ],
    }
