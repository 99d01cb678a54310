"""Builds regions, their datacenters and stores from their tables, and checks addresses and URLs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from federation.config.dev_state import azure_key_path, token_path
from federation.config.schema_places import DatacenterTable, RegionTable, StoreTable, TLSTable
from federation.config.source import DEV_PREFIX, Source
from jobs.frozen import frozen
from regions.credentials import SecretRef, SecretUnavailable
from regions.model import Datacenter, Price, Region, StoreConfig, TLSFiles
from regions.storage import parse_store_url
from regions.storage.backend import backend_of, own_backends
from regions.storage.emulators import AZURITE_ACCOUNT
from regions.storage.errors import StoreError
from regions.storage.url import folder_url

TLS_FILES = ("ca_cert", "client_cert", "client_key")
TLS_FOLDER = "FEDML_COORDINATOR_TLS"
"""Names, in the environment of a coordinator job, the folder with the TLS files that it was given, each under its key."""


@frozen
class NotUp(SecretRef):
    """Stands for the token of a development region that isn't up. Reading it says so."""

    def read(self) -> str:
        """Raises SecretUnavailable."""
        raise SecretUnavailable("the development federation isn't up", hint="start it with `fedml dev up`")


def build_regions(source: Source) -> dict[str, Region]:
    """All regions, in the file's order. Raises ConfigError, also where there is none, or one Nomad region twice."""
    tables = source.document.regions
    if not tables:
        hint = 'add [regions.NAME] with addresses = ["https://…:4646"]'
        raise source.error("regions", "no region in the file", hint)
    regions = {name: _region(source, name, table, place) for place, (name, table) in enumerate(tables.items())}
    _refuse_twins(source, regions)
    return regions


def build_stores(source: Source, key: str, tables: Sequence[StoreTable]) -> tuple[StoreConfig, ...]:
    """The stores of a list."""
    return tuple(build_store(source, f"{key}[{number}]", table) for number, table in enumerate(tables))


def build_store(source: Source, key: str, table: StoreTable, *, keys: Mapping[str, str] | None = None) -> StoreConfig:
    """One store. Settings beside its URL win over parameters in the URL. `keys`: the keys of settings that the file has
    elsewhere than below `key`."""
    try:
        parsed = parse_store_url(_absolute_url(source, key, table.url))
    except StoreError as error:
        raise source.error(key, error.message, error.hint) from None
    for address in table.former_endpoints or ():
        _check_address(source, f"{key}.former_endpoints", address, "endpoint")
    keys = {name: f"{key}.{name}" for name in table.model_fields_set - {"url"}} | dict(keys or {})
    settings = {name: source.plain(getattr(table, name), own) for name, own in keys.items()}
    return _with_endpoint(source, key, replace(parsed, **settings))


def _region(source: Source, name: str, table: RegionTable, place: int) -> Region:
    key = f"regions.{name}"
    source.checked_name(key, name)
    addresses = tuple(_address(source, f"{key}.addresses", address) for address in table.addresses)
    if not table.datacenters:
        raise source.error(key, "has no datacenter", f"add [{key}.datacenters.dc1] (dc1 is Nomad's default name)")
    return source.value(
        Region,
        table,
        name=name,
        addresses=addresses,
        nomad_region=table.nomad_region or name,
        token=_token(source, name, table, addresses),
        namespace=os.environ.get(table.namespace.env or "") or table.namespace.name,
        order=place if table.order is None else table.order,
        prices=tuple(source.value(Price, price) for price in table.prices),
        further_stores=build_stores(source, f"{key}.further_stores", table.further_stores),
        tls=_tls(source, f"{key}.tls", table.tls),
        datacenters={dc: _datacenter(source, key, dc, each, table.store) for dc, each in table.datacenters.items()},
        variables={each: _variable(source, f"{key}.vars.{each}", value) for each, value in table.vars.items()},
    )


def _token(source: Source, name: str, table: RegionTable, addresses: Sequence[str]) -> SecretRef | None:
    if all(address.startswith(DEV_PREFIX) for address in addresses):
        return NotUp()
    if table.token is None and all(address.startswith(DEV_PREFIX) for address in table.addresses):
        return SecretRef(file=token_path(source.root))
    token: SecretRef | None = source.plain(table.token, f"regions.{name}.token")
    return token


def _datacenter(
    source: Source, region: str, name: str, table: DatacenterTable, default: StoreTable | None
) -> Datacenter:
    key = f"{region}.datacenters.{name}"
    source.checked_name(key, name)
    if table.store is not None:
        beside = {each: getattr(table, each) for each in table.model_fields_set - {"store"}}
        keys = {each: f"{key}.{each}" for each in beside}
        return Datacenter(name, build_store(source, f"{key}.store", table.store.model_copy(update=beside), keys=keys))
    if default is not None:
        return Datacenter(name, build_store(source, f"{region}.store", default))
    hint = f'add store = "s3://bucket/prefix" to it, or to [{region}] for all its datacenters'
    raise source.error(key, "has no store", hint)


def _absolute_url(source: Source, key: str, url: str) -> str:
    """`file://./stores/home` with the project's folder before it. Other URLs stay as they are."""
    if url.startswith(("/", "./", "../", "~")):
        raise source.error(key, f"{url!r} is a path, and a store is a URL", f'did you mean "file://{url}"?')
    if not url.startswith("file://") or url.startswith("file:///"):
        return url
    folder = source.file(unquote(url.removeprefix("file://")))
    return folder_url(Path(os.path.normpath(folder)))


def _with_endpoint(source: Source, key: str, store: StoreConfig) -> StoreConfig:
    """The store with its endpoint checked. `dev:NAME` is replaced where that store runs."""
    if store.endpoint is None:
        return store
    if not store.endpoint.startswith(DEV_PREFIX):
        _check_address(source, key, store.endpoint, "endpoint")
        return store
    return _dev_store(source, key, store, store.endpoint.removeprefix(DEV_PREFIX))


def _dev_store(source: Source, key: str, store: StoreConfig, name: str) -> StoreConfig:
    """A store of `fedml dev up`. Requests to it are unsigned, but for Azurite's."""
    source.check_declared(key, name, "stores", source.document.dev.stores)
    backend, kind = backend_of(store.url), source.document.dev.stores[name].kind
    local = backend.local_server
    if local is None or local.kind != kind:
        scheme = next(
            own.scheme for own in own_backends().values() if own.local_server and own.local_server.kind == kind
        )
        hint = f"write {scheme}://BUCKET, or name a [dev.stores] table of another kind"
        raise source.error(key, f"is a {backend.scheme}:// URL, and dev:{name} is a store of kind {kind}", hint)
    if kind == "azure":
        if not store.url.startswith(f"az://{AZURITE_ACCOUNT}/"):
            raise source.error(key, "isn't of Azurite's account", f"write az://{AZURITE_ACCOUNT}/CONTAINER")
        secret = store.secret_access_key or SecretRef(file=azure_key_path(source.root))
        store = replace(store, secret_access_key=secret)
    return replace(
        store,
        endpoint=_running_at(source, "store", name) or store.endpoint,
        location=store.location or local.location,
        anonymous=kind != "azure" and store.access_key_id is None,
    )


def _address(source: Source, key: str, address: str) -> str:
    if not address.startswith(DEV_PREFIX):
        _check_address(source, key, address, "address")
        return address.rstrip("/")
    name = address.removeprefix(DEV_PREFIX)
    source.check_declared(key, name, "regions", source.document.dev.regions)
    return _running_at(source, "region", name) or address


def _running_at(source: Source, kind: str, name: str) -> str:
    """The address of a server of `fedml dev up`; empty where it isn't up."""
    server = source.dev_state.server(kind, name) if source.dev_state else None
    return server.address if server and server.process else ""


def _check_address(source: Source, key: str, address: str, what: str) -> None:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and (parts.username or parts.password):
        raise source.error(key, f"the {what} holds a user name or password", "credentials don't belong in this file")
    if not good or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise source.error(key, f"{address!r} is not a valid {what}", "write https://host:port, without a path")


def _tls(source: Source, key: str, table: TLSTable) -> TLSFiles:
    if table.client_key and not table.client_cert:
        raise source.error(f"{key}.client_key", "has no client_cert beside it", 'write client_cert = "client.pem"')
    handed_over = os.environ.get(TLS_FOLDER)  # in a coordinator job
    files = {name: getattr(table, name) for name in TLS_FILES}
    if handed_over:
        files = {name: text and str(Path(handed_over) / f"{key}.{name}") for name, text in files.items()}
    return source.value(TLSFiles, table, **{name: source.file(text) if text else None for name, text in files.items()})


def _variable(source: Source, key: str, value: Any) -> object:
    if isinstance(value, (datetime, date, time)):
        raise source.error(key, "HCL has no dates and times", "write it as text, in quotes")
    if isinstance(value, dict):
        return {name: _variable(source, f"{key}.{name}", each) for name, each in value.items()}
    if isinstance(value, list):
        return [_variable(source, key, each) for each in value]
    return value


def _refuse_twins(source: Source, regions: Mapping[str, Region]) -> None:
    """One Nomad region under two names would be counted and dispatched to twice."""
    seen: dict[tuple[str, str], str] = {}
    for region in regions.values():
        for address in region.addresses:
            first = seen.setdefault((region.nomad_region, address), region.name)
            if first != region.name:
                raise source.error(
                    f"regions.{region.name}",
                    f"is the same Nomad region as regions.{first}: {region.nomad_region!r} at {address}",
                    'remove one, or set nomad_region = "…" where Nomad knows it by another name',
                )
