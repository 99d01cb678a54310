"""Starts coordinator jobs that drive an opened run, one a region, so that the machine that began it may go.

Each region gets the parameterized batch job `fedml-coordinator-NAME` (NAME: the federation's). It is dispatched with the
run's id and the project's fedml.toml as payload. The run's lease lets one coordinator drive; the others stand by.

fedml.toml's references name the credentials that a coordinator needs. Environment variables, those of stores without a
reference, and the contents of TLS files come from the Nomad variable `nomad/jobs/fedml-coordinator-NAME`, which this job
alone may read (workload identity). A token by a file or a command of this machine works nowhere else. All is checked first.
Coordinators of a development federation run on this machine and read the project's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from federation.app import App
from federation.capacity import shortage_text
from federation.config.model import Config
from federation.errors import UsageError
from federation.home import RunKeys
from federation.run.brain.causes import cause_of
from federation.run.inspection import last_line
from federation.run.ports import RegionReader
from federation.run.redaction import Redactor
from federation.workflows.coordinator_job import (
    CONFIG_META,
    PAYLOAD_FILE,
    RUN_META,
    TASK,
    coordinator_id,
    coordinator_job,
    stores_by_sdk,
    tls_files,
    tls_items,
    variables_of,
)
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.errors import NotFound
from regions.model import Dispatched
from regions.nomad.decode import shortfall_from_json
from regions.storage.backend import backend_of, is_folder
from regions.storage.store import Store

TAKEN_UP_S = 60.0
PAYLOAD_BYTES_MAX = 16 * 1024
"""Nomad's limit of a dispatch's payload."""


class Host(Protocol):
    """The part of a region client that is asked."""

    @property
    def name(self) -> str: ...
    def register(self, job: Mapping[str, Any], *, enforce_index: int | None) -> object: ...
    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched: ...
    def variable_names(self, path: str) -> frozenset[str]: ...


@frozen
class Coordinator:
    """One coordinator that was started: the region, and the dispatched job to look at there."""

    region: str
    job_id: str


def coordinator_regions(app: App, names: Sequence[str]) -> list[Host]:
    """The regions that get a coordinator (default: the first one), each checked for what a coordinator needs. Raises
    UsageError."""
    hosts: list[Host] = [
        app.client(region.name) for region in app.chosen_regions(names or list(app.config.regions)[:1])
    ]
    check(app.config, hosts)
    return hosts


def coordinator_config(environ: Mapping[str, str]) -> Path | None:
    """The fedml.toml of a coordinator job, by the environment of its task. None outside of such a task."""
    if f"NOMAD_META_{RUN_META}" not in environ:
        return None
    path = environ.get(f"NOMAD_META_{CONFIG_META}")
    return Path(path) if path else Path(environ["NOMAD_TASK_DIR"]) / PAYLOAD_FILE


def check(config: Config, hosts: Sequence[Host]) -> None:
    """Checks that coordinators in these regions would have what they need. Raises UsageError that names all that is
    missing."""
    if config.dev is not None:
        return
    problems = [*_not_portable(config)]
    if len(config.path.read_bytes()) > PAYLOAD_BYTES_MAX:
        problems.append(f"{config.path.name} is larger than the {PAYLOAD_BYTES_MAX} bytes that a dispatch carries")
    files = tls_items(config)
    needed = [*variables_of(config), *files]
    path = f"nomad/jobs/{coordinator_id(config)}"
    for host in hosts if needed else ():
        try:
            there = host.variable_names(path)
        except NotFound:
            there = frozenset()
        missing = [name for name in needed if name not in there]
        if missing:  # `put` replaces the whole variable
            values = " ".join(f"{name}=@{files[name]}" if name in files else f"{name}=…" for name in needed)
            put = f"nomad var put -force -region {host.name} {path} {values}"
            problems.append(f"region {host.name} lacks {', '.join(missing)}:  {put}")
    if problems:
        raise UsageError(
            "the run can't be detached:\n  " + "\n  ".join(problems),
            hint="mend that, or leave out --detach to drive the run from here",
        )


def start(config: Config, hosts: Sequence[Host], run: str) -> list[Coordinator]:
    """Registers the job and dispatches a coordinator in each region. Raises the first error when none could be started.

    After a crash some regions may have one. Starting again adds none there, since the dispatch token is the run's.
    """
    started: list[Coordinator] = []
    errors: list[FedmlError] = []
    meta = {RUN_META: run} | ({CONFIG_META: str(config.path)} if config.dev is not None else {})
    payload = b"" if config.dev is not None else config.path.read_bytes()
    for host in hosts:
        job = coordinator_job(config, config.regions[host.name])
        try:
            host.register(job, enforce_index=None)
            done = host.dispatch(job["ID"], meta=meta, payload=payload, idempotency_token=f"fedml-coordinator-{run}")
        except FedmlError as error:
            errors.append(error)
        else:
            started.append(Coordinator(host.name, done.job_id))
    if not started:
        raise errors[0]
    return started


def is_taken_up(
    home: Store,
    run: str,
    *,
    wait_s: float = TAKEN_UP_S,
    is_hopeless: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether a coordinator drives the run; waits up to `wait_s` for one, unless it `is_hopeless`. Raises StoreError."""
    deadline_s = time.monotonic() + wait_s
    while not any(home.list(RunKeys(run).lease)):
        if time.monotonic() >= deadline_s or is_hopeless():
            return False
        time.sleep(0.5)
    return True


def has_failed(client: RegionReader, job_id: str) -> bool:
    """Whether the coordinator has crashed, or doesn't start. False where the region doesn't tell."""
    try:
        allocations, _ = client.allocations(job_id=job_id)
    except FedmlError:
        return False
    return any(
        allocation.client_status == "failed" or any(task.trouble or task.failed for task in allocation.tasks.values())
        for allocation in allocations
    )


def why_not(client: RegionReader, job_id: str) -> str:
    """Why this coordinator doesn't drive its run: what ended its task with the last line that it wrote, or why it has no
    node."""
    try:
        allocations, _ = client.allocations(job_id=job_id)
        if not allocations:
            shortage = {
                group: shortfall_from_json(metric)
                for evaluation in client.evaluations(job_id)
                for group, metric in (evaluation.get("FailedTGAllocs") or {}).items()
            }
            return f"no node takes it: {shortage_text(shortage)}" if shortage else "it has no allocation yet"
        newest = max(allocations, key=lambda allocation: allocation.create_index)
        task = newest.tasks.get(TASK)
        said = last_line(client, [newest], Redactor())
        if newest.client_status in ("failed", "lost"):
            why = cause_of(newest)[1]
        elif task is not None and task.trouble:
            why = task.trouble
        else:
            return f"its allocation is {newest.client_status}"
    except FedmlError as error:
        return f"{client.name} doesn't tell: {error.message}"
    return f"{why}: {said}" if said and said not in why else why


def _not_portable(config: Config) -> Iterable[str]:
    for key, reference in config.secret_references():
        if reference.env is None:
            yield f"{key} is a {reference} of this machine: refer to an environment variable instead"
    if is_folder(config.home.url):
        yield f"the home store {config.home.url} is a folder: no other machine is sure to have it"
    for store in stores_by_sdk(config):
        if store.profile or not backend_of(store.url).credential_names:
            what = f"uses the profile {store.profile!r}" if store.profile else "uses credentials"
            yield (
                f"{store.url} {what} of this machine: refer to its key with secret_access_key, or, where the clients have an "
                'identity that may use it, write  store_credentials = "nodes"  under [coordinator]'
            )
    for key, file in tls_files(config) if config.coordinator.tls_files == "nodes" else ():
        if file.is_relative_to(config.root):
            yield f"{key} is the file {file} of this project: name it by the absolute path that it has on the clients"
