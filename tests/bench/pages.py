"""The figures of the pages: a run of 100,000 slots, 200 open pages on one run, the start until the first page."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from federation.app import App
from federation.config.load import load
from federation.home import RunKeys, run_log
from federation.index import Index
from federation.manifest import Manifest, new_run_id
from federation.result import Key, ResultFile, ResultRecord
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Fail
from regions.storage.store import Create
from tests.bench.measure import Figure, at_most, process_s

FEDML = str(Path(sys.executable).with_name("fedml"))
REGIONS = ("us", "eu", "onprem")
SLOTS, BATCH = 100_000, 1_000
VIEWERS, VIEWED_SLOTS, VIEWED_S = 200, 60, 20.0
RUNS = 5
HTML_BYTES_MAX = 400_000

CONFIG = "[federation]\nhome = 'file://./home'\n" + "".join(
    f"[regions.{name}]\naddresses = ['http://127.0.0.1:1']\nstore = 'file://./{name}'\n[regions.{name}.datacenters.dc1]\n"
    for name in REGIONS
)


def made(folder: Path, slots: int, *, is_open: bool = False) -> str:
    """A project with one run of so many slots: of 100, 95 are done, 4 have failed twice and one was left. Its ID."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fedml.toml").write_text(CONFIG)
    app = App(load(folder / "fedml.toml"))
    run = new_run_id(int(time.time() * 1000))
    index = Index(app.home, cache_dir=app.config.cache_dir, author="ann@bench", owner=app.owner)
    index.open_run(run, "train", "1", "5ec", slots, slots)
    manifest = Manifest(
        run=run, job="train", job_file="train.nomad.hcl", spec_hash="5ec", version="1", slots=slots, groups={"g": 1},
        regions=REGIONS, one_each=False, meta={}, payload=b"", policy="spread", results="publish", max_attempts=2,
        author="ann@bench", created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )  # fmt: skip
    app.home.put(RunKeys(run).manifest, manifest.to_json(), Create(), content_type="application/json")
    log = run_log(app.home, run, author="ann@bench")
    for first in range(0, slots, BATCH):
        batch = range(first, min(slots, first + BATCH))
        log.append([Bind(n, 1, REGIONS[n % 3]).to_json() for n in batch])
        log.append([Ack(n, 1, f"train/dispatch-1764028800-{n:08x}").to_json() for n in batch])
        bad = [n for n in batch if n % 100 < 4]
        if bad:
            reason = "task train: Exit Code: 3: bad config"
            log.append([Fail(n, 1, Cause.EXIT, reason).to_json() for n in bad])
            log.append([Bind(n, 2, REGIONS[(n + 1) % 3]).to_json() for n in bad])
            log.append([Fail(n, 2, Cause.EXIT, reason).to_json() for n in bad])
        index.commit([_record(run, n) for n in batch if 4 <= n % 100 < 99])
    if not is_open:
        index.close_run(run, "failed", "some slots failed")
    index.close()
    app.close()
    return run


def _record(run: str, slot: int) -> ResultRecord:
    return ResultRecord(
        key=Key(run, slot, "g", 0), attempt=1, job="train", version="1", spec_hash="5ec", region=REGIONS[slot % 3],
        datacenter="dc1", node=f"node-{slot % 50}", alloc_id=f"{slot:08x}-0000-4000-8000-{run[-12:]}",
        job_id=f"train/dispatch-1764028800-{slot:08x}", store="file:///srv/models", manifest_sha256="0" * 64,
        files=(ResultFile("model", 1000, "0" * 64),),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        metrics={"auc": 0.5 + slot % 997 / 2000, "loss": 1 / (1 + slot % 89)},
        params={"lr": ("0.1", "0.01", "0.001")[slot % 3], "depth": str(3 + slot % 7)},
    )  # fmt: skip


class Ui:
    """A running `fedml ui` of a project, signed in."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [FEDML, "ui", "--no-open", "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        found = None
        while found is None:
            text = self.process.stderr.readline()
            assert text, "fedml ui ended"
            found = re.search(r"http://\S+", text)
        self.root = "{0.scheme}://{0.netloc}".format(urlsplit(found[0]))
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self._signed_in = self._opener.open(found[0] + "&next=%2Fruns", timeout=60).read()

    def get(self, path: str) -> bytes:
        """A page."""
        with self._opener.open(self.root + path, timeout=600) as answer:
            return bytes(answer.read())

    def cpu_s(self) -> float:
        """Processor time until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """The most memory until now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def end(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def ui(folder: Path) -> Iterator[Ui]:
    """`fedml ui` while the block lasts."""
    running = Ui(folder)
    try:
        yield running
    finally:
        running.end()


def big_run_figures(folder: Path) -> Iterator[Figure]:
    """The page of 100,000 slots: its size, and its time against the story's own reading."""
    run = made(folder, SLOTS)
    ratios, times, html = [], [], b""
    for _ in range(3):
        with ui(folder) as pages:
            start = time.perf_counter()
            html = pages.get(f"/runs/{run}")
            page_s = time.perf_counter() - start
            start = time.perf_counter()
            pages.get(f"/runs/{run}?slots=5000-5999")
            again_s = time.perf_counter() - start
        ratios.append(page_s / _story_s(folder, run))
        times.append(page_s)
    size = len(html)
    yield Figure("a page of a run of 100,000 slots: HTML", round(size / 1000), "kB", "a limit of 400 kB",
                 round(size / HTML_BYTES_MAX, 3), "≤ 1", size <= HTML_BYTES_MAX)  # fmt: skip
    ratio = sorted(ratios)[1]
    yield at_most("a page of a run of 100,000 slots", sorted(times)[1], "the story's own reading", ratio, 1.5)
    yield Figure("the same page, zoomed by another viewer", round(again_s, 3), "s", "the first page",
                 round(again_s / times[-1], 3), "", None)  # fmt: skip


def _story_s(folder: Path, run: str) -> float:
    """What reading the story alone takes, in a process of its own that has its modules."""
    code = (
        "import sys, time; from pathlib import Path; from federation.app import App; from federation.config.load import load\n"
        "from federation.workflows.runs import Runs\n"
        "app = App(load(Path('fedml.toml'))); app.index.runs(); begun = time.perf_counter()\n"
        f"Runs(app).story({run!r}); print(time.perf_counter() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    return float(done.stdout)


def viewers_figures(folder: Path) -> Iterator[Figure]:
    """200 open pages on one run whose log grows each second."""
    run = made(folder, VIEWED_SLOTS, is_open=True)
    app = App(load(folder / "fedml.toml"))
    log = run_log(app.home, run, author="ann@bench")
    log.refresh()
    with ui(folder) as pages:
        html = pages.get(f"/runs/{run}").decode()
        version = re.search(r'data-live="([0-9a-f]+)"', html)[1]  # type: ignore[index]
        before_mb = pages.memory_mb()
        opened = [_open_page(pages, run, version) for _ in range(VIEWERS)]
        cpu_s, start = pages.cpu_s(), time.perf_counter()
        while time.perf_counter() - start < VIEWED_S:
            log.append([Fail(99, 1, Cause.EXIT, "nothing").to_json()])
            _drain(opened)
            time.sleep(1.0)
        share = (pages.cpu_s() - cpu_s) / (time.perf_counter() - start) * 100
        memory_mb = pages.memory_mb()
        for each in opened:
            each.close()
    app.close()
    yield Figure("200 open pages on one run: processor", round(share, 1), "% of a core", "a limit of 10 %",
                 round(share / 10, 3), "≤ 1", share <= 10)  # fmt: skip
    yield Figure("200 open pages on one run: memory", round(memory_mb, 1), "MB",
                 f"a limit of 150 MB ({before_mb:.0f} MB before them)", round(memory_mb / 150, 3), "≤ 1",
                 memory_mb <= 150)  # fmt: skip


def _open_page(pages: Ui, run: str, version: str) -> socket.socket:
    """A viewer that stays."""
    host = urlsplit(pages.root)
    opened = socket.create_connection((str(host.hostname), int(host.port or 80)))
    cookie = "; ".join(f"{one.name}={one.value}" for one in pages.cookies)
    path = f"/live?page={quote(f'/runs/{run}', safe='')}&version={version}"
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
    opened.setblocking(False)
    return opened


def _drain(opened: Sequence[socket.socket]) -> None:
    for each in opened:
        try:
            while each.recv(1 << 20):
                pass
        except BlockingIOError:
            continue


def start_figure(folder: Path) -> Figure:
    """From the command to the first page, against `fedml index list` of the same project."""
    made(folder, VIEWED_SLOTS)
    pairs = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        with ui(folder):
            ours = time.perf_counter() - start
        pairs.append((ours, process_s([FEDML, "index", "list"], folder)))
    ratios = sorted(own / other for own, other in pairs[1:])
    return at_most("fedml ui until its first page", sorted(own for own, _ in pairs[1:])[RUNS // 2],
                   "fedml index list", ratios[RUNS // 2], 2.5)  # fmt: skip


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one after another."""
    yield start_figure(folder / "start")
    yield from viewers_figures(folder / "viewed")
    yield from big_run_figures(folder / "big")
