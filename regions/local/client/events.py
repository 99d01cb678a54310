"""Builds Nomad's TaskEvent JSON with the sentence that people read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from jobs.durations import format_duration

MAX_EVENTS = 10  # a task keeps its last ten, as Nomad does

_TEXTS = (
    "DownloadError", "DriverError", "DriverMessage", "FailedSibling", "GenericSource", "KillError", "KillReason", "Message",
    "RestartReason", "SetupError", "TaskSignal", "TaskSignalReason", "ValidationError", "VaultError",
)  # fmt: skip
_NUMBERS = ("DiskLimit", "ExitCode", "KillTimeout", "Signal", "StartDelay")
_BLANK: dict[str, Any] = dict.fromkeys(_TEXTS, "") | dict.fromkeys(_NUMBERS, 0) | {"FailsTask": False}


def _event(kind: str, display: str, details: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    own = {"Type": kind, "Time": time.time_ns(), "DisplayMessage": display, "Details": details or {}}
    return _BLANK | fields | own


def received() -> dict[str, Any]:
    return _event("Received", "Task received by client")


def setup() -> dict[str, Any]:
    message = "Building Task Directory"
    return _event("Task Setup", message, {"message": message}, Message=message)


def started() -> dict[str, Any]:
    return _event("Started", "Task started by client")


def terminated(exit_code: int, signal: int, message: str = "", *, is_oom: bool = False) -> dict[str, Any]:
    parts = [f"Exit Code: {exit_code}"]
    details = {"exit_code": str(exit_code), "signal": str(signal), "oom_killed": "true" if is_oom else "false"}
    if signal:
        parts.append(f"Signal: {signal}")
    if message:
        parts.append("Exit Message: " + go_quote(message))
        details["exit_message"] = message
    return _event("Terminated", ", ".join(parts), details, ExitCode=exit_code, Signal=signal, Message=message)


def restarting(delay_ns: int, reason: str) -> dict[str, Any]:
    text = f"Task restarting in {format_duration(delay_ns)}"
    if reason and reason != "Restart within policy":
        text = f"{reason} - {text}"
    details = {"restart_reason": reason, "start_delay": str(delay_ns)}
    return _event("Restarting", text, details, RestartReason=reason, StartDelay=delay_ns)


def not_restarting(reason: str) -> dict[str, Any]:
    details = {"restart_reason": reason, "fails_task": "true"}
    return _event("Not Restarting", reason, details, RestartReason=reason, FailsTask=True)


def restart_signaled(reason: str) -> dict[str, Any]:
    return _event("Restart Signaled", reason, {"restart_reason": reason}, RestartReason=reason)


def killing(timeout_ns: int) -> dict[str, Any]:
    timeout = format_duration(timeout_ns)
    text = f"Sent interrupt. Waiting {timeout} before force killing" if timeout_ns else "Sent interrupt"
    return _event("Killing", text, {"kill_timeout": timeout}, KillTimeout=timeout_ns)


TIMED_OUT = "allocation exceeded max_run_duration"


def timed_out(timeout_ns: int) -> dict[str, Any]:
    """Event of a kill because the group's `max_run_duration` is over."""
    return _event("Killing", TIMED_OUT, {"kill_timeout": format_duration(timeout_ns)}, KillTimeout=timeout_ns)


def shutdown_delay(delay_ns: int) -> dict[str, Any]:
    text = f"Waiting for shutdown_delay of {format_duration(delay_ns)} before killing the task."
    return _event("Waiting for shutdown delay", text)


def killing_failed(message: str) -> dict[str, Any]:
    """Event of a kill that fails the task, with a given reason (a template that can't be rendered)."""
    return _event("Killing", message, {"fails_task": "true"}, FailsTask=True)


def killed() -> dict[str, Any]:
    return _event("Killed", "Task successfully killed")


def sibling_failed(task: str) -> dict[str, Any]:
    text = f"Task's sibling {go_quote(task)} failed"
    return _event("Sibling Task Failed", text, {"failed_sibling": task}, FailedSibling=task)


def leader_dead() -> dict[str, Any]:
    return _event("Leader Task Dead", "Leader Task in Group dead")


def main_dead() -> dict[str, Any]:
    return _event("Main Tasks Dead", "Main tasks in the group died")


def driver_failure(error: str) -> dict[str, Any]:
    return _event("Driver Failure", error, {"driver_error": error}, DriverError=error)


def failed_validation(errors: Sequence[str]) -> dict[str, Any]:
    lines = ["failed to parse config: ", *errors]
    error = f"{len(lines)} errors occurred:\n\t* " + "\n\t* ".join(lines) + "\n\n"
    return _event("Failed Validation", error, {"validation_error": error}, ValidationError=error)


def hook_failed(message: str) -> dict[str, Any]:
    return _event("Task hook failed", message, {"message": message}, Message=message)


def template_waits(text: str) -> dict[str, Any]:
    return _event("Template", text)


def downloading_artifacts() -> dict[str, Any]:
    return _event("Downloading Artifacts", "Client is downloading artifacts")


def artifact_failed(error: str) -> dict[str, Any]:
    return _event("Failed Artifact Download", error, {"download_error": error}, DownloadError=error)


def failed_restoring() -> dict[str, Any]:
    return _event("Failed Restoring Task", "failed to restore task; will not run until server is contacted")


def go_quote(text: str) -> str:
    """Quotes a string as Go's %q does (for printable text)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
