"""Reads and creates `format.json`, which makes a store a home store.

It is created once, with create-if-absent, after the store passed a race of creators; it holds the format version and a
random id by which local catalogs know the home again wherever it moves. A crash before its creation leaves nothing.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime

from federation.errors import FormatTooNew, IndexCorrupt
from federation.log import timestamp
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json, understood
from regions.storage.errors import AlreadyExists, NotFound, NotSupported, TooLarge
from regions.storage.store import Create, Store

HOME_FORMAT = 1
HOME_KEY = "format.json"
HOME_BYTES_MAX = 1 << 20
LOG_PREFIX = "index/log/"

_SCRATCH = "fedml-check/"
_RACE_WRITERS = 16
_RACE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Home:
    """What `format.json` says: `id` is 32 hexadecimal digits."""

    id: str
    created: str


def read_home(store: Store) -> Home | None:
    """The store's `format.json`, None where there is none. Raises FormatTooNew, IndexCorrupt, the store's errors."""
    where = store.url_of(HOME_KEY)
    try:
        data = store.get_small(HOME_KEY, limit_bytes=HOME_BYTES_MAX)
        document = Members(parse_json(data, source=where), source=where)
        found = document.whole("format", least=1)
        home_id = understood(where, lambda: uuid.UUID(document.text("id")).hex)
        home = Home(id=home_id, created=document.text("created"))
    except NotFound:
        return None
    except (ForeignTextError, TooLarge) as error:
        raise IndexCorrupt(
            f"{where} is not what fedml wrote ({error.message.removeprefix(where).strip()})",
            hint="restore it from the bucket's version history, or delete it: the next write makes a new one",
        ) from error
    if found > HOME_FORMAT:
        raise FormatTooNew(
            f"the home store ({where}) has format {found}, this fedml knows {HOME_FORMAT}: upgrade fedml"
        )
    return home


def probe_write(store: Store) -> None:
    """Raises the store's own error where it can't be written. Leaves nothing."""
    probe = f"{_SCRATCH}home-{uuid.uuid4().hex}"
    store.put(probe, b"may this be written?", Create())
    store.delete(probe)


def make_home(store: Store, now: datetime) -> Home:
    """`format.json`, made unless somebody else just did. Raises NotSupported where the store fails the create race, and
    the store's own error where it can't be written at all."""
    from regions.storage.race import race_create

    probe_write(store)
    race = race_create(store, _RACE_WRITERS, _RACE_ROUNDS, prefix=_SCRATCH)
    if not race.holds:
        raise NotSupported(
            f"{race.problem}; such a store can't hold the index",
            store=store.url,
            operation="put",
            hint="name another home store in fedml.toml; fedml stores check tells which keep their promises",
        )
    document = {
        "format": HOME_FORMAT,
        "id": uuid.uuid4().hex,
        "created": timestamp(now),
        "store": store.url,
        "create_race": {"writers": _RACE_WRITERS, "rounds": _RACE_ROUNDS, "winners_per_round": 1},
    }
    try:
        store.put(HOME_KEY, json.dumps(document, indent=1).encode(), Create(), content_type="application/json")
    except AlreadyExists:
        pass
    home = read_home(store)
    if home is None:
        raise IndexCorrupt(f"{store.url_of(HOME_KEY)} was created but can't be read back", hint="run the command again")
    return home
