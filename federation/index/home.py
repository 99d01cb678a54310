"""Reads and creates `format.json`, which makes a store a home store.

It is created once, with create-if-absent, after the store passed a race of creators. It holds the format version, a random
id by which local catalogs know the home again wherever it moves, and which federation's home it is. A crash before its
creation leaves nothing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from federation.errors import ConfigError, FormatTooNew, IndexCorrupt
from federation.log import look_again, timestamp
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json, understood
from jobs.frozen import frozen
from regions.storage.errors import AlreadyExists, NotFound, NotSupported, TooLarge
from regions.storage.store import Create, Store

HOME_FORMAT = 1
HOME_KEY = "format.json"
HOME_BYTES_MAX = 1 << 20
LOG_PREFIX = "index/log/"

_SCRATCH = "fedml-check/"
_RACE_WRITERS = 16
_RACE_ROUNDS = 3


@frozen
class Owner:
    """The federation that a home belongs to. `is_named`: fedml.toml has its name (else it is the folder's)."""

    name: str
    is_named: bool
    regions: tuple[str, ...]

    def is_same(self, other: Owner) -> bool:
        """Whether both are one federation. A folder's name may differ between checkouts of one: a region that both have
        counts as well then."""
        if self.name == other.name:
            return True
        return not (self.is_named and other.is_named) and not {*self.regions}.isdisjoint(other.regions)


@frozen
class Home:
    """What `format.json` says: `id` is 32 hexadecimal digits. `rebuilt_from` are the ids that the home had before its log
    was rebuilt, the newest first; `owner` is None where an earlier fedml made it."""

    id: str
    created: str
    rebuilt_from: tuple[str, ...] = ()
    owner: Owner | None = None


def entry_key(number: int) -> str:
    """Where that entry of the index's log lies."""
    return f"{LOG_PREFIX}{number:020d}.json"


def read_home(store: Store) -> Home | None:
    """The store's `format.json`, None where there is none. Raises FormatTooNew, IndexCorrupt, the store's errors."""
    where = store.url_of(HOME_KEY)
    try:
        data = store.get_small(HOME_KEY, limit_bytes=HOME_BYTES_MAX)
        document = Members(parse_json(data, source=where), source=where)
        found = document.whole("format", least=1)
        home_id = understood(where, lambda: uuid.UUID(document.text("id")).hex)
        earlier = tuple(text for text in document.items("rebuilt_from", ()) if isinstance(text, str))
        home = Home(home_id, document.text("created"), earlier, _owner(document))
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


def read_home_of_log(store: Store) -> Home | None:
    """As `read_home`, of a store that holds the index's log: looks again where it finds none."""
    return look_again(lambda: read_home(store))


def _owner(document: Members) -> Owner | None:
    if "federation" not in document:
        return None
    said = document.members("federation")
    return Owner(said.text("name"), said.flag("is_named"), tuple(said.texts("regions")))


def refuse_other_federation(store: Store, home: Home, owner: Owner | None) -> None:
    """Raises ConfigError for a home of another federation."""
    if owner is None or home.owner is None or owner.is_same(home.owner):
        return
    raise ConfigError(
        f"the home store {store.url} belongs to the federation {home.owner.name!r} (regions "
        f"{', '.join(home.owner.regions)}), and this fedml.toml is that of {owner.name!r}",
        hint="give each federation a home of its own: another bucket or prefix in `home`\n"
        f'if it is the same federation under another name, write  name = "{home.owner.name}"  under [federation]',
    )


def probe_write(store: Store) -> None:
    """Raises the store's own error where it can't be written. Leaves nothing."""
    probe = f"{_SCRATCH}home-{uuid.uuid4().hex}"
    store.put(probe, b"may this be written?", Create())
    store.delete(probe)


def make_home(
    store: Store, now: datetime, owner: Owner | None = None, *, home_id: str = "", rebuilt_from: Sequence[str] = ()
) -> Home:
    """`format.json`, made unless somebody else just did. `home_id`: the id that it had before it was lost. Raises
    NotSupported where the store fails the create race, and the store's own error where it can't be written at all."""
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
        "id": home_id or uuid.uuid4().hex,
        "created": timestamp(now),
        "store": store.url,
        **({"federation": asdict(owner)} if owner else {}),
        **({"rebuilt_from": list(rebuilt_from)} if rebuilt_from else {}),
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
