"""Looks for everything that is wrong with the index and the stores of its results (`fedml index verify`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from federation.app import App
from federation.errors import IndexCorrupt, IndexLost
from federation.index.maintenance.verify import Verified
from federation.index.maintenance.verify import verify as verify_index
from federation.workflows.evidence import Evidence
from federation.workflows.verify_runs import run_problems
from regions.storage.errors import IntegrityError


def verify(
    app: App,
    *,
    deep: bool = False,
    head: str = "",
    with_signatures: bool = False,
    trust: Path | None = None,
    allow: Sequence[str] = (),
) -> tuple[Verified, int]:
    """(what was found, how many signatures were checked). Signatures are checked where `with_signatures` or `trust` (a file
    of public keys) asks for it; with `trust`, a signature of another key is a problem."""
    stores = app.result_stores(allow)
    try:
        remembered = app.index.remembered()
    except (IndexCorrupt, IntegrityError):  # a torn format.json, which is among the problems
        remembered = {}
    refuse = Evidence(app).refusal
    found = verify_index(app.home, stores.of, stores.names, deep=deep, head=head, remembered=remembered, refuse=refuse)
    with suppress(
        IndexCorrupt, IndexLost, IntegrityError
    ):  # what keeps the index from being asked is among the problems
        found = replace(found, problems=(*found.problems, *run_problems(app)))
    if not (with_signatures or trust):
        return found, 0
    from federation.index.maintenance.signing import check_signatures
    from federation.index.signatures import read_public_keys

    trusted = read_public_keys(trust) if trust else frozenset[str]()
    signed, wrong = check_signatures(app.index, stores.of, trusted)
    return replace(found, problems=(*found.problems, *wrong)), signed
