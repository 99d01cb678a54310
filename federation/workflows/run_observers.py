"""Passes a run's events to all observers: the display, hooks, Prometheus metrics and a log of JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.config.model import Config
from federation.errors import UsageError
from federation.manifest import Manifest
from federation.output.visible import visible_json
from federation.run.brain.commands import Tell
from federation.run.hooks import Hooks
from jobs.frozen import frozen

if TYPE_CHECKING:
    from federation.run.metrics import Metrics

Observe = Callable[[Tell], None]


@frozen
class ObserverOptions:
    """Further outputs of a run's events. An empty field: none."""

    metrics: str = ""
    """`PORT` or `HOST:PORT` for Prometheus."""
    metrics_file: Path | None = None
    log_file: Path | None = None

    def check(self) -> None:
        """Checks that each output can be opened, before a run is made for it. Raises UsageError."""
        if self.metrics or self.metrics_file:
            from federation.run.metrics import check

            check(self.metrics, self.metrics_file)
        if self.log_file is not None:
            _append(self.log_file, "")


@frozen
class RunObservers:
    """`observe` receives each event of the run, `ended` the document of its end."""

    observe: Observe
    ended: Callable[[Mapping[str, Any]], None]


@contextmanager
def observers(
    manifest: Manifest,
    config: Config,
    options: ObserverOptions,
    display: AbstractContextManager[Observe],
    warn: Callable[[str], None],
) -> Iterator[RunObservers]:
    """Opens all observers of a run while it is driven. Call `ended` after the block. Raises UsageError when one can't be
    opened."""
    with ExitStack() as stack:
        log = _EventLog(options.log_file, manifest.run) if options.log_file else None
        metrics = _metrics(manifest, options, warn)
        hooks = stack.enter_context(
            Hooks(config.hooks, manifest, folder=config.root, stalled_after_s=config.stalled_after_s, warn=warn)
        )
        show = stack.enter_context(display)
        warned: set[str] = set()

        def tolerant(write: Callable[[], None]) -> None:
            """A file that can't be written any more never ends a run."""
            try:
                write()
            except UsageError as error:
                if error.message not in warned:
                    warned.add(error.message)
                    warn(f"Warning: {error.message}")

        def observe(tell: Tell) -> None:
            show(tell)
            if tell.is_earlier:
                return
            hooks(tell)
            if metrics is not None:
                metrics(tell)
                if options.metrics_file is not None:
                    tolerant(partial(metrics.write, options.metrics_file, at_most_every_s=1.0))
            if log is not None:
                tolerant(partial(log.write, {"event": tell.kind, **_fields(tell)}))

        def ended(document: Mapping[str, Any]) -> None:
            if log is not None:
                tolerant(partial(log.write, document))
            if metrics is not None and options.metrics_file is not None:
                tolerant(partial(metrics.write, options.metrics_file))
            hooks.ended(document)

        yield RunObservers(observe, ended)


def _metrics(manifest: Manifest, options: ObserverOptions, warn: Callable[[str], None]) -> Metrics | None:
    if not (options.metrics or options.metrics_file):
        return None
    from federation.run.metrics import Metrics

    metrics = Metrics(manifest)
    if options.metrics:
        warn(f"Metrics at port {metrics.serve(options.metrics)}")
    if options.metrics_file is not None:
        metrics.write(options.metrics_file)
    return metrics


def _fields(tell: Tell) -> dict[str, Any]:
    """The fields that this event has. An event of a region has no slot."""
    fields: dict[str, Any] = {"region": tell.region} if tell.region else {}
    if tell.slot >= 0:
        fields |= {"slot": tell.slot, "attempt": tell.attempt}
        fields |= {"params": dict(tell.params)} if tell.params else {}
    if tell.count != 1:
        fields["count"] = tell.count
    return fields | ({"detail": tell.detail} if tell.detail else {})


class _EventLog:
    """Appends JSON Lines to a file. Opens it for each line, so that readers see every line and the file may be rotated."""

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._run = run

    def write(self, document: Mapping[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, "run": self._run, **document}, ensure_ascii=False)
        _append(self._path, visible_json(line) + "\n")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--log-file {path}: can't be written: {error.strerror}", hint="name another file") from None
