"""Parses Nomad's ACL policies and answers what a token with them may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

_READ = frozenset((
    "csi-list-volume", "csi-read-volume", "list-jobs", "list-scaling-policies", "parse-job", "read-job", "read-job-scaling",
    "read-scaling-policy",
))  # fmt: skip
_WRITE = _READ | frozenset((
    "alloc-exec", "alloc-lifecycle", "csi-mount-volume", "csi-write-volume", "dispatch-job", "read-fs", "read-logs",
    "scale-job", "submit-job", "submit-recommendation",
))  # fmt: skip
_SCALE = frozenset({"list-scaling-policies", "read-job-scaling", "read-scaling-policy", "scale-job"})
_BY_POLICY = {"read": _READ, "write": _WRITE, "scale": _SCALE, "deny": frozenset({"deny"}), "": frozenset()}
_CAPABILITIES = _WRITE | {"deny", "sentinel-override", "alloc-node-exec", "csi-register-plugin"}
_FINER = frozenset((
    "deregister-job", "evaluate-job", "plan-job", "purge-job", "register-job", "revert-job", "stable-job",
    "tag-job-version",
))  # fmt: skip
"""Parts of `submit-job` that later versions grant alone."""
_COARSE = ("agent", "node", "operator", "quota", "plugin")
_NAMED = ("namespace", "host_volume", "node_pool")
_WORDS = ("read", "write", "deny", "list")


class InvalidPolicy(ValueError):
    """A policy's text is not valid HCL or JSON, or contains something unknown."""


class Rights:
    """Rights of one token over all its policies. A `deny` wins over any policy that allows."""

    def __init__(self, policies: Iterable[Mapping[str, Any]], *, is_management: bool = False) -> None:
        self.is_management = is_management
        self._namespaces: dict[str, set[str]] = {}
        self._variables: dict[tuple[str, str], set[str]] = {}
        self._coarse: dict[str, set[str]] = {}
        self._pools: dict[str, set[str]] = {}
        for policy in policies:
            for name, rules in policy.get("namespace", {}).items():
                granted = self._namespaces.setdefault(name, set())
                granted |= _BY_POLICY[rules.get("policy", "")] | set(rules.get("capabilities", ()))
                for path, access in rules.get("variables", {}).get("path", {}).items():
                    self._variables.setdefault((name, path), set()).update(access.get("capabilities", ()))
            for name, rules in policy.get("node_pool", {}).items():
                self._pools.setdefault(name, set()).update((rules.get("policy", ""), *rules.get("capabilities", ())))
            for area in _COARSE:
                if area in policy:
                    self._coarse.setdefault(area, set()).add(policy[area].get("policy", ""))

    def may(self, namespace: str, *capabilities: str) -> bool:
        """Returns whether one of these is granted in the namespace. `*` stands for any namespace."""
        if self.is_management:
            return True
        if namespace == "*":
            return any(self._grants(granted, capabilities) for granted in self._namespaces.values())
        return self._grants(_closest(self._namespaces, namespace), capabilities)

    def may_any(self, namespace: str) -> bool:
        """Returns whether anything is granted there."""
        granted = _closest(self._namespaces, namespace)
        return self.is_management or bool(granted and "deny" not in granted)

    def may_read(self, area: str) -> bool:
        """`agent`, `node`, `operator` …"""
        return self._coarsely(area, {"read", "write"})

    def may_read_pool(self, name: str) -> bool:
        granted = _closest(self._pools, name)
        return self.is_management or ("deny" not in granted and bool(granted & {"read", "write"}))

    def may_write(self, area: str) -> bool:
        return self._coarsely(area, {"write"})

    def may_variable(self, namespace: str, path: str, capability: str) -> bool:
        """Returns whether it may `read`, `write`, `list` or `destroy` a variable. Reading or writing includes
        listing."""
        if self.is_management:
            return True
        patterns = [
            (scope, glob) for scope, glob in self._variables if _matches(namespace, scope) and _matches(path, glob)
        ]
        if not patterns:
            return False
        granted = self._variables[max(patterns, key=lambda pattern: (len(pattern[0]), len(pattern[1])))]
        implied = {"list"} if granted & {"read", "write"} else set()
        return "deny" not in granted and capability in granted | implied

    def _coarsely(self, area: str, wanted: set[str]) -> bool:
        granted = self._coarse.get(area, set())
        return self.is_management or ("deny" not in granted and bool(granted & wanted))

    @staticmethod
    def _grants(granted: set[str], capabilities: tuple[str, ...]) -> bool:
        return "deny" not in granted and any(name in granted for name in capabilities)


NOTHING = Rights(())
MANAGEMENT = Rights((), is_management=True)


def _closest(rules: Mapping[str, set[str]], name: str) -> set[str]:
    """Returns the name's own rules, else those of the glob that differs from it by the fewest characters."""
    if name in rules:
        return rules[name]
    globs = [glob for glob in rules if "*" in glob and _matches(name, glob)]
    if not globs:
        return set()
    return rules[min(globs, key=lambda glob: len(name) - len(glob) + glob.count("*"))]


def _matches(text: str, glob: str) -> bool:
    return fnmatchcase(text, glob.replace("[", "[[]"))


def read_policy(text: str, name: str, *, has_finer: bool = False) -> dict[str, Any]:
    """Parses the policy to JSON: blocks by type, labelled ones by label. `has_finer`: parts of `submit-job` are known.
    Raises InvalidPolicy."""
    try:
        policy = json.loads(text) if text.lstrip().startswith("{") else _from_hcl(text, name)
    except ValueError as error:
        raise InvalidPolicy(f"policy {name}: {error}") from None
    for kind, rules in policy.items():
        if kind in _COARSE:
            _check_word(name, kind, rules.get("policy"))
        elif kind in _NAMED:
            for label, each in rules.items():
                word = each.get("policy", "")
                if word not in _BY_POLICY:
                    raise InvalidPolicy(f"policy {name}: {kind} {label!r} has no policy {word!r}")
                unknown = set(each.get("capabilities", ())) - _CAPABILITIES - (_FINER if has_finer else set())
                if kind == "namespace" and unknown:
                    raise InvalidPolicy(f"policy {name}: no capability {sorted(unknown)[0]!r}")
        else:
            raise InvalidPolicy(f"policy {name}: no rules for {kind!r}")
    return policy


def _check_word(name: str, kind: str, word: object) -> None:
    if word not in _WORDS:
        raise InvalidPolicy(f"policy {name}: {kind} has no policy {word!r}")


def _from_hcl(text: str, name: str) -> dict[str, Any]:
    from jobs.errors import JobError  # the language is loaded only where a policy is declared
    from jobs.hcl.parser import parse_body
    from jobs.hcl.source import Source

    try:
        return _body(parse_body(Source(text, name)))
    except JobError as error:
        raise InvalidPolicy(str(error)) from None


def _body(body: Any) -> dict[str, Any]:
    found: dict[str, Any] = {key: _value(attribute.expression) for key, attribute in body.attributes.items()}
    for block in body.blocks:
        rules = _body(block.body)
        inner = found.setdefault(block.type, {})
        for label, _ in block.labels:
            inner = inner.setdefault(label, {})
        inner.update(rules)
    return found


def _value(expression: Any) -> Any:
    if hasattr(expression, "items"):
        return [_value(item) for item in expression.items]
    if not hasattr(expression, "value"):
        raise InvalidPolicy("only strings and lists of them have a place in a policy")
    return expression.value
