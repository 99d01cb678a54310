"""Builds a `Config` from a checked document. Checks what concerns several keys at once.

Keys that a value takes as they stand are not named here: see `Source.value`. Raises ConfigError with file, key and what to
write instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from federation.config.build_dev import build_dev
from federation.config.build_places import build_regions, build_store, build_stores
from federation.config.dev_state import DevState
from federation.config.model import Config
from federation.config.schema import Document, TagTable
from federation.config.source import Source
from federation.errors import UsageError
from federation.index.query.syntax import parse as parse_where
from federation.index.query.tokens import WhereError
from federation.index.tag_rule import TagRule
from federation.index.validation import checked_tag
from federation.plan import Shares, policy_named
from federation.publish.adopt_pattern import Pattern
from federation.publish.adopt_pattern import parse as parse_pattern
from federation.publish.provenance import without_secrets
from federation.run.user_limits import Patience
from jobs.store_task import Archive, StoreTask
from regions.model import Region


def build(path: Path, document: Document, dev_state: DevState | None) -> Config:
    """The document of the file at `path` as values."""
    source = Source(path, document, dev_state)
    archives = _archives(source)
    federation, hooks = document.federation, document.hooks
    regions = build_regions(source)
    return source.value(
        Config,
        federation,
        path=path,
        name=source.checked_name("federation.name", federation.name) if federation.name else _folder_name(source),
        is_named=bool(federation.name),
        home=build_store(source, "federation.home", federation.home),
        further_stores=build_stores(source, "federation.further_stores", federation.further_stores),
        policy=_policy(source),
        patience=source.value(Patience, federation),
        regions=regions,
        allowed_regions=_allowed_regions(source, regions),
        shares=source.value(Shares, document.shares),
        dev=build_dev(source, regions),
        warnings=_warnings(source),
        adopt=_patterns(source),
        tags={name: _tag(source, name, table) for name, table in document.tags.items()},
        store_task=_store_task(source, archives),
        archives=archives,
        node_python=document.publish.python,
        run=document.run,
        hooks={event: tuple(command) for event, command in hooks if isinstance(command, list)},
        stalled_after_s=hooks.stalled_after_s,
        coordinator=document.coordinator,
    )


def _folder_name(source: Source) -> str:
    return source.root.resolve().name or "fedml"


def _warnings(source: Source) -> tuple[str, ...]:
    ignored = [name for name in ("NOMAD_ADDR", "NOMAD_REGION") if os.environ.get(name)]
    if not ignored:
        return ()
    names = f"{' and '.join(ignored)} of this shell {'are' if len(ignored) > 1 else 'is'}"
    return (f"{names} ignored: regions and their addresses come from {source.path}",)


def _policy(source: Source) -> str:
    name = source.document.federation.policy
    try:
        policy_named(name)
    except UsageError as error:
        raise source.error("federation.policy", error.message, error.hint) from error
    return name


def _allowed_regions(source: Source, regions: Mapping[str, Region]) -> dict[str, frozenset[str]]:
    allowed: dict[str, frozenset[str]] = {}
    for job, table in source.document.jobs.items():
        if unknown := [name for name in table.allowed_regions or () if name not in regions]:
            key = f"jobs.{job}.allowed_regions"
            raise source.error(key, f"there is no region {unknown[0]!r}", f"known here: {', '.join(regions)}")
        if table.allowed_regions is not None:
            allowed[job] = frozenset(table.allowed_regions)
    return allowed


def _patterns(source: Source) -> dict[str, Pattern]:
    """By region: where its jobs write results themselves."""
    federation = source.document.federation
    found: dict[str, Pattern] = {}
    for name, region in source.document.regions.items():
        key = f"regions.{name}.adopt" if region.adopt else "federation.adopt"
        text = region.adopt or federation.adopt
        if text is not None:
            try:
                found[name] = parse_pattern(text)
            except UsageError as error:
                raise source.error(key, str(error), error.hint) from None
        elif federation.results == "adopt":
            hint = 'write adopt = "gs://bucket/{save_path}_v{version}_{alloc_id}.json", as the job names it'
            raise source.error("federation.adopt", f"is missing, and results is 'adopt' (region {name})", hint)
    return found


def _tag(source: Source, name: str, table: TagTable) -> TagRule:
    try:
        checked_tag(name)
        if table.where is not None:
            parse_where(table.where)
    except WhereError as error:
        raise source.error(f"tags.{name}.where", error.problem, error.hint) from error
    except UsageError as error:
        raise source.error("tags", str(error), error.hint) from error
    signed_by = source.root / Path(table.signed_by).expanduser() if table.signed_by else None
    return source.value(TagRule, table, where=table.where or "", signed_by=signed_by)


def _archives(source: Source) -> dict[str, Archive]:
    archives = source.document.publish.archives
    _refuse_credentials(source, "run.uv", source.document.run.uv or "")
    for scheme, archive in archives.items():
        _refuse_credentials(source, f"publish.archives.{scheme}.url", archive.url)
    return {str(scheme): source.value(Archive, archive) for scheme, archive in archives.items()}


def _refuse_credentials(source: Source, key: str, url: str) -> None:
    """Raises ConfigError for the URL of something that nodes fetch."""
    if without_secrets(url) != url:
        hint = "it goes to regions as it stands: serve the file where nodes need no credentials for it"
        raise source.error(key, "holds credentials", hint)


def _store_task(source: Source, archives: Mapping[str, Archive]) -> StoreTask | None:
    table = source.document.publish
    if not table.add_task:
        return None
    if table.path.startswith("/") or ".." in Path(table.path).parts or not table.path:
        hint = 'a path in the allocation\'s folder, which is shared by its tasks: path = "model"'
        raise source.error("publish.path", f"{table.path!r} is not in the allocation's folder", hint)
    return source.value(StoreTask, table, archives=archives)
