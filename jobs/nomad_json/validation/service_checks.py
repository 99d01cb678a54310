"""Checks the health checks of a service. Nomad reports only the first problem of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from jobs.durations import format_duration
from jobs.nomad_json.validation.policies import SECOND
from jobs.nomad_json.validation.problem import Problem, Record, Version, nested, one_of, quoted

ON_UPDATE = ("require_healthy", "ignore_warnings", "ignore")
_HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")
_STATES = ("passing", "warning", "critical")
WITH_PORT = ("grpc", "http", "tcp")


def modes(version: Version) -> tuple[str, ...]:
    return ("host", "driver", "alloc", *(("alloc_ipv6",) if version >= (1, 9, 4) else ()))


def nomad_check(check: Record, version: Version) -> Iterator[Problem]:
    yield from _any_check(check, ("tcp", "http"), version)
    consul_only = "may only be set for Consul service checks"
    restart = check["CheckRestart"]
    if check["Expose"]:
        yield Problem(f"expose {consul_only}", (("expose", None),))
    if check["OnUpdate"] == "ignore_warnings":
        text = "on_update may only be set to ignore_warnings for Consul service checks"
        yield Problem(text, (("on_update", None),))
    if restart and restart["IgnoreWarnings"]:
        text = "ignore_warnings on check_restart only supported for Consul service checks"
        yield Problem(text, (("check_restart", None),))
    if check["AddressMode"] == "driver":
        yield Problem(f"address_mode = driver {consul_only}", (("address_mode", None),))
    if check["Type"] == "http" and check["Method"] and check["Method"].upper() not in _HTTP_METHODS:
        text = f"method type {quoted(check['Method'])} not supported in Nomad http check"
        yield Problem(text, (("method", None),))
    names = {
        "SuccessBeforePassing": "success_before_passing",
        "FailuresBeforeCritical": "failures_before_critical",
        "FailuresBeforeWarning": "failures_before_warning",
        "TLSServerName": "tls_server_name",
        **({"TLSSkipVerify": "tls_skip_verify"} if version < (1, 7) else {}),
    }
    for field, name in names.items():
        value = check.get(field)
        if value and not (isinstance(value, int) and value < 0):
            yield Problem(f"{name} {consul_only}", ((name, None),))


def consul_check(check: Record, version: Version) -> Iterator[Problem]:
    yield from _any_check(check, ("grpc", "tcp", "http", "script"), version)
    if check["Expose"] and check["Type"].lower() not in ("grpc", "http"):
        yield Problem("expose may only be set on HTTP or gRPC checks", (("expose", None),))
    names = {
        "SuccessBeforePassing": "success_before_passing",
        "FailuresBeforeCritical": "failures_before_critical",
        "FailuresBeforeWarning": "failures_before_warning",
    }
    for field, name in names.items():
        if (check.get(field) or 0) > 0 and check["Type"] not in WITH_PORT:
            yield Problem(f"{name} not supported for check of type {quoted(check['Type'])}", ((name, None),))
    if len((check.get("Notes") or "").encode()) > 255:
        yield Problem("notes must not be longer than 255 characters", (("notes", None),))


def _any_check(check: Record, types: tuple[str, ...], version: Version) -> Iterator[Problem]:
    kind = check["Type"].lower()
    if kind not in types:
        yield Problem(f"invalid check type ({quoted(kind)}), must be one of {', '.join(types)}", (("type", None),))
    if kind == "http":
        yield from _path(check["Path"])
    if kind == "script" and not check["Command"]:
        yield Problem("script type must have a valid script path", (("command", None),))
    for field, low in (("Interval", "interval ({}) cannot be lower than 1s"), ("Timeout", "")):
        value, name = check[field], field.lower()
        if value == 0:
            yield Problem(f"missing required value {name}. {field} cannot be less than 1s", ((name, None),))
        elif value < SECOND:
            low = low or "timeout ({}) is lower than required minimum timeout 1s"
            yield Problem(low.format(format_duration(value)), ((name, None),))
    if check["InitialStatus"] not in ("", *_STATES):
        text = f"invalid initial check state ({check['InitialStatus']}), must be one of {one_of(_STATES)} or empty"
        yield Problem(text, (("initial_status", None),))
    mode = check["AddressMode"]
    if mode not in ("", *modes(version)):
        text = f"invalid address_mode {quoted(mode)}" + (" - auto only valid for services" if mode == "auto" else "")
        yield Problem(text, (("address_mode", None),))
    yield from _consequences(check)


def _path(path: str) -> Iterator[Problem]:
    place = (("path", None),)
    if not path:
        yield Problem("http type must have http path", place)
    try:
        is_absolute = bool(urlsplit(path).scheme)
        is_url = not re.search(r"[\x00-\x1f\x7f]|%(?![0-9a-fA-F]{2})", path) and not path.startswith(":")
    except ValueError:
        is_absolute, is_url = False, False
    if not is_url:
        yield Problem("http type must have valid http path", place)
    if is_absolute:
        yield Problem("http type must have relative http path", place)


def _consequences(check: Record) -> Iterator[Problem]:
    """Checks what happens when the check fails."""
    on_update, restart = check["OnUpdate"], check["CheckRestart"]
    place = (("on_update", None),)
    if on_update not in ON_UPDATE:
        yield Problem(f"on_update must be {_alternatives()}; got {quoted(on_update)}", place)
    if not restart:
        return
    if on_update == "ignore":
        yield Problem('on_update value "ignore" is not compatible with check_restart', place)
    if not restart["IgnoreWarnings"] and on_update == "ignore_warnings":
        text = 'on_update value "ignore_warnings" not supported with check_restart ignore_warnings value "false"'
        yield Problem(text, place)
    wrong = []
    if restart["Limit"] < 0:
        wrong.append(Problem(f"limit must be greater than or equal to 0 but found {restart['Limit']}"))
    if (restart["Grace"] or 0) < 0:
        wrong.append(Problem(f"grace period must be greater than or equal to 0 but found {restart['Grace']}"))
    yield from nested(wrong, ("check_restart", None))


def _alternatives() -> str:
    return '"require_healthy", "ignore_warnings", or "ignore"'
