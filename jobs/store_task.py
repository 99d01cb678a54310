"""Adds a task `store` to a group. The task publishes what the group's other tasks made. Pure.

In Nomad's terms: the group's tasks become prestart tasks, and `store` is the main task and the leader. So it starts
only after all of them succeeded. A `poststop` task would also run after a failure and publish what the failed task
left. `store` fetches the archive of `make node-bundle`, whose sha256 the node checks. It needs only the allocation's
folder, which the tasks share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jobs.errors import InvalidSpec
from jobs.frozen import field, frozen

NAME = "store"
ARCHIVE = "local/fedml-publish.pyz"
_BY_HAND = "write the task yourself (docs/how-to/publish.md), or set add_task = false under [publish] in fedml.toml"
_WITH_AN_IMAGE = ("docker", "podman")
_WITHOUT = ("raw_exec", "exec", "exec2")


@frozen
class Archive:
    """URL from which nodes fetch `fedml-publish-VERSION-STORE.pyz`, and its sha256."""

    url: str
    sha256: str


@frozen
class StoreTask:
    """Settings of the added task. `archives` is keyed by the URL scheme of the stores they serve (each serves
    `file`)."""

    path: str
    archives: Mapping[str, Archive] = field(factory=dict)
    driver: str | None = None
    """None: the driver of the group's own tasks."""
    image: str = "python:3.13-slim"
    """For drivers that need one: any image with Python."""
    python: str = "python3"
    cpu_mhz: int = 100
    memory_mb: int = 256


def with_store_task(group: Mapping[str, Any], task: StoreTask, schemes: Collection[str]) -> dict[str, Any]:
    """Adds the task at the end of the group. `schemes` are those of the stores that it may publish to. A group that
    has a task of that name publishes by itself and stays as it is. Raises InvalidSpec where the task can't be
    added."""
    tasks: list[dict[str, Any]] = list(group.get("Tasks") or [])
    name = str(group["Name"])
    if any(one.get("Name") == NAME for one in tasks):
        return dict(group)
    hooked = [one for one in tasks if (one.get("Lifecycle") or {}).get("Hook") in ("prestart", "poststart")]
    mains = [one for one in tasks if not (one.get("Lifecycle") or {}).get("Hook")]
    if hooked:
        raise InvalidSpec(
            f'group "{name}": the task that publishes can\'t be added, since "{hooked[0]["Name"]}" has a lifecycle of its own',
            hint=_BY_HAND,
        )
    if len(mains) > 1 and any(one.get("Leader") for one in mains):
        raise InvalidSpec(
            f'group "{name}": the task that publishes can\'t be added, since one of its {len(mains)} tasks is the leader',
            hint=_BY_HAND,
        )
    before = [{**one, "Leader": False, "Lifecycle": {"Hook": "prestart", "Sidecar": False}} for one in mains]
    after = [one for one in tasks if one not in mains]
    driver = _driver(name, task, mains)
    return {**group, "Tasks": [*before, _store_task(task, driver, _archive(name, task, schemes)), *after]}


def _driver(group: str, task: StoreTask, mains: list[dict[str, Any]]) -> str:
    own = str(mains[-1].get("Driver", "")) if mains else ""
    driver = task.driver or own
    if driver not in (*_WITH_AN_IMAGE, *_WITHOUT):
        raise InvalidSpec(
            f'group "{group}": driver "{driver}" can\'t run the task that publishes',
            hint=f"set driver under [publish] in fedml.toml to one of {', '.join((*_WITHOUT, *_WITH_AN_IMAGE))}",
        )
    return driver


def _archive(group: str, task: StoreTask, schemes: Collection[str]) -> Archive:
    needed = sorted(set(schemes) - {"file"}) or ["file"]
    if len(needed) > 1:
        raise InvalidSpec(
            f'group "{group}": no archive serves {" and ".join(f"{scheme}://" for scheme in needed)} at once',
            hint="leave out some of the job's datacenters, so that a region has stores of one kind",
        )
    found = task.archives.get(needed[0]) or (next(iter(task.archives.values()), None) if needed == ["file"] else None)
    if found is None:
        raise InvalidSpec(
            f'group "{group}": there is no archive for {needed[0]}://',
            hint=f"`make node-bundle` makes it; then name it in fedml.toml:  [publish.archives.{needed[0]}]",
        )
    return found


def _store_task(task: StoreTask, driver: str, archive: Archive) -> dict[str, Any]:
    arguments = ["-I", "${NOMAD_TASK_DIR}/fedml-publish.pyz", f"${{NOMAD_ALLOC_DIR}}/{task.path}"]
    config: dict[str, Any] = {"command": task.python, "args": arguments}
    return {
        "Name": NAME,
        "Driver": driver,
        "Leader": True,
        "Config": {"image": task.image, **config} if driver in _WITH_AN_IMAGE else config,
        "Artifacts": [
            {
                "GetterSource": archive.url,
                "GetterOptions": {"checksum": f"sha256:{archive.sha256}"},
                "GetterMode": "file",
                "RelativeDest": ARCHIVE,
            }
        ],
        "Resources": {"CPU": task.cpu_mhz, "MemoryMB": task.memory_mb},
    }
