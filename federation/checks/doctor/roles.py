"""Writes the least rights that each role needs as text to apply: Nomad ACL policies, S3 policies.

The roles: `node` publishes from inside a task, `coordinator` runs `fedml plan`, `deploy`, `dispatch` and related commands,
`dispatcher` does so with jobs that are registered already, `maintenance` cleans and repairs the index and the stores, `reader`
reads runs and the index. fedml applies none of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from federation.checks.doctor.examine import stores_of
from federation.config.model import Config
from jobs.code_run import CODE
from regions.model import StoreConfig
from regions.storage.backend import Backend, Grants, PolicyForm, backend_of, is_folder

ROLES = ("node", "coordinator", "dispatcher", "maintenance", "reader")

COORDINATOR_CAPABILITIES = ("list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs", "read-fs")
NODE_PARTS = ("results/", "artifacts/")
HOME_ONCE = (
    "format.json", "index/log/", "runs/*/log/", "runs/*/lease/", "runs/*/manifest.json", "runs/*/params.jsonl.gz",
    "runs/*/payloads.jsonl.gz",
)  # fmt: skip
"""What a coordinator creates in the home store, and never replaces."""
HOME_AGAIN = ("runs/*/logs/",)
HOME_SCRATCH = ("index/checkpoints/", "index/watch/")
HOME_MAINTAINED = ("format.json", "index/", "runs/*/logs/", "runs/*/lease/")
"""What a rebuild of the index writes anew, and what `runs prune` deletes."""
SCRATCH = "doctor/"

READER_CAPABILITIES = ("list-jobs", "read-job", "read-logs")
CAPABILITIES = {
    "coordinator": COORDINATOR_CAPABILITIES,
    "dispatcher": tuple(one for one in COORDINATOR_CAPABILITIES if one != "submit-job"),
    "maintenance": ("list-jobs", "read-job"),
    "reader": READER_CAPABILITIES,
}


def nomad_policy(role: str, namespace: str) -> str:
    """The Nomad ACL policy (HCL) of a role; empty for `node`, which talks to no Nomad API."""
    if role == "node":
        return ""
    listed = ", ".join(f'"{name}"' for name in CAPABILITIES[role])
    policy = f'namespace "{namespace}" {{\n  capabilities = [{listed}]\n}}\n\nnode {{\n  policy = "read"\n}}\n'
    if role == "coordinator":
        policy += '\n# Only for jobs that mount host volumes:\nhost_volume "*" {\n  policy = "write"\n}\n'
    return policy


def grants(role: str, *, is_home: bool) -> Grants:
    """What a role may do in a datacenter's store, or in the home store.

    A node never replaces a record. After a lost answer it must see whether the record is its own, so it reads them.
    """
    if role == "node":
        return Grants(role, reads=(*NODE_PARTS, CODE), may_list=False, creates=("results/",), uploads=("artifacts/",))
    if role == "reader":
        return Grants(role, reads=("",))
    if role == "maintenance":
        scratch = (SCRATCH, *NODE_PARTS, CODE, *(HOME_MAINTAINED if is_home else ()))
        return Grants(role, reads=("",), scratch=scratch)
    if not is_home:
        return Grants(role, reads=("",), appends=(CODE,), scratch=(SCRATCH,))
    return Grants(role, reads=("",), appends=(*HOME_ONCE, CODE), rewrites=HOME_AGAIN, scratch=(SCRATCH, *HOME_SCRATCH))


def store_policy(
    role: str, store: StoreConfig, home: StoreConfig | None, *, holds_results: bool = True
) -> dict[str, Any] | None:
    """The policy of a role over one store. None where the vendor has none (a folder), or where the role needs no right
    there: a node in a store that is only home. `home` None: the store is a datacenter's."""
    form = backend_of(store.url).policy
    if form is None or (role == "node" and not holds_results):
        return None
    return form.make(store, grants(role, is_home=is_same(store, home)))


def store_documents(
    stores: Iterable[StoreConfig], home: StoreConfig | None, results: Collection[StoreConfig] | None = None
) -> list[dict[str, Any]]:
    """Every role over every store, for `--json`: role, store, kind (`aws`, `gcp`, `azure`, `folder`), policy. `results`:
    the stores of datacenters (None: all are)."""
    return [
        {
            "role": role,
            "store": store.url,
            "kind": _kind(store),
            "policy": store_policy(role, store, home, holds_results=results is None or store in results),
        }
        for role in ROLES
        for store in stores
    ]


def documents(config: Config) -> list[dict[str, Any]]:
    """Every policy of every role, for `--json`: those of Nomad by namespace (HCL), then those of `store_documents`."""
    namespaces = sorted({region.namespace for region in config.regions.values()})
    nomad = [
        {"role": role, "namespace": namespace, "kind": "nomad", "policy": nomad_policy(role, namespace) or None}
        for role in ROLES
        for namespace in namespaces
    ]
    return [*nomad, *store_documents(stores_of(config), config.home, results_stores(config))]


def results_stores(config: Config) -> frozenset[StoreConfig]:
    """The stores of datacenters: all but one that is only home."""
    return frozenset(each.store for region in config.regions.values() for each in region.datacenters.values())


def is_same(store: StoreConfig, home: StoreConfig | None) -> bool:
    """Whether a store is the home store, by URL and endpoint."""
    return home is not None and (store.url, store.endpoint) == (home.url, home.endpoint)


def folder_rights(role: str, *, is_home: bool, holds_results: bool) -> str:
    """What a role needs in a store that is a folder, in words."""
    if role == "reader":
        return "read"
    if role == "node":
        return "write and read below results/ and artifacts/; read below code/" if holds_results else "none"
    if role == "maintenance":
        return "read, write and delete"
    return f"read; write below code/, doctor/{', index/ and runs/, and format.json' if is_home else ''}"


def _kind(store: StoreConfig) -> str:
    backend = backend_of(store.url)
    if backend.policy is not None:
        return backend.policy.kind
    return "folder" if backend.is_folder else "other"


def identity_policy(backend: Backend, role: str, home: StoreConfig, stores: Sequence[StoreConfig]) -> dict[str, Any]:
    """One policy of a role over all stores of this kind, `stores` being those of datacenters; empty where the vendor has
    no such policy. A node gets its own datacenter's stores only, and never the home store, unless they are one."""
    form = backend.policy
    if form is None or form.joined is None:
        return {}
    policies = [form.make(store, grants(role, is_home=False)) for store in stores if backend_of(store.url) == backend]
    if role != "node" and backend_of(home.url) == backend:
        policies.append(form.make(home, grants(role, is_home=True)))
    return form.joined(policies)


def text(config: Config) -> str:
    """All policies, in sections by role, to read and to copy from."""
    return "\n".join(part for role in ROLES for part in _role(role, config))


def _role(role: str, config: Config) -> Iterator[str]:
    yield f"# ── {role}: {_MEANING[role]}\n"
    if role == "node":
        yield "# Nomad: no token. Tasks that publish talk to their store only.\n"
    else:
        for namespace in sorted({region.namespace for region in config.regions.values()}):
            yield f"# Nomad: nomad acl policy apply fedml-{role} {role}.hcl\n\n{nomad_policy(role, namespace)}"
    yield from _of_folders(role, config)
    for backend in dict.fromkeys(backend_of(store.url) for store in stores_of(config)):
        if backend.policy is not None:
            yield from _of_backend(role, config, backend, backend.policy)


def _of_folders(role: str, config: Config) -> Iterator[str]:
    results = results_stores(config)
    for store in stores_of(config):
        if is_folder(store.url):
            rights = folder_rights(role, is_home=is_same(store, config.home), holds_results=store in results)
            yield f"# {store.url}: {rights}\n"


def _of_backend(role: str, config: Config, backend: Backend, form: PolicyForm) -> Iterator[str]:
    """The policies over the stores of one vendor: a store each, or where the vendor joins them, an identity each."""
    results = results_stores(config)
    if form.joined is None:
        for store in stores_of(config):
            policy = store_policy(role, store, config.home, holds_results=store in results)
            if backend_of(store.url) == backend and policy is not None:
                yield f"# {store.url}: {form.usage}\n\n{json.dumps(policy, indent=2)}\n"
        return
    stores = [datacenter.store for region in config.regions.values() for datacenter in region.datacenters.values()]
    if role != "node":
        joined = identity_policy(backend, role, config.home, stores)
        yield _policy_text(backend, joined, f"all {backend.title} stores")
        return
    for store in dict.fromkeys(stores):
        if backend_of(store.url) == backend:
            joined = identity_policy(backend, role, config.home, [store])
            yield _policy_text(backend, joined, f"nodes that publish to {store.url}")


_MEANING = {
    "node": "what a task needs to publish (an identity a datacenter)",
    "coordinator": "plan, deploy, dispatch, watch, cancel, doctor",
    "dispatcher": 'as coordinator, with jobs that stand in Nomad already (deploy = "never"); it stops no attempts',
    "maintenance": "index gc, sync, copy, sign, rebuild; runs prune",
    "reader": "runs list, index list, index get, logs",
}


def _policy_text(backend: Backend, policy: Mapping[str, Any], about: str) -> str:
    return f"# {backend.title} policy for {about}\n\n{json.dumps(policy, indent=2)}\n"
