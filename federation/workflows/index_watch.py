"""Follows what is committed, tagged and retired, and runs a hook for each event (`fedml index watch`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from federation.app import App
from federation.errors import FederationError, UsageError
from federation.index.cursor import Event, Watcher
from federation.run.hook_command import run_hook
from regions.storage.errors import Unavailable

_ABOUT = ("event", "revision", "author", "reason")
IN_ENVIRONMENT = (*_ABOUT, "alloc_id", "job", "version", "state", "region", "tag", "previous")
"""The members of an event that a hook gets in its environment too."""


class IndexWatch:
    """One watch under a name. At least once: the cursor moves when all events of a revision were taken and their hooks ran."""

    def __init__(self, app: App, name: str, after: int | None, *, hooks: bool) -> None:
        """Raises UsageError where `hooks` are to run and fedml.toml has none for the index."""
        commands = {event: command for event, command in app.config.hooks.items() if event.startswith("index_")}
        if hooks and not commands:
            raise UsageError(
                f"{app.config.path} has no hook for the index",
                hint='write under [hooks]:  index_tag = ["./served.sh"]  (or index_commit, index_retire)',
            )
        self._commands = commands if hooks else {}
        self._folder = app.config.root
        self._watcher = Watcher(app.index, app.home, name)
        self.start = self._watcher.begin(after)

    def events(
        self, *, pause: Callable[[], object] | None, unreachable: Callable[[Unavailable], object]
    ) -> Iterator[dict[str, Any]]:
        """Each event (see `Event.document`), and then its hook. Without `pause` it ends where there is nothing new. Raises
        FederationError for a hook that fails: the next watch begins with that revision again."""
        for revision, events in self._watcher.follow(self.start, pause=pause, unreachable=unreachable):
            for event in events:
                yield event.document
                self._run_hook(event, revision.number)
            self._watcher.advance(revision.number)

    def _run_hook(self, event: Event, revision: int) -> None:
        name = f"index_{event.kind}"
        command = self._commands.get(name)
        problem = run_hook(name, command, event.document, names=IN_ENVIRONMENT, folder=self._folder) if command else ""
        if problem:
            raise FederationError(
                f"{problem} (revision {revision})",
                hint=f"the same command begins with it again; fedml index watch --after {revision} leaves it out",
            )
