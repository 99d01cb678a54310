"""The index as a program uses it: find results, get their files, move tags."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from federation.api.results import Results
from federation.app import App
from federation.index import Row
from federation.index.reader import Reader
from federation.index.tag_rule import NO_RULE, TagRule
from federation.index.tags import TagChange

FOLLOW_EVERY_S = 30.0


class FederatedIndex:
    """The index. A result is named by a tag, a version, `job@version`, `job@version/slot`, or the beginning of an
    allocation id. Raises UsageError for what can't be meant, StoreError where the home store can't be asked."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._index = app.index

    def list(
        self,
        where: str | None = None,
        *,
        job: str | None = None,
        version: str | None = None,
        region: str | None = None,
        run: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        at: str | int | None = None,
    ) -> Results:
        """Results that match all that is given, newest first or as `sort` says; `at` a revision or time, as they were."""
        asked = {"job": job, "version": version, "region": region, "run": run, "state": state, "tag": tag}
        with ExitStack() as stack:
            index: Reader = self._index
            if at is not None:
                index = stack.enter_context(closing(self._index.at(str(at))))
            rows = index.query(**asked, where=where, sort=sort, limit=limit)
            return Results(rows, index.revision)

    def result(self, ref: str) -> Row:
        """The one result that `ref` names."""
        return self._index.result(ref)

    def get(
        self, ref: str, *, to: Path | str | None = None, force: bool = False, allow_stores: Iterable[str] = ()
    ) -> Path:
        """The folder with the result's verified files: `to`, else one of its own in the cache folder. It appears whole or
        not at all; where it is already, nothing is loaded. A store that fedml.toml doesn't have for the result's region is
        opened only where `allow_stores` names its URL, without credentials. Raises StoreRefused, IntegrityError, NotFound."""
        row = self._index.result(ref)
        target = Path(to) if to is not None else self._app.config.cache_dir / "artifacts" / row.alloc_id
        stores = self._app.result_stores(allow_stores)
        return self._index.get(row, open_store=stores.of, to=target, force=force).path

    def tag(self, name: str, ref: str, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Point a tag to a result, by the rule in fedml.toml. Raises TagMoved, TagRefused (`federation.index.tags`)."""
        return self._index.tag(name, ref, if_current=if_current, rule=self._rule(name), reason=reason)

    def untag(self, name: str, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Point a tag to nothing."""
        return self._index.untag(name, if_current=if_current, rule=self._rule(name), reason=reason)

    def rollback(self, name: str, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Point a tag to its previous holder; once more goes further back."""
        return self._index.rollback(name, if_current=if_current, rule=self._rule(name), reason=reason)

    def follow(self, tag: str, *, pause: Callable[[], object] | None = None) -> Iterator[Row | None]:
        """The tag's holder now, and again each time it is another one (None: nothing), for ever. Between two looks it
        pauses (30 s, or `pause()`); a look that finds nothing new is one request to the home store."""
        wait = pause or (lambda: threading.Event().wait(FOLLOW_EVERY_S))
        seen: str | None = None
        while True:
            row = next(iter(self._index.query(tag=tag)), None)
            holder = row.alloc_id if row else ""
            if holder != seen:
                seen = holder
                yield row
            wait()

    def _rule(self, name: str) -> TagRule:
        return self._app.config.tags.get(name, NO_RULE)
