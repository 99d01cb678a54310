"""A `Config` enters, the least rights that each role needs leave as text to apply: Nomad ACL policies, S3 policies.

The roles: `node` publishes from inside a task, `coordinator` runs `fedml plan`, `deploy`, `dispatch` and what goes with
them, `reader` looks at runs and the index. Nothing here is applied by fedml.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from federation.checks.doctor.examine import stores_of
from federation.config.model import Config
from regions.model import StoreConfig

ROLES = ("node", "coordinator", "reader")

COORDINATOR_CAPABILITIES = ("list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs", "read-fs")
READER_CAPABILITIES = ("list-jobs", "read-job", "read-logs")


def nomad_policy(role: str, namespace: str) -> str:
    """The Nomad ACL policy (HCL) of a role; empty for `node`, which talks to no Nomad API."""
    if role == "node":
        return ""
    capabilities = COORDINATOR_CAPABILITIES if role == "coordinator" else READER_CAPABILITIES
    listed = ", ".join(f'"{name}"' for name in capabilities)
    policy = f'namespace "{namespace}" {{\n  capabilities = [{listed}]\n}}\n\nnode {{\n  policy = "read"\n}}\n'
    if role == "coordinator":
        policy += '\n# Only for jobs that mount host volumes:\nhost_volume "*" {\n  policy = "write"\n}\n'
    return policy


def s3_policy(role: str, home: StoreConfig, stores: Sequence[StoreConfig]) -> Mapping[str, Any]:
    """The identity policy of a role over S3 stores, `stores` being those of datacenters. Stores of other kinds are
    left out. A node gets its own datacenter's stores only, and never the home store, unless they are one."""
    statements = []
    for store in stores:
        if store.url.startswith("s3://"):
            statements += _s3_store(role, store)
    if role != "node" and home.url.startswith("s3://"):
        statements += _s3_home(role, home)
    merged = {json.dumps(statement, sort_keys=True): statement for statement in statements}
    return {"Version": "2012-10-17", "Statement": list(merged.values())}


def _s3_store(role: str, store: StoreConfig) -> list[dict[str, Any]]:
    if role == "node":
        return [
            {
                # Records only by conditional create: a node can't replace one.
                "Effect": "Allow",
                "Action": ["s3:PutObject"],
                "Resource": [_objects(store, "results/*")],
                "Condition": {"Null": {"s3:if-none-match": "false"}},
            },
            {
                "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
                "Resource": [_objects(store, "artifacts/*")],
            },
            {
                # After a lost answer it must see whether the record is its own.
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": [_objects(store, "results/*"), _objects(store, "artifacts/*")],
            },
        ]
    return [_read(store), _list(store), *(_doctor(store) if role == "coordinator" else [])]


def _s3_home(role: str, home: StoreConfig) -> list[dict[str, Any]]:
    if role == "reader":
        return [_read(home), _list(home)]
    write = [_objects(home, part) for part in ("format.json", "index/*", "runs/*")]
    return [
        _read(home),
        _list(home),
        {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": write},
        *_doctor(home),
    ]


def _read(store: StoreConfig) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [_objects(store, "*")]}


def _list(store: StoreConfig) -> dict[str, Any]:
    """Without it a missing object is answered with 403 instead of 404."""
    bucket = store.url.removeprefix("s3://").partition("/")[0]
    return {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]}


def _doctor(store: StoreConfig) -> list[dict[str, Any]]:
    actions = ["s3:PutObject", "s3:DeleteObject"]
    return [{"Effect": "Allow", "Action": actions, "Resource": [_objects(store, "doctor/*")]}]


def _objects(store: StoreConfig, part: str) -> str:
    return f"arn:aws:s3:::{store.url.removeprefix('s3://').rstrip('/')}/{part}"


def text(config: Config) -> str:
    """All of it, in sections by role, to read and to copy from."""
    return "\n".join(part for role in ROLES for part in _role(role, config))


def _role(role: str, config: Config) -> Iterator[str]:
    yield f"# ── {role}: {_MEANING[role]}\n"
    if role == "node":
        yield "# Nomad: no token. Tasks that publish talk to their store only.\n"
    else:
        for namespace in sorted({region.namespace for region in config.regions.values()}):
            yield f"# Nomad: nomad acl policy apply fedml-{role} {role}.hcl\n\n{nomad_policy(role, namespace)}"
    for store in stores_of(config):
        if store.url.startswith("file://"):
            yield f"# {store.url}: {_folder_rights(role, is_home=store == config.home)}\n"
    stores = [datacenter.store for region in config.regions.values() for datacenter in region.datacenters.values()]
    if role == "node":
        for store in dict.fromkeys(stores):
            if store.url.startswith("s3://"):
                yield _s3_text(s3_policy(role, config.home, [store]), f"nodes that publish to {store.url}")
    elif any(store.url.startswith("s3://") for store in stores_of(config)):
        yield _s3_text(s3_policy(role, config.home, stores), "all S3 stores")


_MEANING = {
    "node": "what a task needs to publish (an identity a datacenter)",
    "coordinator": "plan, deploy, dispatch, watch, cancel, doctor",
    "reader": "runs list, index list, index get, logs",
}


def _folder_rights(role: str, *, is_home: bool) -> str:
    if role == "node":
        return "none" if is_home else "write and read below results/ and artifacts/"
    if role == "reader":
        return "read"
    return "read and write" if is_home else "read; write below doctor/"


def _s3_text(policy: Mapping[str, Any], about: str) -> str:
    return f"# S3 policy for {about}\n\n{json.dumps(policy, indent=2)}\n"
