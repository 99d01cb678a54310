"""A small federation that is attacked: its home and stores in folders, honest results in two regions, a honeypot, and what
must hold whatever an attacker wrote."""

from __future__ import annotations

import _thread
import hashlib
import io
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from federation import cli
from federation.index import Index
from federation.log import LOG_FORMAT
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from regions.model import StoreConfig
from regions.storage.file.store import FileStore
from tests.attack.hostile import forbidden

EXIT_CODES = (0, 1, 2, 130, 255)
SECRET = "sentinel-of-another-place"
"""Stands in files that nobody named: it may be in no output and no artifact."""
OPEN_RUN = "01936d2e-0000-7000-8000-000000000001"
DONE_RUN = "01936d2e-0000-7000-8000-000000000002"
"""Whose slot 0 the node had: opened for version 4."""
HONEST_RUN = "01936d2e-0000-7000-8000-000000000003"
"""What others did, whatever version."""
NODE_ALLOC = "aaaaaaaa-0000-4000-8000-000000000001"
LATER_ALLOC = "55555555-0000-4000-8000-000000000005"
SILENT = "http://127.0.0.1:1"
"""An address where nobody listens."""
TIME = "2026-11-24T10:00:00.000000Z"

TOML = """
[federation]
home = "file://./home"
{more}
[regions.us]
addresses = ["{address}"]
store = "file://./us"
[regions.us.datacenters.dc1]

[regions.eu]
addresses = ["{eu_address}"]
store = "file://./eu"
[regions.eu.datacenters.dc1]
"""

JOB = """
job "sales" {
  type        = "batch"
  datacenters = ["dc1"]
  parameterized {
    meta_optional = ["lr", "model_version"]
  }
  group "train" {
    task "train" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


class Terminal(io.StringIO):
    """A text file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str


def record_of(store: str, *, region: str = "us", **given: Any) -> ResultRecord:
    """A valid record and, with `files`, whatever it says of them."""
    data: bytes = given.pop("data", b"a model")
    described = given.pop("files", (ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),))
    fields: dict[str, Any] = {
        "key": given.pop("key", Key(DONE_RUN, 0, "train", 0)),
        "attempt": 1,
        "job": "sales",
        "version": "4",
        "spec_hash": "5pec",
        "region": region,
        "datacenter": "dc1",
        "node": f"{region}-1",
        "alloc_id": NODE_ALLOC,
        "job_id": "sales/dispatch-1",
        "store": store,
        "manifest_sha256": manifest_sha256(described),
        "files": described,
        "created": "2026-11-24T10:00:00Z",
        "metrics": {"auc": 0.75, "worst": float("inf")},
        "params": {"epochs": "3"},
        "environment": {"python": "3.11.7"},
    }
    return ResultRecord(**(fields | given))


class Scene:
    """One project folder with its stores. `run` runs a command here; `assert_*` say what must hold afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before: dict[str, bytes] = {}
        self._open_stores()

    # ── making it ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def made(cls, root: Path, *, address: str = SILENT, eu_address: str = SILENT, more: str = "") -> Scene:
        """A federation with a finished run in us and eu, tagged, an open run, and objects that belong to nobody here."""
        root.mkdir(parents=True)
        (root / "fedml.toml").write_text(TOML.format(address=address, eu_address=eu_address, more=more))
        (root / "sales.nomad.hcl").write_text(JOB)
        (root / "private.txt").write_text(SECRET)
        scene = cls(root)
        scene.us.put("models/private.bin", SECRET.encode())
        scene.eu.put("artifacts/of-somebody-else/model.bin", SECRET.encode())
        index = Index(scene.home, cache_dir=root / "first-cache", author="ann@host")
        for number, (region, store) in enumerate((("us", scene.us), ("eu", scene.eu)), start=1):
            data = f"honest model of {region}".encode()
            record = record_of(
                store.url,
                region=region,
                data=data,
                key=Key(HONEST_RUN, number, "train", 0),
                alloc_id=str(uuid.UUID(int=number << 96 | number)),
                version=str(number),
            )
            store.put(f"{record.artifact_prefix}model.bin", data)
            store.put(record.key.record_key(record.alloc_id), record.to_json())
            index.commit([record])
            index.tag(f"production-{region}", record.alloc_id)
        index.close()
        opened = {"run": DONE_RUN, "job": "sales", "version": "4", "spec_hash": "5pec", "slots": 1, "expected_keys": 1}
        closed = {"type": "close", "run": DONE_RUN, "state": "failed", "reason": ""}
        scene.append([{"type": "open", **opened}, closed])
        shutil.rmtree(root / "first-cache")
        scene.remember()
        return scene

    def reset(self) -> None:
        """Everything as it was remembered: the next example begins."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self.before:
                path.unlink()
        for name, data in self.before.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self._open_stores()

    def _open_stores(self) -> None:
        names = ("home", "us", "eu")
        self.home, self.us, self.eu = (FileStore(StoreConfig((self.root / name).as_uri())) for name in names)

    def remember(self) -> None:
        """From now on, what is there must stay."""
        self.before = self._files()

    def put_record(self, data: bytes, *, store: FileStore | None = None, key: str = "") -> None:
        """Write bytes where a node's record would lie."""
        (store or self.us).put(key or Key(DONE_RUN, 0, "train", 0).record_key(NODE_ALLOC), data)

    def put_artifact(self, data: bytes = b"a model") -> None:
        """The file of `record_of`'s artifact, where the node may write it: so its record is whole."""
        self.us.put(record_of(self.us.url).artifact_prefix + "model.bin", data)

    def supersede_version(self) -> None:
        """A later honest version, so that `gc --keep last=1` has a reason to remove the node's."""
        later = record_of(self.us.url, key=Key(HONEST_RUN, 5, "train", 0), alloc_id=LATER_ALLOC, version="8")
        self.append([{"type": "add", "record": later.to_dict()}])

    def files_below(self, place: str, folder: str) -> tuple[ResultFile, ...]:
        """What lies below a folder of a store, as a record would name it that claims all of it."""
        base = self.root / place / folder
        found = sorted(path for path in base.rglob("*") if path.is_file() and ".fedml-meta" not in path.parts)
        return tuple(
            ResultFile(
                path.relative_to(base).as_posix(), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
            )
            for path in found
        )

    def append(self, changes: object, *, prefix: str = "index/log/", **fields: Any) -> None:
        """Append an entry that chains to a log, as any writer of the home store can. `fields` replace its own."""
        folder = self.root / "home" / prefix
        entries = sorted(folder.glob("*.json")) if folder.exists() else []
        previous = hashlib.sha256(entries[-1].read_bytes()).hexdigest() if entries else ""
        last: dict[str, Any] = json.loads(entries[-1].read_bytes()) if entries else {}
        document = {
            "format": LOG_FORMAT,
            "number": len(entries) + 1,
            "time": max(TIME, str(last.get("time", ""))),
            "author": "mallory@host",
            "reason": "",
            "previous": previous,
            "nonce": f"{len(entries):016x}",
            "changes": changes,
        }
        data = dumped(document | fields)
        self.home.put(f"{prefix}{len(entries) + 1:020d}.json", data)

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, *arguments: str, limit_s: float = 60.0, is_terminal: bool = False) -> Done:
        """Run a command in this process. After `limit_s` it is interrupted, as by Ctrl-C."""
        out, err = (Terminal() if is_terminal else io.StringIO() for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.root)
            patch.setenv("FEDML_CACHE_DIR", str(self.root / "cache"))
            for name in [name for name in os.environ if name.startswith(("NOMAD_", "FEDML_CONFIG"))]:
                patch.delenv(name)
            with interrupted_after(limit_s):
                code = cli.run(arguments)
        return Done(arguments, code, out.getvalue(), err.getvalue())

    def attack(self, commands: Sequence[Sequence[str]], *, limit_s: float = 60.0) -> list[Done]:
        """Run commands, each of which must end as documented."""
        done = [self.run(*command, limit_s=limit_s) for command in commands]
        for one in done:
            assert_ended_well(one)
        return done

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────────────────

    def assert_nothing_lost(self) -> None:
        """What was there when the attack began is there, byte for byte, but for the node's own objects and caches."""
        after = self._files()
        gone = [name for name in self.before if name not in after]
        changed = [name for name in self.before if name in after and after[name] != self.before[name]]
        assert not gone, f"deleted: {gone}"
        assert not changed, f"changed: {changed}"

    def assert_nothing_escaped(self) -> None:
        """Files appeared only in the stores, the cache and the folder that was asked for; no secret went along."""
        after = self._files()
        new = [name for name in after if name not in self.before]
        places = ("home/", "us/", "eu/", "cache/", "got/", ".fedml/")
        strays = [name for name in new if not name.startswith(places) and name not in ("out.jsonl", "out.csv")]
        assert not strays, f"written outside: {strays}"
        assert not [
            name for name in new if name.startswith(("got/", "home/", "eu/")) and SECRET.encode() in after[name]
        ]

    def assert_index_goes_on(self) -> None:
        """The index can be read, and takes an honest result, which is then shown."""
        listed = self.run("index", "list", "--json")
        assert listed.code == 0, f"the index can't be read any more: {listed.err}"
        index = Index(self.home, cache_dir=self.root / "cache", author="ann@host")
        try:
            honest = record_of(
                self.eu.url,
                region="eu",
                key=Key(HONEST_RUN, 7, "train", 0),
                alloc_id="77777777-0000-4000-8000-000000000007",
                version="7",
            )
            outcome = index.commit([honest])
            assert outcome[honest.alloc_id] in ("added", "known"), outcome
            assert "production-eu" in {move.name for move in index.tags()}
        finally:
            index.close()

    def _files(self) -> dict[str, bytes]:
        skipped = ("cache/",)
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        named = ((path.relative_to(self.root).as_posix(), path) for path in files)
        return {name: path.read_bytes() for name, path in named if not name.startswith(skipped)}


def assert_ended_well(done: Done) -> None:
    """A documented exit code, no traceback, no bug told, nothing that steers a terminal, no secret."""
    told = f"fedml {' '.join(done.arguments)} ended with {done.code}:\n{done.err[-2000:]!r}"
    assert done.code in EXIT_CODES, told
    assert "Traceback" not in done.err, told
    assert "a bug in fedml" not in done.err, told
    assert not forbidden(done.out + done.err), f"{forbidden(done.out + done.err)} in {told}"
    assert SECRET not in done.out + done.err, told
    if "--json" in done.arguments and done.code == 0 and (done.out or done.arguments[:2] != ("runs", "logs")):
        assert json_in(done.out), told


def json_in(text: str) -> list[object]:
    """The JSON document of a command's output, or its JSON Lines."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def dumped(document: object) -> bytes:
    """JSON as an attacker writes it: NaN, infinities and lone surrogates may be in it."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@contextmanager
def interrupted_after(limit_s: float) -> Iterator[None]:
    """Ctrl-C for the block after so long: a command that waits without end is one that can be interrupted."""
    lock, is_over = threading.Lock(), False

    def interrupt() -> None:
        with lock:
            if not is_over:
                _thread.interrupt_main()

    timer = threading.Timer(limit_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over = True
        timer.cancel()
