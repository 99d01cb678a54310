"""Prints the least rights that each role needs over stores, in each vendor's own JSON. Pure; fedml applies none of it.

The roles and their policies are those of `federation.checks.doctor.roles`, so that `fedml doctor --policy` says the same.
`node` creates results and artifacts and reads them back. `coordinator` and `dispatcher` read them and write the home store
(they never replace an entry). `maintenance` writes and deletes in all stores. `reader` reads. A coordinator may also write
and delete under `doctor/`, for `fedml doctor` and
`fedml stores check`.

The JSON holds names to fill in where fedml can't know the value: `SERVICE_ACCOUNT`, `SUBSCRIPTION`, `RESOURCE_GROUP`,
`PRINCIPAL`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

from federation.checks.doctor.roles import ROLES, folder_rights, is_same, store_policy
from regions.model import StoreConfig
from regions.storage.backend import backend_of


def text(
    stores: Sequence[StoreConfig], home: StoreConfig | None, results: Collection[StoreConfig] | None = None
) -> str:
    """All policies, in sections by role, to read and to copy from. `results`: the stores of datacenters (None: all are)."""
    return "\n".join(line for role in ROLES for line in _section(role, stores, home, results))


def _section(
    role: str, stores: Sequence[StoreConfig], home: StoreConfig | None, results: Collection[StoreConfig] | None
) -> Iterator[str]:
    yield f"# ── {role}\n"
    for store in stores:
        holds_results = results is None or store in results
        policy = store_policy(role, store, home, holds_results=holds_results)
        form = backend_of(store.url).policy
        if policy is not None and form is not None:
            yield f"# {store.url}: {form.usage}\n{json.dumps(policy, indent=2)}\n"
        else:
            rights = "none" if form else folder_rights(role, is_home=is_same(store, home), holds_results=holds_results)
            yield f"# {store.url}: {rights}\n"
