"""Functions on network addresses (CIDR)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hcl.functions.function import Function
from jobs.hcl.values import ListValue, NotComputed, ValueProblem, to_string, to_whole_number

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


BITS_MAX = 32
"""By how many bits Nomad extends a prefix at most."""


def _network(prefix: object) -> IPv4Network | IPv6Network:
    import ipaddress

    given = to_string(prefix)
    try:
        _, slash, length = given.partition("/")
        if not (slash and length.isdigit() and "%" not in given):
            raise ValueError
        network = ipaddress.ip_network(given, strict=False)
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise NotComputed("fedml can't compute with IPv4 addresses in IPv6 notation; write the IPv4 address")
        return network
    except ValueError:
        raise ValueProblem(f'"{given[:60]}" is not a valid network such as 10.0.0.0/8') from None


def cidr_host(prefix: object, number: object) -> str:
    network, host = _network(prefix), to_whole_number(number)
    position = host if host >= 0 else network.num_addresses + host
    if not 0 <= position < network.num_addresses:
        raise ValueProblem(f"{network} has no host {host}")
    return str(network.network_address + position)


def cidr_netmask(prefix: object) -> str:
    return str(_network(prefix).netmask)


def cidr_subnet(prefix: object, new_bits: object, number: object) -> str:
    network, bits, position = _network(prefix), to_whole_number(new_bits), to_whole_number(number)
    length = network.prefixlen + bits
    if bits < 0 or (bits <= BITS_MAX and position < 0):
        raise NotComputed(
            "a negative number of bits or of a subnet has no use, and Nomad's versions treat it differently"
        )
    if bits > BITS_MAX or length > network.max_prefixlen:
        raise ValueProblem(f"{network} can't be extended by {bits} bits")
    if position >= 2**bits:
        raise ValueProblem(f"{bits} bits have no room for subnet {position}")
    first = int(network.network_address) + (position << (network.max_prefixlen - length))
    return f"{type(network.network_address)(first)}/{length}"


def cidr_subnets(prefix: object, *new_bits: object) -> ListValue:
    network = _network(prefix)
    at, end = int(network.network_address), int(network.broadcast_address)
    found = ListValue()
    for given in new_bits:
        bits = to_whole_number(given)
        length = network.prefixlen + bits
        if not 1 <= bits <= BITS_MAX or length > network.max_prefixlen:
            raise ValueProblem(f"{network} can't be extended by {bits} bits")
        size = 1 << (network.max_prefixlen - length)
        at = -(-at // size) * size
        if at + size - 1 > end:
            raise ValueProblem(f"{network} has no room for all these subnets")
        found.append(f"{type(network.network_address)(at)}/{length}")
        at += size
    return found


NETWORK_FUNCTIONS = {
    "cidrhost": Function(cidr_host, 2, 2),
    "cidrnetmask": Function(cidr_netmask, 1, 1),
    "cidrsubnet": Function(cidr_subnet, 3, 3),
    "cidrsubnets": Function(cidr_subnets, 1, None),
}
