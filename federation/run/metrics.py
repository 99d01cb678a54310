"""Prometheus metrics of a run, over HTTP (`--metrics`) or as a file for the textfile collector.

Every metric has the run and its job as labels, and the region where it makes sense. Counters count what this coordinator saw:
a resumed run begins at 0, as a restarted process does.
"""

from __future__ import annotations

import os
import socket
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from federation.errors import UsageError
from federation.loopback_only import loopback_only
from federation.manifest import Manifest
from federation.output.visible import visible_line
from federation.run.brain.commands import Tell
from federation.text import install_extra

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_COUNTED = {
    "bound": ("fedml_slots_bound", "Slots bound to a region."),
    "dispatched": ("fedml_attempts_dispatched", "Attempts that got a child."),
    "running": ("fedml_allocations_started", "Allocations that began to run."),
    "committed": ("fedml_results_committed", "Results that the index took."),
    "retry": ("fedml_attempts_retried", "Attempts that failed and are tried again."),
    "failed": ("fedml_slots_failed", "Slots given up."),
    "stopped": ("fedml_slots_stopped", "Slots that --stop-when or --keep-best stopped."),
}


def check(address: str, path: Path | None) -> None:
    """Checks that metrics can be served or written there. Raises UsageError."""
    if find_spec("prometheus_client") is None:
        raise UsageError(
            "metrics need the package prometheus-client, which isn't installed",
            hint=install_extra("metrics"),
        )
    if address:
        try:
            socket.create_server(_place(address)).close()
        except OSError as error:
            raise UsageError(f"--metrics {address}: can't listen there: {error}", hint="give a free port") from None
    if path is not None and not os.access(path.parent, os.W_OK):
        raise UsageError(f"--metrics-file {path}: can't be written there", hint="name a folder that is there")


def _place(address: str) -> tuple[str, int]:
    """(host, port) of `PORT` or `HOST:PORT`. Raises UsageError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--metrics {address}: {port!r} is not a valid port", hint="write PORT or HOST:PORT, as 9464")
    return host or "127.0.0.1", int(port)


class Metrics:
    """The metrics of one run; see `check` for what it needs."""

    def __init__(self, manifest: Manifest) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge

        self.registry: CollectorRegistry = CollectorRegistry()
        facts = {name: visible_line(getattr(manifest, name)) for name in ("run", "job", "version")}
        names = [*facts, "region"]
        self._facts = facts
        self._written_s = float("-inf")
        self._counters = {
            kind: Counter(name, text, names, registry=self.registry) for kind, (name, text) in _COUNTED.items()
        }
        self._up = Gauge("fedml_region_up", "1, or 0 while the region counts as lost.", names, registry=self.registry)
        for region in manifest.regions:
            self._up.labels(**facts, region=visible_line(region)).set(1)
            for counter in self._counters.values():
                counter.labels(**facts, region=visible_line(region))
        expected = Gauge("fedml_results_expected", "Results at the end.", list(facts), registry=self.registry)
        expected.labels(**facts).set(manifest.expected_keys)

    def __call__(self, tell: Tell) -> None:
        """Counts one report."""
        counter = self._counters.get(tell.kind)
        if counter is not None:
            counter.labels(**self._facts, region=visible_line(tell.region)).inc(tell.count)
        elif tell.kind in ("lost", "back"):
            self._up.labels(**self._facts, region=visible_line(tell.region)).set(tell.kind == "back")

    def serve(self, address: str) -> int:
        """Answers scrapes at `PORT` or `HOST:PORT` (127.0.0.1 without a host) while this process lives; the port.

        Raises UsageError where it can't listen there.
        """
        from prometheus_client import make_wsgi_app, start_http_server

        host, port = _place(address)
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise UsageError(f"--metrics {address}: can't listen there: {error}", hint="give a free port") from None
        if server.server_address[0] in ("127.0.0.1", "::1"):
            server.set_app(loopback_only(make_wsgi_app(self.registry)))
        return int(server.server_port)

    def write(self, path: Path, *, at_most_every_s: float = 0.0) -> None:
        """Writes the textfile, whole or not at all, unless it was written less than so long ago. Raises UsageError."""
        from prometheus_client import write_to_textfile

        if time.monotonic() - self._written_s < at_most_every_s:
            return
        self._written_s = time.monotonic()
        try:
            write_to_textfile(str(path), self.registry)
        except OSError as error:
            raise UsageError(f"--metrics-file {path}: can't be written: {error.strerror}") from None
