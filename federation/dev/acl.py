"""Creates the declared tokens, policies and namespaces in a region of real Nomad.

Real Nomad makes the secrets. They are written to the files from which embedded regions read theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from federation.config.dev_state import Server, client_token_path, token_path
from federation.dev import servers
from federation.errors import DevError


def bootstrap(server: Server, root: Path) -> None:
    """Makes the management token once. Where the one in the file is known already, nothing is done. Raises DevError."""
    path = token_path(root)
    if servers.ask(server, "/v1/acl/token/self", path.read_text().strip()):
        return
    made = servers.ask(server, "/v1/acl/bootstrap", method="POST")
    if not made:
        raise DevError(
            f"region {server.name} has ACLs, and {path} doesn't hold their token",
            hint="`fedml dev down --purge`, then `fedml dev up --engine nomad --acl`, begins anew",
        )
    _write(path, made["SecretID"])


def apply(server: Server, root: Path, policies: Mapping[str, str]) -> None:
    """Writes each policy as declared, and a token for it that all regions know. Raises DevError for what Nomad refuses."""
    token = token_path(root).read_text().strip()
    for name, text in policies.items():
        refused = servers.refusal(server, f"/v1/acl/policy/{name}", token, {"Name": name, "Rules": text})
        if refused:
            raise DevError(
                f"Nomad refuses the policy of dev.acl.tokens.{name}: {refused}", hint="mend it in fedml.toml"
            )
        if not servers.ask(server, "/v1/acl/token/self", read(root, name)):
            wanted = {"Name": name, "Type": "client", "Policies": [name], "Global": True}
            made = servers.ask(server, "/v1/acl/token", token, method="POST", body=wanted)
            if not made:
                raise DevError(f"Nomad makes no token for dev.acl.tokens.{name}", hint="see `fedml dev status`")
            _write(client_token_path(root, name), made["SecretID"])


def make_namespaces(server: Server, names: Iterable[str], token: str) -> None:
    """Makes namespaces in the first region, from which Nomad copies them to the others. Raises DevError."""
    for name in names:
        if refused := servers.refusal(server, f"/v1/namespace/{name}", token, {"Name": name}):
            raise DevError(f"Nomad refuses the namespace {name}: {refused}", hint="mend dev.namespaces in fedml.toml")


def read(root: Path, name: str) -> str:
    """Reads the secret of the token of that name."""
    return client_token_path(root, name).read_text().strip()


def _write(path: Path, secret: str) -> None:
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{secret}\n")
    beside.replace(path)
