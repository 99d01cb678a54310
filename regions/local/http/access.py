"""Authenticates requests: finds the token of a request and its rights, or refuses it as Nomad does."""

from __future__ import annotations

import re

from regions.local.config import RegionConfig
from regions.local.http.messages import Failure, Request
from regions.local.http.rights import MANAGEMENT, NOTHING, Rights, read_policy
from regions.local.nomad_version import FINER_RIGHTS, UNDATED
from regions.local.state.snapshot import Record

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NO_TOKEN_NEEDED = ("/v1/vars", "/v1/namespaces", "/v1/node/pools")
"""Lists that are empty without a token."""


class Tokens:
    """All tokens of a region: its own, which may do everything, and those with policies. Raises InvalidPolicy."""

    def __init__(self, config: RegionConfig) -> None:
        self._is_newer = config.answers_as >= UNDATED
        has_finer = config.answers_as >= FINER_RIGHTS
        self._known: list[tuple[bytes, Record, Rights]] = [
            (config.token.encode(), _record("Bootstrap Token", config.token, None), MANAGEMENT)
        ]
        for number, declared in enumerate(config.tokens, start=1):
            policies = [read_policy(text, name, has_finer=has_finer) for name, text in declared.policies.items()]
            record = _record(declared.name, declared.secret, sorted(declared.policies), number)
            self._known.append((declared.secret.encode(), record, Rights(policies)))

    def authenticate(self, request: Request) -> None:
        """Sets the request's token and rights. Takes the same time for every secret. Raises Failure."""
        import hmac  # loaded on first use, so that start-up is quick

        secret = request.headers.get("x-nomad-token", "")
        if not secret:
            scheme, _, credential = request.headers.get("authorization", "").partition(" ")
            secret = credential.strip() if scheme.lower() == "bearer" else ""
        is_found = False
        for known, record, rights in self._known:
            if hmac.compare_digest(secret.encode(), known):
                is_found, request.token, request.rights = True, record, rights
        if is_found:
            return
        if not secret and request.path in _NO_TOKEN_NEEDED:
            request.rights = NOTHING
        elif not secret and request.path == _SELF and self._is_newer:
            request.token = _ANONYMOUS
        else:
            raise self._refusal(request.path, secret)

    def _refusal(self, path: str, secret: str) -> Failure:
        """Returns the refusal of an unknown or missing token. Only two paths distinguish them."""
        denied = Failure(403, "Permission denied")
        if path == _SELF and not secret:
            return Failure(500, "acl token lookup failed: missing secret id")
        if path not in (_SELF, "/v1/agent/self"):
            is_bare_stream = path == "/v1/event/stream" and not secret
            return Failure(500, denied.message) if is_bare_stream else denied
        if not secret:
            return denied
        if _UUID.fullmatch(secret):
            if self._is_newer:
                return denied
            return Failure(404 if path == _SELF else 403, "ACL token not found")
        if self._is_newer:  # taken for a workload identity
            has_parts = secret.count(".") == 2
            why = "illegal base64 data at input byte 0" if has_parts else _NOT_THREE_PARTS
            prefix = "" if path == _SELF else "ACL token not found or invalid workload identity: "
            return Failure(500, f"{prefix}failed to parse signed token: {why}")
        prefix = "" if path == _SELF else "failed to resolve ACL token: "
        return Failure(500, f"{prefix}acl token lookup failed: index error: UUID must be 36 characters")


_SELF = "/v1/acl/token/self"
_NOT_THREE_PARTS = "go-jose/go-jose: compact JWS format must have three parts"


def _record(name: str, secret: str, policies: list[str] | None, number: int = 0) -> Record:
    return {
        "AccessorID": f"00000000-0000-0000-{number:04d}-000000000fed",
        "CreateIndex": 1,
        "CreateTime": "1970-01-01T00:00:00Z",
        "ExpirationTTL": "",
        "ExpirationTime": None,
        "Global": True,
        "Hash": None,
        "ModifyIndex": 1,
        "Name": name,
        "Policies": policies,
        "Roles": None,
        "SecretID": secret,
        "Type": "management" if policies is None else "client",
    }


_ANONYMOUS = {
    **_record("Anonymous Token", "", ["anonymous"]),
    "AccessorID": "anonymous",
    "CreateIndex": 0,
    "CreateTime": "0001-01-01T00:00:00Z",
    "Global": False,
    "ModifyIndex": 0,
}
