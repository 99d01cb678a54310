"""Starts coordinator jobs that drive an opened run, one a region, so that the machine that began it may go.

Each region gets the parameterized batch job `fedml-coordinator-NAME` (NAME: the federation's). It is dispatched with the
run's id and the project's fedml.toml as payload. The run's lease lets one coordinator drive; the others stand by.

fedml.toml's references name the credentials that a coordinator needs. Environment variables come from the Nomad variable
`nomad/jobs/fedml-coordinator-NAME`, which this job alone may read (workload identity). A reference to a file or a command
of this machine works nowhere else. Both are checked before anything starts. Coordinators of a development federation run on
this machine and read the project's folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from federation.app import App
from federation.config.model import Config
from federation.errors import UsageError
from federation.home import RunKeys
from jobs.errors import FedmlError
from regions.errors import NotFound
from regions.model import Dispatched, Region
from regions.storage.backend import is_folder
from regions.storage.store import Store

if TYPE_CHECKING:
    from federation.config.schema import CoordinatorTable

RUN_META = "fedml_resume"
CONFIG_META = "fedml_config"
TASK = "coordinate"
PAYLOAD_FILE = "fedml.toml"
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


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One coordinator that was started: the region, and the dispatched job to look at there."""

    region: str
    job_id: str


def coordinator_id(config: Config) -> str:
    """The ID of the job, the same for all runs of a federation."""
    return f"fedml-coordinator-{config.name}"


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
    needed = _variables(config)
    path = f"nomad/jobs/{coordinator_id(config)}"
    for host in hosts if needed else ():
        try:
            there = host.variable_names(path)
        except NotFound:
            there = frozenset()
        missing = [name for name in needed if name not in there]
        if missing:
            values = " ".join(f"{name}=…" for name in missing)
            problems.append(f"region {host.name} lacks:  nomad var put -region {host.name} {path} {values}")
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
        job = coordinator_job(config.coordinator, config.regions[host.name], coordinator_id(config), _variables(config))
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


def is_taken_up(home: Store, run: str, *, wait_s: float = TAKEN_UP_S) -> bool:
    """Whether a coordinator drives the run; waits up to `wait_s` for one. Raises StoreError."""
    deadline_s = time.monotonic() + wait_s
    while not any(home.list(RunKeys(run).lease)):
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(0.5)
    return True


def coordinator_job(how: CoordinatorTable, region: Region, job_id: str, variables: Sequence[str]) -> dict[str, Any]:
    """Nomad's JSON of the job for one region. Without `CONFIG_META` the task reads fedml.toml from the payload."""
    path = f"nomad/jobs/{job_id}"
    lines = "".join(f"{name}={{{{ .{name} | toJSON }}}}\n" for name in variables)
    template = {
        "EmbeddedTmpl": f'{{{{ with nomadVar "{path}" }}}}{lines}{{{{ end }}}}',
        "DestPath": "secrets/coordinator.env",
        "Envvars": True,
    }
    task = {
        "Name": TASK,
        "Driver": how.driver,
        "Config": {
            "command": how.command,
            "args": ["runs", "coordinate", f"${{NOMAD_META_{RUN_META}}}"],
            **({"image": how.image} if how.image else {}),
        },
        "Env": {"FEDML_CACHE_DIR": "${NOMAD_TASK_DIR}/cache", "FEDML_AUTHOR": "fedml-coordinator@${NOMAD_REGION}"},
        "DispatchPayload": {"File": PAYLOAD_FILE},
        "Templates": [template] if variables else [],
        "Resources": {"CPU": how.cpu_mhz, "MemoryMB": how.memory_mb},
        "KillTimeout": 20_000_000_000,
    }
    return {
        "ID": job_id,
        "Name": job_id,
        "Type": "batch",
        "Region": region.nomad_region,
        "Namespace": region.namespace,
        "Datacenters": list(region.datacenters),
        "ParameterizedJob": {"MetaRequired": [RUN_META], "MetaOptional": [CONFIG_META], "Payload": "optional"},
        "TaskGroups": [
            {
                "Name": "coordinator",
                "Count": 1,
                "Tasks": [task],
                "RestartPolicy": {
                    "Attempts": 5,
                    "Interval": 3_600_000_000_000,
                    "Delay": 15_000_000_000,
                    "Mode": "fail",
                },
                "ReschedulePolicy": {"Attempts": 5, "Interval": 86_400_000_000_000, "Delay": 30_000_000_000},
            }
        ],
    }


def _variables(config: Config) -> list[str]:
    """The environment variables that fedml.toml refers to, each once; none in a development federation."""
    if config.dev is not None:
        return []
    return list(dict.fromkeys(reference.env for _, reference in config.secret_references() if reference.env))


def _not_portable(config: Config) -> Iterable[str]:
    for key, reference in config.secret_references():
        if reference.env is None:
            yield f"{key} is a {reference} of this machine: refer to an environment variable instead"
    if is_folder(config.home.url):
        yield f"the home store {config.home.url} is a folder: no other machine is sure to have it"
    for name, region in config.regions.items():
        if region.tls.ca_cert or region.tls.client_cert or region.tls.client_key:
            yield f"regions.{name}.tls names files of this machine"
