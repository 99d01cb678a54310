"""What a run tells enters, all who follow it get it: the terminal (or `--json`), hooks, metrics, a log of JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from federation.config.model import Config
from federation.errors import UsageError
from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from federation.run.hooks import Hooks
from federation.ui.run_progress import follower
from federation.visible import visible_json


@dataclass(frozen=True, slots=True)
class Following:
    """Where else a run is told, besides the terminal; all empty: nowhere."""

    metrics: str = ""
    """`PORT` or `HOST:PORT` for Prometheus."""
    metrics_file: Path | None = None
    log_file: Path | None = None

    def check(self) -> None:
        """That all of it can begin, so that a mistake is told before a run is made for it. Raises UsageError."""
        if self.metrics or self.metrics_file:
            from federation.run.metrics import check

            check(self.metrics, self.metrics_file)
        if self.log_file is not None:
            _appended(self.log_file, "")


@dataclass(frozen=True, slots=True)
class Followers:
    """`observe` takes each Tell, `ended` the document of the end."""

    observe: Callable[[Tell], None]
    ended: Callable[[Mapping[str, Any]], None]


@contextmanager
def following(
    manifest: Manifest, config: Config, also: Following, *, as_json: bool, warn: Callable[[str], None]
) -> Iterator[Followers]:
    """All followers of a run, for as long as it is driven; `ended` is for after. Raises UsageError where one can't begin."""
    with ExitStack() as stack:
        log = _Log(also.log_file, manifest.run) if also.log_file else None
        metrics = _metrics(manifest, also, warn)
        hooks = Hooks(
            config.hooks, manifest, folder=config.root, stalled_after_s=config.stalled_after_s, warn=warn
        )  # fmt: skip
        stack.enter_context(hooks)
        shown = stack.enter_context(follower(manifest, as_json=as_json))

        def observe(tell: Tell) -> None:
            shown(tell)
            hooks(tell)
            if metrics is not None:
                metrics(tell)
                if also.metrics_file is not None:
                    metrics.write(also.metrics_file, at_most_every_s=1.0)
            if log is not None:
                log.write({"event": tell.kind, **_facts(tell)})

        def ended(document: Mapping[str, Any]) -> None:
            if log is not None:
                log.write(document)
            if metrics is not None and also.metrics_file is not None:
                metrics.write(also.metrics_file)
            hooks.ended(document)

        yield Followers(observe, ended)


def _metrics(manifest: Manifest, also: Following, warn: Callable[[str], None]) -> Any:
    if not (also.metrics or also.metrics_file):
        return None
    from federation.run.metrics import Metrics

    metrics = Metrics(manifest)
    if also.metrics:
        warn(f"Metrics at port {metrics.serve(also.metrics)}")
    if also.metrics_file is not None:
        metrics.write(also.metrics_file)
    return metrics


def _facts(tell: Tell) -> dict[str, Any]:
    """Only what the change has: a line about a region names no slot."""
    facts: dict[str, Any] = {"region": tell.region} if tell.region else {}
    if tell.slot >= 0:
        facts |= {"slot": tell.slot, "attempt": tell.attempt}
    if tell.count != 1:
        facts["count"] = tell.count
    return facts | ({"detail": tell.detail} if tell.detail else {})


class _Log:
    """JSON Lines, each written through: whoever reads along misses nothing. Opened anew for each, so that it may rotate."""

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._run = run

    def write(self, document: Mapping[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        _appended(
            self._path,
            visible_json(json.dumps({"time": time, "run": self._run, **document}, ensure_ascii=False)) + "\n",
        )


def _appended(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--log-file {path}: can't be written: {error.strerror}", hint="name another file") from None
