"""Writes a preview to a file for `dispatch --plan`, and checks when it is read that nothing has moved that it depends on.

That is the jobspec, each region's registered job, the version, and the parameters. Free room is asked anew. A hash over the
whole file detects edits by hand, which would make the plan say what nobody checked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from federation.app import App
from federation.deploy.prepare import JobRequest
from federation.errors import FormatTooNew, PlanMoved, UsageError
from federation.run.user_limits import Patience
from federation.text import counted
from federation.workflows.failed_slots import change_of_failed
from federation.workflows.plan import Preview
from federation.workflows.request import FailedSlots, Placing, RunRequest
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_object, reason_of, understood
from jobs.frozen import frozen
from jobs.json_limits import Limits
from jobs.params.file import payload_lines, payload_of, read_asks
from jobs.params.sweep import Asks, Rows

PLAN_FORMAT = 1
_LIMITS = Limits(size_bytes_max=256 * 1024 * 1024, items_max=10_000_000, text_chars_max=32 * 1024 * 1024)


@frozen
class SavedPlan:
    """A plan as its file has it. `request` is the one that it was made for, `data` all the file's members."""

    path: Path
    request: RunRequest
    data: Mapping[str, Any]

    def check(self, app: App, now: Preview) -> None:
        """Raises PlanMoved that names all that has changed."""
        moved = [*self._job(now), *self._regions(now), *self._version(app, now), *self._failed_slots(app)]
        if moved:
            raise PlanMoved(
                f"{self.path.name} is out of date: {'; '.join(moved)}; nothing was dispatched",
                hint="plan anew:  fedml plan --out " + self.path.name,
            )

    def _failed_slots(self, app: App) -> list[str]:
        change = change_of_failed(app, self.request.failed_of) if self.request.failed_of else ""
        return [change] if change else []

    def _job(self, now: Preview) -> list[str]:
        if now.prepared.shape.id != self.data["job"]:
            return [f"the job was {self.data['job']}, and is {now.prepared.shape.id}"]
        if now.prepared.spec_hash != self.data["spec_hash"]:
            was, found = self.data["spec_hash"][:12] or "none", now.prepared.spec_hash[:12] or "none"
            return [f"the jobspec is another (spec {was}, now {found})"]
        return []

    def _regions(self, now: Preview) -> list[str]:
        moved = []
        for name, was in self.data["regions"].items():
            one = now.snapshot.regions.get(name)
            problem = "gone from fedml.toml" if one is None else str(one.problem or "ready")
            if problem != (was["problem"] or "ready"):
                moved.append(f"region {name} was {was['problem'] or 'ready'}, and is {problem}")
            elif one is not None and one.job_modify_index != was["job_modify_index"]:
                moved.append(
                    f"region {name}: the registered job changed (JobModifyIndex {was['job_modify_index']}, now "
                    f"{one.job_modify_index})"
                )
        return moved + [f"region {name} is new" for name in now.snapshot.regions if name not in self.data["regions"]]

    def _version(self, app: App, now: Preview) -> list[str]:
        was = self.data["version"]
        if now.version != was:
            return [f"the next version was {was}, and is {now.version}"]
        runs = _runs_of(app, now)
        if runs != self.data["runs_of_version"]:
            return [f"version {was} had {counted(self.data['runs_of_version'], 'run')}, and has {runs}"]
        return []


def keep_plan(to: Path, app: App, preview: Preview, document: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Writes the file. `document` is the plan for people and programs (`fedml plan --json`). `sources` are the paths of
    `--params` and `--payload-dir`. Raises UsageError, also for slots of `fedml run`: a plan holds no code."""
    request = preview.request
    assert request is not None
    if request.code is not None:
        again = f":  fedml dispatch --failed-of {request.failed_of.run}" if request.failed_of else ""
        raise UsageError("a plan of code of fedml run can't be saved", hint=f"leave out --out, and dispatch it{again}")
    data: dict[str, Any] = {
        "format": PLAN_FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "request": _request_document(request, preview.plan.policy, sources),
        "job": preview.prepared.shape.id,
        "spec_hash": preview.prepared.spec_hash,
        "version": preview.version,
        "runs_of_version": _runs_of(app, preview),
        "regions": {
            name: {"problem": str(one.problem) if one.problem else None, "job_modify_index": one.job_modify_index}
            for name, one in preview.snapshot.regions.items()
        },
        "plan": document,
    }
    try:
        to.write_text(
            json.dumps({**data, "sha256": _sha256(data)}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise UsageError(f"--out {to}: {error.strerror}") from error


def read_plan(path: Path, *, instead_of: RunRequest | None = None) -> SavedPlan:
    """Reads a plan. It replaces all options but the limits of the run: others in `instead_of` are refused.

    Raises PlanMoved for a file that was edited or whose parameters changed, UsageError for what is not a plan,
    FormatTooNew.
    """
    if instead_of is not None and replace(instead_of, patience=Patience(), name="") != RunRequest(
        JobRequest(), meta={}
    ):
        raise UsageError(
            "--plan already says what is dispatched, how often and where",
            hint="leave the other options out, or plan anew with them:  fedml plan --out " + path.name,
        )
    try:
        data = parse_object(path.read_bytes(), source=f"--plan {path}", limits=_LIMITS)
        head = Members(data, source=f"--plan {path}")
        if head.whole("format", least=1) > PLAN_FORMAT:
            raise FormatTooNew(f"{path} has format {data['format']}, this fedml knows {PLAN_FORMAT}: upgrade fedml")
        given = head.text("sha256")
        del data["sha256"]
    except OSError as error:
        raise UsageError(f"--plan {path}: {error.strerror}") from error
    except ForeignTextError as error:
        why = reason_of(error, f"--plan {path}")
        raise UsageError(f"--plan {path} is not a plan: {why}", hint="make one:  fedml plan --out plan.json") from None
    if _sha256(data) != given:
        raise PlanMoved(
            f"{path} was changed since it was written",
            hint="make the plan that you want:  fedml plan --out " + path.name,
        )
    try:
        _check_shape(head)
        return SavedPlan(path, understood(f"--plan {path}", lambda: _request_of(path, data["request"])), data)
    except ForeignTextError as error:
        raise UsageError(error.message, hint="make the plan anew:  fedml plan --out " + path.name) from error


def _check_shape(data: Members) -> None:
    """Checks the types of what `SavedPlan.check` compares: whoever edits a plan may compute its hash anew."""
    for name in ("job", "spec_hash", "version"):
        data.text(name)
    data.whole("runs_of_version")
    regions = data.members("regions")
    for name in regions.names():
        region = regions.members(name)
        if region.any("problem") is not None:
            region.text("problem")
        if region.any("job_modify_index") is not None:
            region.whole("job_modify_index")


def _sha256(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _runs_of(app: App, preview: Preview) -> int:
    return sum(row.version == preview.version for row in app.index.runs(job=preview.prepared.shape.id))


def _request_document(request: RunRequest, policy: str, sources: Mapping[str, str]) -> dict[str, Any]:
    placing = asdict(replace(request.placing, policy=policy))
    seconds = placing.pop("deadline_s")
    deadline = None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return {
        "job": request.job.job,
        "variables": list(request.job.variables),
        "var_files": [str(file.absolute()) for file in request.job.var_files],
        "regions": list(request.job.regions),
        "slots": request.slots,
        "version": request.version,
        "meta": dict(request.meta or {}),
        "payload": base64.b64encode(request.payload).decode(),
        "allow_secret_meta": request.allow_secret_meta,
        "sweep": [str(axis) for axis in request.asks.axes],
        "sources": dict(sources),
        "asks_sha256": _asks_sha256(request.asks),
        "failed_of": _failed_document(request),
        "placing": placing,
        "deadline": deadline,
    }


def _request_of(path: Path, data: Mapping[str, Any]) -> RunRequest:
    sources = {name: Path(source) for name, source in data["sources"].items()}
    failed_of = data.get("failed_of")
    asks = (
        _failed_asks(failed_of)
        if failed_of
        else read_asks(data["sweep"], sources.get("params"), sources.get("payload_dir"))
    )
    if _asks_sha256(asks) != data["asks_sha256"]:
        raise PlanMoved(
            f"{path.name} is out of date: {' or '.join(data['sources'].values())} changed; nothing was dispatched",
            hint="plan anew:  fedml plan --out " + path.name,
        )
    seconds = None
    if data["deadline"] is not None:
        seconds = (datetime.fromisoformat(data["deadline"]) - datetime.now(UTC)).total_seconds()
        if seconds <= 0:
            raise PlanMoved(
                f"{path.name} is out of date: its deadline {data['deadline']} is past",
                hint="plan anew:  fedml plan --out " + path.name,
            )
    files = tuple(Path(file) for file in data["var_files"])
    return RunRequest(
        JobRequest(data["job"], tuple(data["variables"]), files, tuple(data["regions"])),
        data["slots"],
        data["version"],
        data["meta"],
        base64.b64decode(data["payload"]),
        data["allow_secret_meta"],
        asks,
        Placing(**data["placing"], deadline_s=seconds),
        failed_of=FailedSlots(failed_of["run"], tuple(failed_of["slots"])) if failed_of else None,
    )


def _failed_document(request: RunRequest) -> dict[str, Any] | None:
    """The failed slots of another run with what each gets: no file has it. None where the request repeats no run."""
    failed, asks = request.failed_of, request.asks
    if failed is None:
        return None
    return {
        "run": failed.run,
        "slots": list(failed.slots),
        "rows": [line.decode() for line in asks.rows.lines] if asks.rows else [],
        "payloads": [line.decode() for line in payload_lines(asks.payloads)],
    }


def _failed_asks(data: Mapping[str, Any]) -> Asks:
    lines = tuple(str(line).encode() for line in data["rows"])
    names = tuple(dict.fromkeys(name for line in lines for name in parse_object(line, source="a row")))
    rows = Rows(f"run {data['run']}, slot", lines, tuple(data["slots"]), names) if lines else None
    payloads = tuple(payload_of(str(line).encode()) for line in data["payloads"])
    return Asks((), rows, payloads, is_paired=bool(rows and payloads))


def _asks_sha256(asks: Asks) -> str:
    lines = [*(asks.rows.lines if asks.rows else ()), b"", *payload_lines(asks.payloads)]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
