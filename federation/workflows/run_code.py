"""Makes the request of a run out of a person's own code (`fedml run`): settings, jobspec, packed code.

What a request becomes is the workflow of `dispatch`. A setting comes from the first of these that has it: the options, the
script's own `[tool.fedml]`, that of pyproject.toml, `[run]` in fedml.toml, the defaults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from federation.app import App, JobRequest
from federation.code.pack import PackedCode, pack
from federation.code.refusals import secret_in
from federation.config.model import Config
from federation.deploy.prepare import JOB_SUFFIXES
from federation.errors import UsageError
from federation.manifest import RunCode
from federation.task.command_line import AS_ARGUMENTS, NONE, Command, UvDownload
from federation.text import counted, duration_s, shortened, size_text
from federation.workflows.code_stores import put_into_stores
from federation.workflows.code_subject import Subject, folder_of, script_of
from federation.workflows.request import CodeRequest, RunRequest
from jobs.code_job import DRIVERS_WITH_IMAGE, CodeJob, jobspec
from jobs.code_run import CODE_KEY, COMMAND_KEY
from jobs.frozen import field, frozen

IMAGE = "ghcr.io/astral-sh/uv:python3.13-bookworm-slim"
"""For drivers that need an image, where no setting names one: Python and uv."""
CPU_MHZ, MEMORY_MB, KILL_TIMEOUT = 1000, 1024, "30s"
_NAME = re.compile(r"[^\W_][\w.-]{0,99}")
_COMMAND_CHARS = 60

Tell = Callable[[str], None]


@frozen
class CodeAsk:
    """What a person wants to run. `words` are the script with its arguments, or (`folder`) the command. `options` are the
    settings that the person gives, named as in `federation.config.schema_code`."""

    words: tuple[str, ...]
    folder: Path | None = None
    options: Mapping[str, Any] = field(factory=dict)
    large: bool = False
    """Allows more and larger files than usual."""
    allow_secret_files: tuple[str, ...] = ()


@frozen
class CodeRun:
    """A checked ask: what is packed, the job that runs it, and the limits that its settings name."""

    ask: CodeAsk
    subject: Subject
    job: CodeJob
    command: Command
    regions: tuple[str, ...]
    settings: Mapping[str, Any]

    def text(self, code: PackedCode | None = None) -> str:
        """The jobspec. With `code`, each dispatch of it runs that code."""
        return jobspec(self.job, self.meta(code) if code is not None else None)

    def meta(self, code: PackedCode) -> dict[str, str]:
        """What a dispatch says of code and command. No `${` is left for Nomad to replace."""
        commit = code.git.commit if code.git is not None else ""
        command = replace(self.command, git_commit=commit).to_json().replace("${", "\\u0024{")
        return {CODE_KEY: code.sha256, COMMAND_KEY: command}

    def request(self, code: PackedCode, request: RunRequest) -> RunRequest:
        """The request for this code. What `request` says of regions and limits has priority over the settings."""
        git = code.git
        kept = RunCode(
            sha256=code.sha256,
            command=self.command.argv,
            environment=self.command.environment,
            jobspec=self.text(),
            size_bytes=code.size_bytes,
            file_count=code.file_count,
            lock_sha256=code.lock_sha256,
            git_commit=git.commit if git is not None else "",
            git_dirty=git is not None and git.is_dirty,
        )
        job = JobRequest(self.job.name, regions=request.job.regions or self.regions, text=kept.jobspec)
        patience, settings = request.patience, self.settings
        if patience.slot_timeout_s is None and settings.get("slot_timeout"):
            patience = replace(patience, slot_timeout_s=duration_s(settings["slot_timeout"], "slot_timeout"))
        if settings.get("retries") is not None:
            patience = replace(patience, max_attempts=settings["retries"] + 1)
        return replace(request, job=job, patience=patience, code=CodeRequest(kept, self.meta(code), code))

    def packed(self, cache: Path, tell: Tell) -> PackedCode:
        """Packs the code and says what it is. Raises CodeError."""
        ask, where = self.ask, self.subject.path
        code = pack(where, cache, large=ask.large, allow_secret_files=ask.allow_secret_files)
        git = code.git
        commit = f", commit {git.commit[:10]}{' with changes' if git.is_dirty else ''}" if git and git.commit else ""
        what = where.name if where.is_file() else f"of {where}"
        tell(
            f"Code {code.sha256[:12]}: {what}, {counted(code.file_count, 'file')}, {size_text(code.size_bytes)}{commit}"
        )
        tell(f"Job {self.job.name}: {self.told()}")
        return code

    def told(self) -> str:
        """The command and what a slot asks for, in one line."""
        job, command = self.job, shortened(" ".join(self.command.argv), _COMMAND_CHARS)
        devices = "".join(f", {count} {name}" for name, count in job.devices)
        needs = "" if self.command.environment == NONE else f", dependencies of {self.command.file}"
        return f"{command}; {job.cpu_mhz} MHz, {job.memory_mb} MB{devices} a slot{needs}"


def code_run(app: App, ask: CodeAsk, note: Tell) -> CodeRun:
    """Checks what a person wants to run. Packs and sends nothing. Raises UsageError and ConfigError."""
    config = app.config
    if config.deploy == "never":
        raise UsageError(
            f'fedml run registers a job, and {config.path.name} says deploy = "never"',
            hint="write its jobspec for whoever may register it:  fedml run … --show",
        )
    subject = script_of(ask.words, note) if ask.folder is None else folder_of(ask.folder, ask.words, note)
    layers = (ask.options, *subject.settings, config.run.model_dump(exclude_unset=True))
    settings: dict[str, Any] = {}
    for layer in reversed(layers):
        settings |= {name: value for name, value in layer.items() if value is not None}
    uv = UvDownload(settings["uv"], settings["uv_sha256"]) if settings.get("uv") else None
    passes = settings.get("passes", AS_ARGUMENTS)
    command = Command(subject.argv, subject.kind, subject.file, passes, uv if subject.kind != NONE else None)
    _refuse_secrets(command)
    regions = tuple(settings.get("regions") or ())
    app.chosen_regions(regions)
    return CodeRun(ask, subject, _job(subject, settings, config), command, regions, settings)


def write_jobspec(app: App, made: CodeRun, file: Path, regions: tuple[str, ...], tell: Tell) -> None:
    """Writes the jobspec with its code into a new file, and puts the code into the stores of these regions (none: those of the
    settings). Raises UsageError, before anything is sent, for a file that is there; StoreError."""
    if not file.name.endswith(JOB_SUFFIXES):
        raise UsageError(f"--write {file}: a jobspec has another suffix", hint=f"--write {made.job.name}.nomad.hcl")
    if file.exists():
        raise UsageError(f"{file} is there already; nothing was written", hint="name another file, or move that away")
    code = made.packed(app.config.cache_dir, tell)
    text = made.text(code)
    request = JobRequest(made.job.name, regions=regions or made.regions, text=text)
    prepared = app.prepare_from_file(request)
    put_into_stores(app, prepared, list(prepared.rendered), code, tell)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UsageError(f"--write {file}: {error.strerror}") from error


def _refuse_secrets(command: Command) -> None:
    """Raises UsageError for a command that seems to hold a secret: whoever may read jobs or results reads it."""
    for argument in command.argv:
        if found := secret_in(argument.encode(errors="replace")):
            raise UsageError(
                f"the command {found[0]}, and Nomad shows it to everyone who can read jobs; nothing was sent",
                hint="let the task read it where it runs: from a Nomad variable, or a file of the node",
            )


def _job(subject: Subject, settings: Mapping[str, Any], config: Config) -> CodeJob:
    name = settings.get("name") or subject.name
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} is not a valid name of a job",
            hint="name it with --job, or name = … under [tool.fedml]: a letter or digit, then letters, digits, '.', '_', '-'",
        )
    image = settings.get("image", "")
    driver = settings.get("driver") or ("docker" if image else "raw_exec" if config.dev is not None else "exec")
    if image and driver not in DRIVERS_WITH_IMAGE:
        raise UsageError(f"driver {driver} runs no image, and image is {image}", hint="leave one of them out")
    cpu_mhz, memory_mb = settings.get("cpu", CPU_MHZ), settings.get("memory", MEMORY_MB)
    most = settings.get("memory_max")
    if most is not None and most < memory_mb:
        raise UsageError(
            f"memory_max is {most} MB, less than memory, {memory_mb} MB", hint="memory_max is the larger one"
        )
    devices = dict(settings.get("device") or {})
    if settings.get("gpu"):
        devices["nvidia/gpu"] = settings["gpu"]
    return CodeJob(
        name=name,
        driver=driver,
        image=(image or IMAGE) if driver in DRIVERS_WITH_IMAGE else "",
        cpu_mhz=cpu_mhz,
        memory_mb=memory_mb,
        memory_max_mb=most,
        devices=tuple(sorted(devices.items())),
        kill_timeout=settings.get("kill_timeout", KILL_TIMEOUT),
        cache_volume=settings.get("cache_volume", "") if driver != "raw_exec" else "",
    )
