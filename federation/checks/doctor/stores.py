"""Checks whether fedml can write, create only once, read back, list and delete in a store.

All of it happens under `doctor/<random id>/`, which is removed at the end. `fedml stores check` shows that many writers
racing for one key give one winner.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from federation.check import Check, Outcome
from federation.checks.clock import store_clock_check
from jobs.errors import FedmlError
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.errors import AlreadyExists, NotFound
from regions.storage.store import Create, Store

DEV_DOWN = "start it with `fedml dev up`"


def check_store(config: StoreConfig, used_by: str) -> list[Check]:
    """Runs every check of one store. The first failure skips those that build on it. Raises nothing but for a bug."""
    subject = f"store {config.url} ({used_by})"
    if config.endpoint and config.endpoint.startswith("dev:"):
        return [Check(subject, "reach", Outcome.FAILED, "the development federation isn't up", DEV_DOWN)]
    try:
        store = open_store(config)
    except FedmlError as error:
        return [Check(subject, "open", Outcome.FAILED, error.message, error.hint)]
    return _Probe(subject, store).run()


class _Probe:
    def __init__(self, subject: str, store: Store) -> None:
        self.subject = subject
        self.store = store
        self.prefix = f"doctor/{secrets.token_hex(8)}/"
        self.key = f"{self.prefix}probe"
        self.data = secrets.token_bytes(64)

    def run(self) -> list[Check]:
        steps: list[tuple[str, Callable[[], str]]] = [
            ("write", self.write),
            ("create once", self.create_once),
            ("read", self.read),
            ("list", self.list),
            ("delete", self.delete),
        ]
        checks: list[Check] = []
        for name, step in steps:
            if checks and checks[0].outcome is Outcome.FAILED:
                checks.append(Check(self.subject, name, Outcome.SKIPPED, "nothing could be written"))
                continue
            checks.append(self.one(name, step))
        self.clean_up()
        if checks[0].outcome is Outcome.OK:
            checks.append(store_clock_check(self.store, self.subject))
        return checks

    def one(self, name: str, step: Callable[[], str]) -> Check:
        try:
            wrong = step()
        except FedmlError as error:
            return Check(self.subject, name, Outcome.FAILED, error.message, error.hint or _permission_hint(name))
        if wrong:
            return Check(self.subject, name, Outcome.FAILED, wrong, "this server can't be used for results or an index")
        return Check(self.subject, name, Outcome.OK)

    def write(self) -> str:
        self.store.put(self.key, self.data)
        return ""

    def create_once(self) -> str:
        once = f"{self.prefix}once"
        self.store.put(once, b"first", Create())
        try:
            self.store.put(once, b"second", Create())
        except AlreadyExists:
            return ""
        return "it created an object that was there already: conditional writes don't hold"

    def read(self) -> str:
        return "" if self.store.get(self.key) == self.data else "it gave back other bytes than were written"

    def list(self) -> str:
        found = [info.key for info in self.store.list(self.prefix)]
        return "" if self.key in found else "it doesn't list what was just written"

    def delete(self) -> str:
        self.store.delete(self.key)
        try:
            self.store.get(self.key)
        except NotFound:
            return ""
        return "a deleted object is still there"

    def clean_up(self) -> None:
        """Removes what can be removed. What failed above fails here too."""
        try:
            for info in list(self.store.list(self.prefix)):
                self.store.delete(info.key)
        except FedmlError:
            return


def _permission_hint(step: str) -> str:
    verb = step.split()[0]
    return f"allow this identity to {verb} objects under doctor/: `fedml doctor --policy` prints what each role needs"
