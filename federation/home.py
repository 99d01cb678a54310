"""Where a run's objects lie in the home store: every key below `runs/` is built here. Opens run logs and
reads manifests.

`runs/{run}/` holds `manifest.json`, `log/` (numbered entries), `lease/` (numbered objects), `logs/` (kept output of
attempts), `histories/` (what happened to attempts whose output isn't kept, many an object), `params.jsonl.gz` and
`payloads.jsonl.gz` where slots differ in more than a product of parameters, and `code.diff.gz` of a run of code that was
changed since its commit.
"""

from __future__ import annotations

from collections.abc import Iterator

from federation.errors import IndexCorrupt
from federation.log import Log
from federation.manifest import Manifest
from jobs.frozen import frozen
from jobs.json_limits import DOCUMENT_LIMITS
from regions.storage.errors import TooLarge
from regions.storage.store import Store

RUNS = "runs/"
_MANIFEST = "/manifest.json"


@frozen
class RunKeys:
    """The keys of one run. Those of folders end in `/`."""

    run: str

    @property
    def folder(self) -> str:
        """All that the run has."""
        return f"{RUNS}{self.run}/"

    @property
    def manifest(self) -> str:
        """The key of the manifest."""
        return f"{RUNS}{self.run}{_MANIFEST}"

    @property
    def log(self) -> str:
        """The run log."""
        return f"{self.folder}log/"

    @property
    def lease(self) -> str:
        """Who drives the run."""
        return f"{self.folder}lease/"

    @property
    def driven(self) -> tuple[str, ...]:
        """Folders that only a run with a manifest has something in."""
        return self.log, self.lease, self.kept_logs(), self.histories

    @property
    def params(self) -> str:
        """The rows of parameters that slots take."""
        return f"{self.folder}params.jsonl.gz"

    @property
    def payloads(self) -> str:
        """The payloads that slots take."""
        return f"{self.folder}payloads.jsonl.gz"

    @property
    def code_diff(self) -> str:
        """How the code differs from its commit."""
        return f"{self.folder}code.diff.gz"

    @property
    def histories(self) -> str:
        """The prefix of the histories of attempts whose output wasn't kept."""
        return f"{self.folder}histories/"

    def history(self, alloc_id: str) -> str:
        """The histories of several allocations, named by the first of them."""
        return f"{self.histories}{alloc_id}.json.gz"

    def kept_logs(self, slot: int | None = None) -> str:
        """What was kept of the attempts of all slots, or of one."""
        return f"{self.folder}logs/" if slot is None else f"{self.folder}logs/{slot:09d}/"

    def kept_log(self, slot: int, attempt: int, alloc_id: str) -> str:
        """What was kept of one allocation."""
        return f"{self.kept_logs(slot)}{attempt}/{alloc_id}.json.gz"


def run_log(home: Store, run: str, *, author: str = "") -> Log:
    """Opens a run's log."""
    return Log(home, RunKeys(run).log, author=author)


def read_manifest(home: Store, run: str) -> Manifest:
    """Reads a run's manifest. Raises NotFound where it has none, FormatTooNew, IndexCorrupt or StoreError."""
    key = RunKeys(run).manifest
    source = home.url_of(key)
    try:
        return Manifest.from_json(home.get_small(key, limit_bytes=DOCUMENT_LIMITS.size_bytes_max), source=source)
    except TooLarge as error:
        raise IndexCorrupt(f"{source} is not a manifest: {error.message}") from error


def was_driven(home: Store, run: str) -> bool:
    """Whether something of the run tells that it had a manifest: its log, its lease or kept output. Raises StoreError."""
    return any(True for prefix in RunKeys(run).driven for _ in home.list(prefix))


def manifest_keys(home: Store) -> Iterator[tuple[str, str]]:
    """Lists (run, key of its manifest) of all runs that have one. Raises StoreError."""
    for info in home.list(RUNS):
        if info.key.endswith(_MANIFEST):
            yield info.key.removeprefix(RUNS).partition("/")[0], info.key
