"""The index for programs: find results, get their files, move tags."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from federation.api.arguments import at_least, checked
from federation.api.results import Results
from federation.api.table import Comparison
from federation.app import App
from federation.errors import UsageError
from federation.index import Row
from federation.index.compare import compare
from federation.index.lookup import run_named
from federation.index.reader import Reader
from federation.index.rows import RESULT_STATES
from federation.index.tag_rule import NO_RULE, TagRule
from federation.index.tags import TagChange

FOLLOW_EVERY_S = 30.0


class FederatedIndex:
    """The index. `ref` names a result by a tag, a version, `job@version`, `job@version/slot`, or the beginning of an
    allocation ID; the result's row names it too. Methods raise UsageError for an unknown or ambiguous name, StoreError if the
    home store doesn't answer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._index = app.index

    def __repr__(self) -> str:
        return f"<index of {self._app.config.name}>"

    @checked
    def list(
        self,
        where: str | None = None,
        *,
        job: str | None = None,
        version: str | int | None = None,
        region: str | None = None,
        run: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        at: str | int | None = None,
    ) -> Results:
        """The results that match all conditions, newest first or by `sort`. `run` is named as in the commands. `at` is an
        earlier revision or time."""
        at_least("list(): limit", limit, 0)
        if state not in (None, *RESULT_STATES):
            raise UsageError(f"list(): a result has no state {state!r}", hint=f"there are: {', '.join(RESULT_STATES)}")
        named = None if version is None else str(version)
        conditions = {"job": job, "version": named, "region": region, "run": run, "state": state, "tag": tag}
        with ExitStack() as stack:
            index: Reader = self._index
            if at is not None:
                index = stack.enter_context(closing(self._index.at(str(at))))
            if run is not None:
                conditions["run"] = run_named(index, run)
            rows = index.query(**conditions, where=where, sort=sort, limit=limit)
            return Results(rows, index.revision)

    @checked
    def result(self, ref: str | Row) -> Row:
        """The result that `ref` names."""
        return self._index.result(_name(ref))

    @checked
    def compare(self, refs: Sequence[str | Row]) -> Comparison:
        """Two or more results side by side: metrics, parameters, environment, place. Differences come first."""
        if len(refs) < 2:
            raise UsageError(
                "compare() takes two results or more", hint='fed.index.compare(["production", "8f14e45f"])'
            )
        rows = [self.result(ref) for ref in refs]
        names = [ref if isinstance(ref, str) else ref.alloc_id[:8] for ref in refs]
        return Comparison(compare(rows, [self._index.record(row) for row in rows]), names)

    @checked
    def get(
        self, ref: str | Row, *, to: Path | str | None = None, force: bool = False, allow_stores: Iterable[str] = ()
    ) -> Path:
        """Gets the result's verified files and returns their folder: `to`, else one in the cache folder. The folder appears
        complete or not at all. An existing one is reused. A store that fedml.toml doesn't name for the result's region is
        read only if `allow_stores` has its URL, without credentials. Raises StoreRefused, IntegrityError and NotFound."""
        row = self._index.result(_name(ref))
        target = Path(to) if to is not None else self._app.config.cache_dir / "artifacts" / row.alloc_id
        stores = self._app.result_stores(allow_stores)
        return self._index.get(row, open_store=stores.of, to=target, force=force).path

    @checked
    def tag(self, name: str, ref: str | Row, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Points a tag to a result, by the rule in fedml.toml. Raises TagMoved and TagRefused (`federation.index.tags`)."""
        return self._index.tag(name, _name(ref), if_current=if_current, rule=self._rule(name), reason=reason)

    @checked
    def untag(self, name: str, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Points a tag to nothing."""
        return self._index.untag(name, if_current=if_current, rule=self._rule(name), reason=reason)

    @checked
    def rollback(self, name: str, *, if_current: str | None = None, reason: str = "") -> TagChange:
        """Points a tag to its previous result. Repeated calls go further back."""
        return self._index.rollback(name, if_current=if_current, rule=self._rule(name), reason=reason)

    @checked
    def follow(self, tag: str, *, pause: Callable[[], object] | None = None) -> Iterator[Row | None]:
        """Yields the tag's result now and after each change (None: nothing), without end. Calls `pause` between two requests
        (default: waits 30 s). A check without a change is one request to the home store."""
        wait = pause or (lambda: threading.Event().wait(FOLLOW_EVERY_S))
        previous: str | None = None
        while True:
            row = next(iter(self._index.query(tag=tag)), None)
            holder = row.alloc_id if row else ""
            if holder != previous:
                previous = holder
                yield row
            wait()

    def _rule(self, name: str) -> TagRule:
        return self._app.config.tags.get(name, NO_RULE)


def _name(ref: str | Row) -> str:
    return ref.alloc_id if isinstance(ref, Row) else ref
