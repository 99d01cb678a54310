"""Checks the workload identities and the secrets of a task."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jobs.nomad_json.validation.problem import Problem, Record, nested, quoted

_IDENTITY_NAME = "^[a-zA-Z0-9-_]{1,128}$"


def _at(text: str, name: str) -> Problem:
    return Problem(text, ((name, None),))


def identities(task: Record) -> Iterator[Problem]:
    own = task.get("Identity")
    if own is not None:
        yield from _named_identity(own, "default", 1)
    for number, identity in enumerate(task.get("Identities") or (), 1 if own is None else 2):
        name = identity.get("Name") or "default"
        if name == "default":
            yield Problem("Duplicate default identities found", (("identity", number),))
        yield from _named_identity(identity, name, number)


def _named_identity(identity: Record, name: str, number: int) -> list[Problem]:
    name = identity.get("Name") or name
    return nested(_identity(identity, name), ("identity", number), heading=f"Identity {quoted(name)} is invalid: ")


def _identity(identity: Record, name: str) -> Iterator[Problem]:
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
        yield _at(f"invalid name {quoted(name)}. Must match regex {_IDENTITY_NAME}", "name")
    for number, audience in enumerate(identity.get("Audience") or (), 1):
        if not audience:
            yield _at(f"an empty string is an invalid audience ({number})", "aud")
    mode, signal = identity.get("ChangeMode") or "", identity.get("ChangeSignal") or ""
    if mode in ("", "noop", "restart") and signal:
        text = f'can only use change_signal={quoted(signal.upper())} with change_mode="signal"'
        yield _at(text, "change_signal")
    elif mode == "signal" and not signal:
        yield _at('change_signal must be specified when using change_mode="signal"', "change_signal")
    elif mode not in ("", "noop", "restart", "signal"):
        yield _at(f"invalid change_mode: {mode}", "change_mode")
    ttl = identity.get("TTL") or 0
    if ttl > 0 and name == "default":
        yield _at("ttl for default identity not yet supported", "ttl")
    if ttl < 0:
        yield _at("ttl must be >= 0", "ttl")
    if identity.get("Filepath") and not identity.get("File"):
        yield _at("file parameter must be true in order to specify filepath", "filepath")


def secrets(task: Record) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, secret in enumerate(task.get("Secrets") or (), 1):
        name, provider = secret.get("Name") or "", secret.get("Provider") or ""
        place = ("secret", name or number)
        if name in seen:
            yield Problem(f"Duplicate secret {quoted(name)} found", (place,))
        seen.add(name)
        if provider == "vault" and task["Vault"] is None:
            yield Problem(f'Secret {quoted(name)} has provider "vault" but no vault block', (place,))
        yield from nested(_secret(secret, name, provider), place, heading=f"Secret {quoted(name)} is invalid: ")


def _secret(secret: Record, name: str, provider: str) -> Iterator[Problem]:
    if not name:
        yield Problem("secret name cannot be empty")
    if not re.fullmatch(r"[a-zA-Z0-9_]{1,128}", name):
        yield Problem("secret name must match regex ^[a-zA-Z0-9_]{1,128}$")
    if not provider:
        yield _at("secret provider cannot be empty", "provider")
    if not secret.get("Path"):
        yield _at("secret path cannot be empty", "path")
    if provider in ("nomad", "vault"):
        if secret.get("Env"):
            yield _at(f"{provider} provider cannot use the env block", "env")
    elif secret.get("Config"):
        yield _at(f"custom plugin provider {provider} cannot use the config block", "config")
