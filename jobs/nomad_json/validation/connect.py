"""Checks Consul Connect: the blocks inside `connect`, and what they need of their group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import islice
from typing import Any

from jobs.nomad_json.validation.problem import Problem, Record, Version, quoted

_PROTOCOLS = ("tcp", "http", "http2", "grpc")


def connect(block: Record, version: Version) -> Iterator[Problem]:
    """Yields the first problem of a `connect` block: Nomad reports no further one."""
    return islice(_connect(block, version), 1)


def _connect(block: Record, version: Version) -> Iterator[Problem]:
    sidecar, gateway = block["SidecarService"], block["Gateway"]
    proxy = (sidecar or {}).get("Proxy") or {}
    if (transparent := proxy.get("TransparentProxy")) and version >= (1, 8):
        yield from _transparent(transparent)
    if (sidecar is not None) + bool(block["Native"]) + (gateway is not None) != 1:
        text = "Consul Connect must be exclusively native, make use of a sidecar, or represent a Gateway"
        yield Problem(text)
    if gateway is not None:
        yield from (Problem(text, (("gateway", None),)) for text in _gateway(gateway))


def _transparent(block: Record) -> Iterator[Problem]:
    wrong = [
        f"could not parse transparent proxy excluded outbound CIDR as network prefix: netip.ParsePrefix({quoted(cidr)})"
        for cidr in block.get("ExcludeOutboundCIDRs") or ()
        if not _is_network(cidr)
    ]
    for field, uids in (("UID", [block.get("UID")]), ("ExcludeUIDs", block.get("ExcludeUIDs") or [])):
        for uid in filter(None, uids):
            if problem := _uid_problem(uid):
                text = f"transparent proxy block has invalid {field} field: invalid user ID {quoted(uid)}: {problem}"
                wrong.append(text)
    place = (("sidecar_service", None), ("proxy", None), ("transparent_proxy", None))
    if len(wrong) == 1:
        yield Problem(wrong[0], place)
    elif wrong:
        yield Problem("", place, tuple(Problem(text) for text in wrong))


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _uid_problem(text: str) -> str:
    if not re.fullmatch(r"[0-9]+", text):
        return "invalid syntax"
    return "" if len(text) < 40 and int(text) < 2**16 else "value out of range"


def _gateway(block: Record) -> Iterator[str]:
    yield from _proxy(block["Proxy"])
    if block["Ingress"] is not None:
        yield from _ingress(block["Ingress"])
    if block["Terminating"] is not None:
        services = block["Terminating"]["Services"] or []
        if not services:
            yield "Consul Terminating Gateway requires at least one service"
        for service in services:
            yield from _linked(service)
    if sum(block[kind] is not None for kind in ("Ingress", "Terminating", "Mesh")) != 1:
        yield "One Consul Gateway Configuration must be set"


def _proxy(block: Record | None) -> Iterator[str]:
    if block is None:
        return
    if block["EnvoyDNSDiscoveryType"] not in ("", "STRICT_DNS", "LOGICAL_DNS"):
        yield "Consul Gateway Proxy Envoy DNS Discovery type must be STRICT_DNS or LOGICAL_DNS"
    for address in (block["EnvoyGatewayBindAddresses"] or {}).values():
        if not address["Address"]:
            yield "Consul Gateway Bind Address must be set"
        if address["Port"] <= 0 and address["Port"] != -1:
            yield "Consul Gateway Bind Address must set valid Port"


def _ingress(block: Record) -> Iterator[str]:
    if not block["Listeners"]:
        yield "Consul Ingress Gateway requires at least one listener"
    for listener in block["Listeners"] or ():
        if listener["Port"] <= 0:
            yield "Consul Ingress Listener requires valid Port"
        protocol = listener["Protocol"] or "tcp"
        if protocol not in _PROTOCOLS:
            yield f"Consul Ingress Listener requires protocol of {', '.join(_PROTOCOLS)}, got {quoted(protocol)}"
        if not listener["Services"]:
            yield "Consul Ingress Listener requires one or more services"
        for service in listener["Services"] or ():
            yield from _ingress_service(service, protocol)


def _ingress_service(service: Record, protocol: str) -> Iterator[str]:
    if not service["Name"]:
        yield "Consul Ingress Service requires a name"
    if protocol == "tcp":
        if service["Name"] == "*":
            yield 'Consul Ingress Service doesn\'t support wildcard name for "tcp" protocol'
        if service["Hosts"]:
            yield 'Consul Ingress Service doesn\'t support associating hosts to a service for the "tcp" protocol'
    elif service["Name"] == "*" and service["Hosts"]:
        yield 'Consul Ingress Service with a wildcard "*" service name can not also specify hosts'


def _linked(service: Record) -> Iterator[str]:
    if not service["Name"]:
        yield "Consul Linked Service requires Name"
    ca, cert, key, sni = (bool(service[name]) for name in ("CAFile", "CertFile", "KeyFile", "SNI"))
    if (cert or key) and not ca:
        yield "Consul Linked Service TLS requires CAFile"
    if cert != key:
        yield "Consul Linked Service TLS Cert and Key must both be set"
    if sni and not ca:
        yield "Consul Linked Service TLS SNI requires CAFile"


def admission(job: Record, version: Version) -> Iterator[Problem]:
    """Yields the first problem of what Connect needs of its group, and the first of what exposed checks need."""
    groups = job["TaskGroups"] or []
    yield from islice((one for group in groups for one in _linked_group(group, group["Services"] or [], version)), 1)
    yield from islice((one for group in groups for one in _exposed(group, group["Services"] or [], version)), 1)


def _linked_group(group: Record, services: list[Record], version: Version) -> Iterator[Problem]:
    place, name = ("group", group["Name"]), quoted(group["Name"])
    for number, service in enumerate(services, 1):
        block, own = service["Connect"] or {}, service["Name"]
        if block.get("SidecarService") is not None:
            yield from (one.at(place) for one in _network(group, "sidecar", version))
            if own != own.lower():
                text = (
                    f"Consul Connect service name {quoted(own)} in group {name} must not contain uppercase characters"
                )
                yield Problem(text, (place, ("service", number)))
            if group["Name"] != group["Name"].lower():
                text = f"Consul Connect group {name} with service {quoted(own)} must not contain uppercase characters"
                yield Problem(text, (place,))
        elif block.get("Native"):
            yield from (Problem(text, (place, ("service", number))) for text in _native(group, service))
        elif block.get("Gateway") is not None:
            yield from (one.at(place) for one in _network(group, "gateway", version))
    yield from (Problem(text, (place,)) for text in _upstreams(group, services, version))


def _native(group: Record, service: Record) -> Iterator[str]:
    tasks, named = [task["Name"] for task in group["Tasks"] or ()], f"{group['Name']}->{service['Name']}"
    if not service["TaskName"] and len(tasks) != 1:
        yield f"task for Consul Connect Native service {named} is ambiguous and must be set"
    elif service["TaskName"] and service["TaskName"] not in tasks:
        yield f"task {service['TaskName']} named by Consul Connect Native service {named} does not exist"


def _network(group: Record, what: str, version: Version) -> Iterator[Problem]:
    networks, name = group["Networks"] or [], quoted(group["Name"])
    mode = networks[0]["Mode"] if networks else ""
    allows_host, is_new = what == "gateway", version >= (1, 11)
    if len(networks) != 1:
        prefix = f"connect {what}: must have exactly one network for Consul Connect"
        old = f"Consul Connect {what}s require exactly 1 network, found {len(networks)} in group {name}"
        if what == "expose check":
            old = f"group {name} must specify one bridge network for exposing service check(s)"
        yield Problem(f"{prefix}: group {name} has {len(networks)} networks" if is_new else old)
    elif mode != "bridge" and not (allows_host and mode == "host") and not (is_new and mode.startswith("cni/")):
        allowed = '"bridge", "host", or "cni/*"' if allows_host else '"bridge" or "cni/*"'
        old = {
            "sidecar": f"Consul Connect sidecar requires bridge network, found {quoted(mode)} in group {name}",
            "gateway": 'Consul Connect Gateway service requires Task Group with network mode of type "bridge" or "host"',
            "expose check": f"group {name} must use bridge network for exposing service check(s)",
        }[what]
        text = f"connect {what}: invalid network mode for Consul Connect: group {name} uses network mode"
        yield Problem(f"{text} {quoted(mode)}; must be {allowed}" if is_new else old, (("network", 1),))


def _upstreams(group: Record, services: list[Record], version: Version) -> Iterator[str]:
    listeners: dict[str, str] = {}
    blocks = [service["Connect"] for service in services if service["Connect"]]
    proxies: list[Any] = []
    for service in services:
        proxy = ((service["Connect"] or {}).get("SidecarService") or {}).get("Proxy") or {}
        for upstream in proxy.get("Upstreams") or ():
            address, port = upstream["LocalBindAddress"], upstream["LocalBindPort"]
            listener = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            if version >= (1, 8, 1) and upstream["LocalBindSocketPath"]:
                listener = upstream["LocalBindSocketPath"]
            if listener in listeners:
                both = f"{quoted(service['Name'])} and {quoted(listeners[listener])} in group {quoted(group['Name'])}"
                yield f"Consul Connect services {both} using same address for upstreams ({listener})"
            listeners[listener] = service["Name"]
        if proxy.get("TransparentProxy") and version >= (1, 8):
            proxies.append(proxy["TransparentProxy"])
            yield from _beside_network(group, proxy["TransparentProxy"])
    if proxies and len(blocks) > 1:
        yield "Consul Connect transparent proxy requires there is only one connect block"


def _beside_network(group: Record, proxy: Record) -> Iterator[str]:
    networks = group["Networks"] or []
    if any(network["DNS"] for network in networks) and not proxy.get("NoDNS"):
        yield "Consul Connect transparent proxy cannot be used with network.dns unless no_dns=true"
    labels = [port["Label"] for network in networks for port in network["ReservedPorts"] or ()]
    for label in proxy.get("ExcludeInboundPorts") or ():
        if _uid_problem(label) and label not in labels:
            text = (
                f"Consul Connect transparent proxy port {quoted(label)} must be numeric or one of network.port labels"
            )
            yield text


def _exposed(group: Record, services: list[Record], version: Version) -> Iterator[Problem]:
    place = ("group", group["Name"])
    exposed = [(service, check) for service in services for check in service["Checks"] or () if check["Expose"]]
    if exposed:
        yield from (one.at(place) for one in _network(group, "expose check", version))
    for service, check in exposed:
        if (service["Connect"] or {}).get("SidecarService") is None:
            named = f"{group['Name']}->{service['Name']}->{check['Name']}"
            yield Problem(f"exposed service check {named} requires use of sidecar_proxy", (place,))
    for task in group["Tasks"] or ():
        for service in task["Services"] or ():
            for name in [check["Name"] for check in service["Checks"] or () if check["Expose"]]:
                named = f"{group['Name']}[{task['Name']}]->{service['Name']}->{name}"
                text = f"exposed service check {named} is not a task-group service"
                yield Problem(text, (place, ("task", task["Name"])))
