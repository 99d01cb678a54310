"""Builds the development federation from the tables under `[dev]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from federation.config.model import DevConfig, DevNode, DevRegion, DevStore
from federation.config.schema_dev import DevNodeTable, DevRegionTable, DevTokenTable
from federation.config.source import Source
from regions.local import nomad_version
from regions.model import Region


def build_dev(source: Source, regions: Mapping[str, Region]) -> DevConfig | None:
    """The development federation; None where the file declares none. Raises ConfigError."""
    dev = source.document.dev
    if not dev.regions and not dev.stores:
        return None
    return DevConfig(
        namespaces=tuple(source.checked_name("dev.namespaces", name) for name in dev.namespaces),
        policies={name: _policy(source, f"dev.acl.tokens.{name}", name, each) for name, each in dev.acl.tokens.items()},
        regions={name: _region(source, name, table, regions) for name, table in dev.regions.items()},
        stores={
            name: source.value(DevStore, table, name=source.checked_name(f"dev.stores.{name}", name))
            for name, table in dev.stores.items()
        },
    )


def _policy(source: Source, key: str, name: str, table: DevTokenTable) -> str:
    source.checked_name(key, name)
    if table.policy_file is None:
        return table.policy or ""
    file = source.file(table.policy_file)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise source.error(f"{key}.policy_file", f"{file} can't be read: {why}") from None


def _region(source: Source, name: str, table: DevRegionTable, regions: Mapping[str, Region]) -> DevRegion:
    key = f"dev.regions.{name}"
    if name not in regions:
        raise source.error(key, f"there is no [regions.{name}] in the file", f'add it, with addresses = ["dev:{name}"]')
    nodes: list[DevNode] = []
    for each in table.nodes:
        for node_name in _node_names(name, each, len(nodes)):
            if any(node_name == node.name for node in nodes):
                raise source.error(f"{key}.nodes", f"two nodes are named {node_name!r}", "give each its own name")
            nodes.append(_node(source, key, node_name, each, regions[name]))
    return source.value(DevRegion, table, name=name, nodes=tuple(nodes), version=_version(source, key, table.version))


def _version(source: Source, key: str, text: str) -> str:
    """The release that the region answers as. Raises ConfigError for what isn't one or is too old."""
    oldest, *_, newest = nomad_version.REFERENCES
    try:
        if (version := nomad_version.parse(text)) >= oldest:
            return str(version)
        problem = f"{version} is older than {oldest}, the oldest Nomad that an embedded region answers as"
    except ValueError as error:
        problem = str(error)
    raise source.error(f"{key}.version", problem, f"set it to {oldest}, {newest} or a version between")


def _node_names(region: str, table: DevNodeTable, before: int) -> Iterator[str]:
    """The names of a table's nodes, of which there are `count`. `before` is how many nodes the region has already."""
    for number in range(1, table.count + 1):
        if table.name is None:
            yield f"{region}-{before + number}"
        else:
            yield f"{table.name}-{number}" if table.count > 1 else table.name


def _node(source: Source, key: str, name: str, table: DevNodeTable, region: Region) -> DevNode:
    datacenter = table.datacenter or next(iter(region.datacenters))
    if datacenter not in region.datacenters:
        raise source.error(
            f"{key}.nodes",
            f"regions.{region.name} has no datacenter {datacenter!r}",
            f"known here: {', '.join(region.datacenters)}",
        )
    if unknown := [volume for volume in table.read_only_volumes if volume not in table.host_volumes]:
        hint = "name it in host_volumes too, with its folder"
        raise source.error(f"{key}.nodes", f"read_only_volumes has no host volume {unknown[0]!r}", hint)
    return source.value(
        DevNode,
        table,
        name=name,
        datacenter=datacenter,
        host_volumes={volume: source.file(folder) for volume, folder in table.host_volumes.items()},
        devices=tuple(device.model_dump() for device in table.devices),
        read_only_volumes=frozenset(table.read_only_volumes),
    )
