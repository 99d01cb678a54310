"""The checked tables of a `fedml.toml` enter, a `Config` leaves: what concerns several keys at once is checked here.

Raises ConfigError with file, key and what to write instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from federation.config.dev_state import DevState, azure_key_path, token_path
from federation.config.model import Config, CoordinatorJob, DevConfig, DevNode, DevRegion, DevStore
from federation.errors import ConfigError, UsageError
from federation.index.tag_rule import TagRule
from federation.plan import Shares, policy_named
from federation.publish.adopt_pattern import Pattern
from federation.publish.adopt_pattern import parse as parse_pattern
from federation.publish.provenance import without_secrets
from federation.run.user_limits import Patience
from jobs.store_task import Archive, StoreTask
from regions.credentials import SecretRef, SecretUnavailable
from regions.model import Datacenter, Price, Region, StoreConfig, TLSFiles
from regions.storage import parse_store_url
from regions.storage.backend import backend_of, own_backends
from regions.storage.emulators import AZURITE_ACCOUNT
from regions.storage.errors import StoreError
from regions.storage.url import folder_url

if TYPE_CHECKING:
    from federation.config import schema

DEV_PREFIX = "dev:"


@dataclass(frozen=True, slots=True)
class NotUp(SecretRef):
    """In place of the token of a development region that isn't up: whoever wants to talk to it is told so."""

    def read(self) -> str:
        """Raises SecretUnavailable."""
        raise SecretUnavailable("the development federation isn't up", hint="start it with `fedml dev up`")


class Builder:
    """From the checked tables to values, with what concerns several of them."""

    def __init__(self, path: Path, document: schema.Document, state: DevState | None) -> None:
        self.path = path
        self.root = path.parent
        self.document = document
        self.state = state

    def config(self) -> Config:
        federation = self.document.federation
        if not self.document.regions:
            raise self.error(
                "regions", "no region in the file", 'add [regions.NAME] with addresses = ["https://…:4646"]'
            )
        regions = {
            name: self.region(name, table, place) for place, (name, table) in enumerate(self.document.regions.items())
        }
        self.refuse_twins(regions)
        dev = self.dev(regions)
        shares = self.document.shares
        return Config(
            path=self.path,
            name=self.checked_name("federation.name", federation.name)
            if federation.name
            else self.root.resolve().name or "fedml",
            home=self.store("federation.home", federation.home),
            further_stores=self.stores("federation.further_stores", federation.further_stores),
            job=federation.job,
            slots=federation.slots,
            policy=self.policy_name(federation.policy),
            results=federation.results,
            deploy=federation.deploy,
            version_meta=federation.version_meta,
            max_attempts=federation.max_attempts,
            grace_s=federation.grace_s,
            patience=Patience(
                federation.max_failures,
                federation.max_attempts,
                federation.slot_timeout_s,
                federation.pending_timeout_s,
                federation.on_region_lost,
                federation.purge_finished,
            ),
            regions=regions,
            allowed_regions=self.allowed_regions(regions),
            shares=Shares(shares.owners, shares.namespaces),
            dev=dev,
            warnings=self.warnings(),
            adopt=self.adoption(),
            tags={name: self.tag(name, table) for name, table in self.document.tags.items()},
            store_task=self.store_task(),
            hooks={
                event: tuple(command) for event, command in self.document.hooks if command and isinstance(command, list)
            },
            stalled_after_s=self.document.hooks.stalled_after_s,
            coordinator=CoordinatorJob(**dict(self.document.coordinator)),
        )

    def error(self, key: str, text: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {text}", hint=hint)

    def warnings(self) -> tuple[str, ...]:
        ignored = [name for name in ("NOMAD_ADDR", "NOMAD_REGION") if os.environ.get(name)]
        if not ignored:
            return ()
        names = f"{' and '.join(ignored)} of this shell {'are' if len(ignored) > 1 else 'is'}"
        return (f"{names} ignored: regions and their addresses come from {self.path}",)

    def store_task(self) -> StoreTask | None:
        table = self.document.publish
        if not table.add_task:
            return None
        if table.path.startswith("/") or ".." in Path(table.path).parts or not table.path:
            hint = 'a path in the allocation\'s folder, which is shared by its tasks: path = "model"'
            raise self.error("publish.path", f"{table.path!r} is not in the allocation's folder", hint)
        for scheme, one in table.archives.items():
            if without_secrets(one.url) != one.url:
                hint = "it goes into jobspecs as it stands: serve the archive where nodes need no credentials for it"
                raise self.error(f"publish.archives.{scheme}.url", "holds credentials", hint)
        archives = {str(scheme): Archive(one.url, one.sha256) for scheme, one in table.archives.items()}
        rest = table.model_dump(exclude={"add_task", "archives"})
        return StoreTask(archives=archives, **rest)

    def adoption(self) -> dict[str, Pattern]:
        federation = self.document.federation
        found: dict[str, Pattern] = {}
        for name, region in self.document.regions.items():
            key = f"regions.{name}.adopt" if region.adopt else "federation.adopt"
            text = region.adopt or federation.adopt
            if text is None:
                if federation.results == "adopt":
                    hint = 'write adopt = "gs://bucket/{save_path}_v{version}_{alloc_id}.json", as the job names it'
                    raise self.error("federation.adopt", f"is missing, and results is 'adopt' (region {name})", hint)
                continue
            try:
                found[name] = parse_pattern(text)
            except UsageError as error:
                raise self.error(key, str(error), error.hint) from None
        return found

    def tag(self, name: str, table: schema.TagTable) -> TagRule:
        from federation.index.query.syntax import parse
        from federation.index.query.tokens import WhereError
        from federation.index.validation import checked_tag

        try:
            checked_tag(name)
            if table.where is not None:
                parse(table.where)
        except WhereError as error:
            raise self.error(f"tags.{name}.where", error.problem, error.hint) from error
        except UsageError as error:
            raise self.error("tags", str(error), error.hint) from error
        signed_by = self.root / Path(table.signed_by).expanduser() if table.signed_by else None
        return TagRule(table.where or "", tuple(table.authors), table.copies, signed_by)

    def region(self, name: str, table: schema.RegionTable, place: int) -> Region:
        key = f"regions.{name}"
        self.checked_name(key, name)
        addresses = tuple(self.address(f"{key}.addresses", address) for address in table.addresses)
        token = self.secret(table.token)
        if all(address.startswith(DEV_PREFIX) for address in addresses):
            token = NotUp()
        elif token is None and all(address.startswith(DEV_PREFIX) for address in table.addresses):
            token = SecretRef(file=token_path(self.root))
        if not table.datacenters:
            raise self.error(key, "has no datacenter", f"add [{key}.datacenters.dc1] (dc1 is Nomad's default name)")
        return Region(
            name=name,
            addresses=addresses,
            datacenters={dc: self.datacenter(key, dc, each, table.store) for dc, each in table.datacenters.items()},
            nomad_region=table.nomad_region or name,
            token=token,
            namespace=os.environ.get(table.namespace.env or "") or table.namespace.name,
            tls=self.tls(table.tls),
            order=place if table.order is None else table.order,
            weight=table.weight,
            price_per_hour=table.price_per_hour,
            prices=tuple(Price(one.per_hour, one.node_class, one.node_pool, one.device) for one in table.prices),
            minimum=table.minimum,
            cap=table.cap,
            elastic_slots=table.elastic_slots,
            pending_timeout_s=table.pending_timeout_s,
            max_outstanding=table.max_outstanding,
            further_stores=self.stores(f"{key}.further_stores", table.further_stores),
            variables={
                variable: self.variable(f"{key}.vars.{variable}", value) for variable, value in table.vars.items()
            },
        )

    def policy_name(self, name: str) -> str:
        try:
            policy_named(name)
        except UsageError as error:
            raise self.error("federation.policy", error.message, error.hint) from error
        return name

    def allowed_regions(self, regions: Mapping[str, Region]) -> dict[str, frozenset[str]]:
        allowed: dict[str, frozenset[str]] = {}
        for job, table in self.document.jobs.items():
            for name in table.allowed_regions or ():
                if name not in regions:
                    raise self.error(
                        f"jobs.{job}.allowed_regions",
                        f"there is no region {name!r}",
                        f"known here: {', '.join(regions)}",
                    )
            if table.allowed_regions is not None:
                allowed[job] = frozenset(table.allowed_regions)
        return allowed

    def datacenter(
        self, region: str, name: str, table: schema.DatacenterTable, default: schema.StoreTable | None
    ) -> Datacenter:
        key = f"{region}.datacenters.{name}"
        self.checked_name(key, name)
        if table.store is not None:
            beside = {each: getattr(table, each) for each in table.model_fields_set - {"store"}}
            return Datacenter(name, self.store(f"{key}.store", table.store.model_copy(update=beside)))
        if default is not None:
            return Datacenter(name, self.store(f"{region}.store", default))
        hint = f'add store = "s3://bucket/prefix" to it, or to [{region}] for all its datacenters'
        raise self.error(key, "has no store", hint)

    def store(self, key: str, table: schema.StoreTable) -> StoreConfig:
        try:
            parsed = parse_store_url(self.absolute_url(key, table.url))
        except StoreError as error:
            raise self.error(key, error.message, error.hint) from None
        settings = {each: getattr(table, each) for each in table.model_fields_set - {"url"}}
        for reference in {"access_key_id", "secret_access_key"} & settings.keys():
            settings[reference] = self.secret(settings[reference])
        for address in table.former_endpoints:
            self.check_address(f"{key}.former_endpoints", address, "endpoint")
        settings["former_endpoints"] = tuple(table.former_endpoints)
        return self.with_endpoint(key, replace(parsed, **settings))

    def stores(self, key: str, tables: Sequence[schema.StoreTable]) -> tuple[StoreConfig, ...]:
        return tuple(self.store(f"{key}[{number}]", table) for number, table in enumerate(tables))

    def absolute_url(self, key: str, url: str) -> str:
        """`file://./stores/home` with the project's folder before it; anything else as it is."""
        if url.startswith(("/", "./", "../", "~")):
            raise self.error(key, f"{url!r} is a path, and a store is a URL", f'did you mean "file://{url}"?')
        if not url.startswith("file://") or url.startswith("file:///"):
            return url
        folder = self.file(unquote(url.removeprefix("file://")))
        return folder_url(Path(os.path.normpath(folder)))

    def with_endpoint(self, key: str, store: StoreConfig) -> StoreConfig:
        """The store with `dev:NAME` replaced, where that runs, and unsigned requests to it."""
        if store.endpoint is None:
            return store
        if not store.endpoint.startswith(DEV_PREFIX):
            self.check_address(key, store.endpoint, "endpoint")
            return store
        name = store.endpoint.removeprefix(DEV_PREFIX)
        self.check_declared(key, name, "stores", self.document.dev.stores)
        backend, kind = backend_of(store.url), self.document.dev.stores[name].kind
        local = backend.local_server
        if local is None or local.kind != kind:
            scheme = next(
                own.scheme for own in own_backends().values() if own.local_server and own.local_server.kind == kind
            )
            hint = f"write {scheme}://BUCKET, or name a [dev.stores] table of another kind"
            raise self.error(key, f"is a {backend.scheme}:// URL, and dev:{name} is a store of kind {kind}", hint)
        if kind == "azure":
            if not store.url.startswith(f"az://{AZURITE_ACCOUNT}/"):
                raise self.error(key, "isn't of Azurite's account", f"write az://{AZURITE_ACCOUNT}/CONTAINER")
            secret = store.secret_access_key or SecretRef(file=azure_key_path(self.root))
            store = replace(store, secret_access_key=secret)
        server = self.state.server("store", name) if self.state else None
        return replace(
            store,
            endpoint=server.address if server and server.process else store.endpoint,
            location=store.location or local.location,
            anonymous=kind != "azure" and store.access_key_id is None,
        )

    def address(self, key: str, address: str) -> str:
        if not address.startswith(DEV_PREFIX):
            self.check_address(key, address, "address")
            return address.rstrip("/")
        name = address.removeprefix(DEV_PREFIX)
        self.check_declared(key, name, "regions", self.document.dev.regions)
        server = self.state.server("region", name) if self.state else None
        return server.address if server and server.process else address

    def check_declared(self, key: str, name: str, what: str, declared: Mapping[str, object]) -> None:
        if name not in declared:
            known = ", ".join(f"dev:{each}" for each in declared)
            hint = f"known here: {known}" if known else f"add [dev.{what}.{name}]"
            raise self.error(key, f"there is no [dev.{what}.{name}] in the file", hint)

    def check_address(self, key: str, address: str, what: str) -> None:
        try:
            parts = urlsplit(address)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if good and (parts.username or parts.password):
            raise self.error(key, f"the {what} holds a user name or password", "credentials don't belong in this file")
        if not good or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise self.error(key, f"{address!r} is no {what}", "write https://host:port, without a path")

    def secret(self, table: schema.SecretTable | None) -> SecretRef | None:
        if table is None:
            return None
        file = None if table.file is None else self.file(table.file)
        return SecretRef(env=table.env, file=file, command=tuple(table.command) if table.command else None)

    def file(self, text: str) -> Path:
        return self.root.absolute() / Path(text).expanduser()

    def tls(self, table: schema.TLSTable) -> TLSFiles:
        return TLSFiles(
            ca_cert=self.file(table.ca_cert) if table.ca_cert else None,
            client_cert=self.file(table.client_cert) if table.client_cert else None,
            client_key=self.file(table.client_key) if table.client_key else None,
            server_name=table.server_name,
            verify=table.verify,
        )

    def variable(self, key: str, value: Any) -> object:
        if isinstance(value, (datetime, date, time)):
            raise self.error(key, "HCL has no dates and times", "write it as text, in quotes")
        if isinstance(value, dict):
            return {name: self.variable(f"{key}.{name}", each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.variable(key, each) for each in value]
        return value

    def checked_name(self, key: str, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
            raise self.error(
                key, f"{name!r} is no name", "use letters, digits, '.', '_' and '-', a letter or digit first"
            )
        return name

    def refuse_twins(self, regions: Mapping[str, Region]) -> None:
        """One Nomad region under two names would be counted and dispatched to twice."""
        seen: dict[tuple[str, str], str] = {}
        for region in regions.values():
            for address in region.addresses:
                first = seen.setdefault((region.nomad_region, address), region.name)
                if first != region.name:
                    raise self.error(
                        f"regions.{region.name}",
                        f"is the same Nomad region as regions.{first}: {region.nomad_region!r} at {address}",
                        'remove one, or set nomad_region = "…" where Nomad knows it by another name',
                    )

    def dev(self, regions: Mapping[str, Region]) -> DevConfig | None:
        dev = self.document.dev
        if not dev.regions and not dev.stores:
            return None
        return DevConfig(
            namespaces=tuple(self.checked_name("dev.namespaces", name) for name in dev.namespaces),
            policies={name: self.policy(f"dev.acl.tokens.{name}", name, each) for name, each in dev.acl.tokens.items()},
            regions={
                name: DevRegion(name, self.nodes(name, each, regions), each.version, each.heartbeat_grace_s)
                for name, each in dev.regions.items()
            },
            stores={
                name: DevStore(self.checked_name(f"dev.stores.{name}", name), each.kind, tuple(each.buckets))
                for name, each in dev.stores.items()
            },
        )

    def policy(self, key: str, name: str, table: schema.DevTokenTable) -> str:
        self.checked_name(key, name)
        if table.policy_file is None:
            return table.policy or ""
        file = self.file(table.policy_file)
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            raise self.error(f"{key}.policy_file", f"{file} can't be read: {why}") from None

    def nodes(self, region: str, table: schema.DevRegionTable, regions: Mapping[str, Region]) -> tuple[DevNode, ...]:
        key = f"dev.regions.{region}"
        if region not in regions:
            raise self.error(
                key, f"there is no [regions.{region}] in the file", f'add it, with addresses = ["dev:{region}"]'
            )
        datacenters = regions[region].datacenters
        nodes: list[DevNode] = []
        for each in table.nodes:
            datacenter = each.datacenter or next(iter(datacenters))
            if datacenter not in datacenters:
                raise self.error(
                    f"{key}.nodes",
                    f"regions.{region} has no datacenter {datacenter!r}",
                    f"known here: {', '.join(datacenters)}",
                )
            for number in range(each.count):
                name = (
                    f"{region}-{len(nodes) + 1}"
                    if each.name is None
                    else each.name + (f"-{number + 1}" if each.count > 1 else "")
                )
                if unknown := [one for one in each.read_only_volumes if one not in each.host_volumes]:
                    hint = "name it in host_volumes too, with its folder"
                    raise self.error(f"{key}.nodes", f"read_only_volumes has no host volume {unknown[0]!r}", hint)
                if any(name == node.name for node in nodes):
                    raise self.error(f"{key}.nodes", f"two nodes are named {name!r}", "give each its own name")
                nodes.append(
                    DevNode(
                        name,
                        datacenter,
                        each.cpu_mhz,
                        each.memory_mb,
                        tuple(each.drivers),
                        each.node_class,
                        dict(each.meta),
                        {volume: self.file(folder) for volume, folder in each.host_volumes.items()},
                        tuple(device.model_dump() for device in each.devices),
                        frozenset(each.read_only_volumes),
                        each.cores,
                        each.node_pool,
                    )
                )
        return tuple(nodes)
