"""Puts the code of a run, and the program that runs it, into each store from which a node of the run may fetch them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from federation.app import App, PreparedJob
from federation.code.pack import PackedCode
from federation.code.upload import fetch_packed, put_code
from federation.task.node_program import NodeProgram, put_program
from federation.text import counted
from federation.workflows.request import CodeRequest
from jobs.errors import FedmlError
from regions.storage.store import Store

_T = TypeVar("_T")


def pack_of(app: App, code: CodeRequest) -> PackedCode:
    """The pack of a request: its own, else (`found_pack`) what an earlier run has put into stores."""
    return code.packed or found_pack(app, code.kept.sha256)


def found_pack(app: App, sha256: str) -> PackedCode:
    """The pack of code that an earlier run has put into stores, verified: a new run may use other stores. Raises the first
    store's error where none has it."""
    stores = app.result_stores()
    places = [partial(stores.of, name) for name in stores.names]
    return from_a_store(places, lambda store: fetch_packed(store, sha256, app.config.cache_dir))


def from_a_store(places: Sequence[Callable[[], Store]], use: Callable[[Store], _T]) -> _T:
    """What `use` makes of the first of these stores that has the code. Raises the first one's error where none has it."""
    failure = None
    for place in places:
        try:
            return use(place())
        except FedmlError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def put_into_stores(
    app: App, prepared: PreparedJob, regions: Sequence[str], packed: PackedCode | None, tell: Callable[[str], None]
) -> None:
    """Puts the program and the code (None: it is there) into the stores of these regions' datacenters, and says whether the
    code was there. Raises StoreError; what is written by then is used by the next run of the same code."""
    stores: dict[str, Store] = {}
    for name in regions:
        region, rendered = app.config.regions[name], prepared.rendered[name]
        if isinstance(rendered, FedmlError):
            continue
        own = [app.store(region.datacenters[datacenter].store) for datacenter in rendered["Datacenters"]]
        program = app.node_program(region)
        if isinstance(program, NodeProgram):
            put_program(program, own)
        stores |= {store.url: store for store in own}
    if packed is None:
        return
    found = put_code(stores.values(), packed)
    there, count = sum(found.values()), counted(len(found), "store")
    if there == len(found):
        tell(f"Code {packed.sha256[:12]} is in {count} already")
    else:
        tell(f"Code {packed.sha256[:12]} put into {count}" + (f", {there} of which had it" if there else ""))


def put_into_late_stores(
    app: App, prepared: PreparedJob, late: Sequence[str], packed: PackedCode | None, tell: Callable[[str], None]
) -> tuple[str, ...]:
    """Does the same for regions that join the run when they answer. Returns those whose stores have the code; says of the
    others why the run goes on without them."""
    joining = []
    for name in late:
        try:
            put_into_stores(app, prepared, [name], packed, lambda line: None)
        except FedmlError as error:
            tell(f"Left out: {name}: no answer yet, and the code can't be put into its store: {error}")
        else:
            joining.append(name)
    return tuple(joining)
