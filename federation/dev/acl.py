"""A region of real Nomad with ACLs enters; its management token is in the project's token file when the call returns."""

from __future__ import annotations

import os
from pathlib import Path

from federation.dev import servers
from federation.dev.state import Server
from federation.errors import DevError


def bootstrap(server: Server, token_file: Path) -> None:
    """Make the first token, once: where the one in the file is known already, nothing is done. Raises DevError."""
    if servers.ask(server, "/v1/acl/token/self", token_file.read_text().strip()):
        return
    made = servers.ask(server, "/v1/acl/bootstrap", method="POST")
    if not made:
        raise DevError(
            f"region {server.name} has ACLs, and {token_file} isn't their token",
            hint="`fedml dev down --purge`, then `fedml dev up --engine nomad --acl`, begins anew",
        )
    beside = token_file.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{made['SecretID']}\n")
    beside.replace(token_file)
