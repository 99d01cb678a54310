"""Nomad's JSON of the job that drives a run in a region, and what it needs of the Nomad variable that it reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from federation.config.build_places import TLS_FILES, TLS_FOLDER
from federation.config.model import Config
from regions.model import Region, StoreConfig
from regions.storage.backend import backend_of, is_folder

RUN_META = "fedml_resume"
CONFIG_META = "fedml_config"
TASK = "coordinate"
PAYLOAD_FILE = "fedml.toml"


def coordinator_id(config: Config) -> str:
    """The ID of the job, the same for all runs of a federation."""
    return f"fedml-coordinator-{config.name}"


def coordinator_job(config: Config, region: Region) -> dict[str, Any]:
    """Nomad's JSON of the job for one region. Without `CONFIG_META` the task reads fedml.toml from the payload."""
    how, job_id, variables = config.coordinator, coordinator_id(config), variables_of(config)
    path = f"nomad/jobs/{job_id}"

    def template(text: str, to: str, **more: Any) -> dict[str, Any]:
        return {"EmbeddedTmpl": f'{{{{ with nomadVar "{path}" }}}}{text}{{{{ end }}}}', "DestPath": to, **more}

    lines = "".join(f"{name}={{{{ .{name} | toJSON }}}}\n" for name in variables)
    templates = [template(lines, "secrets/coordinator.env", Envvars=True)] if variables else []
    items = {file: item for item, file in tls_items(config).items()}
    keys = [(key, items[file]) for key, file in tls_files(config) if file in items]
    templates += [template(f"{{{{ .{item} }}}}", f"secrets/tls/{key}") for key, item in keys]
    task = {
        "Name": TASK,
        "Driver": how.driver,
        "Config": {
            "command": how.command,
            "args": ["runs", "coordinate", f"${{NOMAD_META_{RUN_META}}}"],
            **({"image": how.image} if how.image else {}),
        },
        "Env": {
            "FEDML_CACHE_DIR": "${NOMAD_TASK_DIR}/cache",
            "FEDML_AUTHOR": "fedml-coordinator@${NOMAD_REGION}",
            **({TLS_FOLDER: "${NOMAD_SECRETS_DIR}/tls"} if keys else {}),
        },
        "DispatchPayload": {"File": PAYLOAD_FILE},
        "Templates": templates,
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


def variables_of(config: Config) -> list[str]:
    """The environment variables that a coordinator needs, each once: those that fedml.toml refers to, and those by which the
    SDKs of other stores are given credentials. None in a development federation."""
    if config.dev is not None:
        return []
    named = [reference.env for _, reference in config.secret_references() if reference.env]
    for store in stores_by_sdk(config):
        named += backend_of(store.url).credential_names
    return list(dict.fromkeys(named))


def stores_by_sdk(config: Config) -> list[StoreConfig]:
    """The stores whose credentials the SDKs look for, where the nodes have none of their own."""
    if config.dev is not None or config.coordinator.store_credentials == "nodes":
        return []
    return [
        store for store in config.stores() if not (is_folder(store.url) or store.anonymous or store.secret_access_key)
    ]


def tls_files(config: Config) -> list[tuple[str, Path]]:
    """The files of `[regions.NAME.tls]`, each with its key."""
    return [
        (f"regions.{name}.tls.{which}", file)
        for name, region in config.regions.items()
        for which in TLS_FILES
        if (file := getattr(region.tls, which)) is not None
    ]


def tls_items(config: Config) -> dict[str, Path]:
    """Item of the Nomad variable → the file whose content it holds, each file once. Empty where the clients have the files."""
    if config.dev is not None or config.coordinator.tls_files == "nodes":
        return {}
    found: dict[Path, str] = {}
    for key, file in tls_files(config):
        name, _, which = key.removeprefix("regions.").rpartition(".tls.")
        item = "tls_" + re.sub(r"[^A-Za-z0-9]", "_", f"{name}_{which}")
        while file not in found and item in found.values():
            item += "_"
        found.setdefault(file, item)
    return {item: file for file, item in found.items()}
