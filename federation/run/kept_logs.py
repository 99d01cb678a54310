"""Keeps in the home store what the tasks of an attempt wrote and what happened to them, and reads it back.

Nomad forgets children (garbage collection), and a lost region's logs can't be read. Output is in one object an allocation
(`federation.home`), gzip JSON (format 1), at most 256 KB of each stream of a failed attempt and 64 KB of a good one, without
credentials. Of an attempt whose output isn't kept, only its history is: many of them in one object. `federation.run.log_keeper`
decides which are kept.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal

from federation.errors import FormatTooNew, IndexCorrupt
from federation.home import RunKeys
from federation.run.ports import RegionReader
from jobs.errors import FedmlError, ForeignTextError
from jobs.foreign import Members, parse_json, reason_of, understood, unpacked
from jobs.frozen import field, frozen
from jobs.json_limits import DOCUMENT_LIMITS
from regions.errors import PermissionDenied
from regions.nomad.task_history import AllocationStory, TaskEvent, TaskStory, TaskUsage
from regions.storage.store import Overwrite, Store

KEPT_FORMAT = 1
FAILED_TAIL_BYTES = 256 * 1024
GOOD_TAIL_BYTES = 64 * 1024
READ_THREADS = 16
STREAMS: tuple[Literal["stdout", "stderr"], ...] = ("stdout", "stderr")
SENTENCE_CHARS = 200
Redact = Callable[[bytes], bytes]


@frozen
class KeptAttempt:
    """One allocation of an attempt, as it was kept. `output` maps task → stream (stdout, stderr) → its last text."""

    slot: int
    attempt: int
    region: str
    is_failed: bool
    story: AllocationStory
    output: Mapping[str, Mapping[str, str]]
    used: Mapping[str, TaskUsage] = field(factory=dict)
    """The most that each task was seen to take; only of allocations that were sampled while they ran."""


def keep(
    source: RegionReader,
    home: Store,
    run: str,
    *,
    slot: int,
    attempt: int,
    alloc_id: str,
    is_failed: bool,
    redact: Redact,
    used: Mapping[str, TaskUsage] | None = None,
    story: AllocationStory | None = None,
) -> KeptAttempt:
    """Reads one allocation's output, and its history unless `story` has it. Writes both to the home store; a second call
    overwrites the object.

    A stream that isn't there any more is left out. Raises what the region says of the allocation itself, StoreError,
    or IndexCorrupt for a story that can't be kept.
    """
    story = redacted(story or source.allocation_story(alloc_id), redact)
    tail_bytes = FAILED_TAIL_BYTES if is_failed else GOOD_TAIL_BYTES
    output: dict[str, dict[str, str]] = {task: {} for task in story.tasks}
    for task, kind in _streams_to_read(source, story, is_failed=is_failed):
        with suppress(FedmlError):
            text = source.logs(alloc_id, task, kind=kind, tail_bytes=tail_bytes)[-tail_bytes:]
            output[task][kind] = redact(text).decode(errors="replace")
    kept = KeptAttempt(slot, attempt, source.name, is_failed, story, output, used or {})
    key = RunKeys(run).kept_log(slot, attempt, alloc_id)
    data = gzip.compress(json.dumps({"format": KEPT_FORMAT, **asdict(kept)}).encode(), mtime=0)
    _kept(_document(data, home.url_of(key)))  # what nobody could read isn't written
    home.put(key, data, Overwrite(), content_type="application/gzip")
    return kept


def _streams_to_read(
    source: RegionReader, story: AllocationStory, *, is_failed: bool
) -> list[tuple[str, Literal["stdout", "stderr"]]]:
    """The streams that hold anything; all of them where the token may read logs but not list files. Where the list fails for
    another reason, those of a good attempt are left out."""
    streams = [(task, kind) for task in story.tasks for kind in STREAMS]
    try:
        written = source.written_streams(story.id)
    except PermissionDenied:
        return streams
    except FedmlError:
        return streams if is_failed else []
    return [stream for stream in streams if stream in written]


def keep_histories(home: Store, run: str, attempts: Sequence[KeptAttempt]) -> None:
    """Writes the histories of several attempts as one object. Raises StoreError."""
    document = {"format": KEPT_FORMAT, "attempts": [asdict(one) for one in attempts]}
    data = gzip.compress(json.dumps(document).encode(), compresslevel=1, mtime=0)
    home.put(RunKeys(run).history(attempts[0].story.id), data, Overwrite(), content_type="application/gzip")


def kept(home: Store, run: str, slot: int | None = None) -> Iterator[KeptAttempt]:
    """Reads the attempts of a run, or of one slot, whose output was kept, by slot and attempt. Raises StoreError, IndexCorrupt,
    FormatTooNew."""
    with ThreadPoolExecutor(READ_THREADS) as pool:
        yield from pool.map(lambda info: _kept(_read(home, info.key)), home.list(RunKeys(run).kept_logs(slot)))


def kept_keys(home: Store, run: str) -> list[str]:
    """The keys of all that is kept of a run's attempts. Raises StoreError."""
    keys = RunKeys(run)
    return [info.key for prefix in (keys.histories, keys.kept_logs()) for info in home.list(prefix)]


def read_kept(home: Store, key: str) -> Iterator[KeptAttempt]:
    """Reads the attempts of one object. Raises StoreError, IndexCorrupt, FormatTooNew."""
    document = _read(home, key)
    return map(_kept, document.each("attempts") if "attempts" in document else (document,))


def _read(home: Store, key: str) -> Members:
    return _document(home.get_small(key, limit_bytes=DOCUMENT_LIMITS.size_bytes_max), home.url_of(key))


def redacted(story: AllocationStory, redact: Redact) -> AllocationStory:
    """Redacts the texts of events: they can hold a URL with a credential."""
    tasks = {
        name: replace(
            task,
            events=tuple(TaskEvent(one.time, one.type, _redacted_text(redact, one.text)) for one in task.events),
        )
        for name, task in story.tasks.items()
    }
    return replace(story, tasks=tasks)


def _redacted_text(redact: Redact, text: str) -> str:
    """Nomad's own sentences are the same for all attempts."""
    return (
        _redacted_sentence(redact, text)
        if len(text) <= SENTENCE_CHARS
        else _redacted_sentence.__wrapped__(redact, text)
    )


@lru_cache(maxsize=1000)
def _redacted_sentence(redact: Redact, text: str) -> str:
    return redact(text.encode()).decode(errors="replace")


def _document(data: bytes, source: str) -> Members:
    """Raises FormatTooNew or IndexCorrupt, naming `source`."""
    with _is_corrupt(source):
        document = Members(parse_json(unpacked(data, source=source), source=source), source=source)
        if document.whole("format", least=1) > KEPT_FORMAT:
            raise FormatTooNew(f"{source} was written by a newer fedml: upgrade this one")
        return document


@contextmanager
def _is_corrupt(source: str) -> Iterator[None]:
    try:
        yield
    except ForeignTextError as error:
        raise IndexCorrupt(f"{source} does not hold kept logs: {reason_of(error, source)}", hint=error.hint) from error


def _kept(document: Members) -> KeptAttempt:
    """Raises IndexCorrupt."""
    with _is_corrupt(document.source):
        return _attempt(document)


def _attempt(document: Members) -> KeptAttempt:
    output, used = document.members("output"), document.members("used", {})
    usages = {task: used.members(task) for task in used.names()}
    return KeptAttempt(
        slot=document.whole("slot"),
        attempt=document.whole("attempt"),
        region=document.text("region"),
        is_failed=document.flag("is_failed"),
        story=_story(document.members("story")),
        output={task: output.text_map(task, chars_max=FAILED_TAIL_BYTES * 2) for task in output.names()},
        used={task: TaskUsage(one.number("cpu_mhz"), one.number("memory_mb")) for task, one in usages.items()},
    )


def _story(story: Members) -> AllocationStory:
    tasks = story.members("tasks")
    return AllocationStory(
        id=story.text("id"),
        job_id=story.text("job_id"),
        group=story.text("group"),
        index=story.whole("index"),
        node_name=story.text("node_name"),
        client_status=story.text("client_status"),
        tasks={name: _task(tasks.members(name)) for name in tasks.names()},
    )


def _task(task: Members) -> TaskStory:
    return TaskStory(
        state=task.text("state"),
        is_failed=task.flag("is_failed"),
        restarts=task.whole("restarts"),
        exit_code=None if task.any("exit_code") is None else task.whole("exit_code", least=-(2**31), most=2**32),
        is_oom_killed=task.flag("is_oom_killed"),
        started=_time(task, "started"),
        finished=_time(task, "finished"),
        cpu_mhz=task.whole("cpu_mhz"),
        memory_mb=task.whole("memory_mb"),
        events=tuple(
            TaskEvent(_time(event, "time"), event.text("type"), event.text("text", chars_max=1 << 20))
            for event in task.each("events")
        ),
        hook=task.text("hook", ""),
        is_sidecar=task.flag("is_sidecar", False),
    )


def _time(task: Members, name: str) -> str:
    text = task.text(name)
    understood(task.source, lambda: text and datetime.fromisoformat(text).timestamp())
    return text
