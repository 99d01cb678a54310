"""Authenticates requests: finds the token of a request and its rights, or refuses it as Nomad does."""

from __future__ import annotations

from regions.local.config import RegionConfig
from regions.local.http.messages import Failure, Request
from regions.local.http.rights import MANAGEMENT, Rights, read_policy
from regions.local.state.snapshot import Record


class Tokens:
    """All tokens of a region: its own, which may do everything, and those with policies. Raises InvalidPolicy."""

    def __init__(self, config: RegionConfig) -> None:
        self._known: list[tuple[bytes, Record, Rights]] = [
            (config.token.encode(), _record("Bootstrap Token", config.token, None), MANAGEMENT)
        ]
        for number, declared in enumerate(config.tokens, start=1):
            policies = [read_policy(text, name) for name, text in declared.policies.items()]
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
        if request.path == "/v1/acl/token/self":
            if secret:
                raise Failure(404, "ACL token not found")
            raise Failure(500, "acl token lookup failed: missing secret id")
        # Only the agent's own endpoints distinguish an unknown token from a missing one.
        is_told = secret and request.path.startswith("/v1/agent/")
        raise Failure(403, "ACL token not found" if is_told else "Permission denied")


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
