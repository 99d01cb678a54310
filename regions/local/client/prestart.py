"""Prepares a task for its start: folder, payload, templates and artifacts.

The steps are Nomad's prestart hooks in its order. A restart of the task doesn't repeat the steps that run once.
"""

from __future__ import annotations

import base64
import posixpath
from pathlib import Path
from typing import Any

from regions.local.client import alloc_dir, events
from regions.local.client.task_env import TaskEnv
from regions.local.drivers.sandbox import Mount


class PrestartFailed(Exception):
    """The task can't be started this time.

    `event` says why. `recoverable`: its restart policy may try again. `kills`: the task is over in any case. `waits`:
    the start is to be tried again soon.
    """

    def __init__(
        self, event: dict[str, Any], *, recoverable: bool = False, kills: bool = False, waits: bool = False
    ) -> None:
        super().__init__(event["DisplayMessage"])
        self.event = event
        self.recoverable = recoverable
        self.kills = kills
        self.waits = waits


class Prestart:
    """What was prepared for one task so far. `template_env`: variables from rendered templates."""

    __slots__ = ("_alloc_dir", "_fetched", "_group", "_payload", "_rendered", "_set_up", "_task", "template_env")

    def __init__(self, alloc: dict[str, Any], job: dict[str, Any], task: dict[str, Any], folder: Path) -> None:
        self._task = task
        self._alloc_dir = folder
        self._group = next(g for g in job["TaskGroups"] if g["Name"] == alloc["TaskGroup"])
        self._payload: str | None = job.get("Payload")
        self._set_up = False
        self._rendered = False
        self._fetched: set[int] = set()
        self.template_env: dict[str, str] = {}

    @property
    def is_set_up(self) -> bool:
        """Whether the task's folder and payload are there."""
        return self._set_up

    @property
    def must_fetch(self) -> bool:
        """Whether artifacts are missing. `fetch` is slow and runs on a worker thread."""
        return len(self._fetched) < len(self._task.get("Artifacts") or [])

    @property
    def must_render(self) -> bool:
        """Whether there are templates to render: once, or at each start where the restart policy says so."""
        again = bool((self._task.get("RestartPolicy") or {}).get("RenderTemplates"))
        return bool(self._task.get("Templates")) and (again or not self._rendered)

    def resume(self) -> None:
        """Resumes a task that was started before the region ended: folder, payload and artifacts are there."""
        self._set_up = True
        self._fetched = set(range(len(self._task.get("Artifacts") or [])))

    def set_up(self) -> None:
        """Creates the folder and writes the dispatch payload. Raises PrestartFailed, OSError."""
        alloc_dir.create_task(self._alloc_dir, self._task["Name"])
        name = (self._task.get("DispatchPayload") or {}).get("File")
        if self._payload and name:
            path = self._alloc_dir / self._task["Name"] / "local" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(self._payload))
            path.chmod(0o755)
        self._set_up = True

    def volume_mounts(self, node: dict[str, Any], *, is_sandboxed: bool) -> list[Mount]:
        """Returns the host volumes that the task mounts. Raises PrestartFailed where its driver can't mount any."""
        mounts = []
        for mount in self._task.get("VolumeMounts") or []:
            volume = (self._group.get("Volumes") or {}).get(mount["Volume"]) or {}
            if volume.get("Type") != "host":
                continue
            if not is_sandboxed:
                text = (
                    f"volumes: task driver {events.go_quote(self._task['Driver'])} for "
                    f"{events.go_quote(self._task['Name'])} does not support host volumes"
                )
                raise PrestartFailed(events.hook_failed(text))
            host = node["HostVolumes"][volume["Source"]]
            is_read_only = host["ReadOnly"] or volume["ReadOnly"] or mount["ReadOnly"]
            mounts.append(Mount(host["Path"], posixpath.join("/", mount["Destination"]), is_read_only))
        return mounts

    def fetch(self, env: TaskEnv) -> None:
        """Fetches the missing artifacts. Raises PrestartFailed after all were tried."""
        from regions.local.client import artifact  # few tasks have any

        failed: artifact.ArtifactFailed | None = None
        for number, wanted in enumerate(self._task.get("Artifacts") or []):
            if number not in self._fetched:
                try:
                    artifact.fetch(wanted, env)
                    self._fetched.add(number)
                except artifact.ArtifactFailed as error:
                    failed = error
        if failed:
            raise PrestartFailed(events.artifact_failed(str(failed)), recoverable=failed.recoverable)

    def render(self, env: TaskEnv) -> None:
        """Renders the templates' files and variables. Raises PrestartFailed."""
        from regions.local.client import template  # few tasks have any

        try:
            self.template_env = template.render_all(self._task["Templates"], env)
        except template.TemplateWaits as error:
            raise PrestartFailed(events.template_waits(str(error)), waits=True) from error
        except template.TemplateRefused as error:
            raise PrestartFailed(events.hook_failed(f"template: {error}")) from error
        except (template.TemplateFailed, OSError, ValueError, LookupError, TypeError) as error:
            text = str(error) if isinstance(error, template.TemplateFailed) else f"Template failed: {error}"
            raise PrestartFailed(events.killing_failed(text), kills=True) from error
        self._rendered = True
