from __future__ import annotations

import pytest

from regions.local.scheduler.constraints import describe, satisfied
from regions.local.state.snapshot import Record

_NODE: Record = {
    "ID": "id-1",
    "Name": "us-1",
    "Datacenter": "dc1",
    "NodeClass": "gpu",
    "NodePool": "default",
    "Attributes": {"kernel.name": "linux", "cpu.numcores": "8", "nomad.version": "1.6.3"},
    "Meta": {"tags": "a,b, c", "rack": "r10"},
}


@pytest.mark.parametrize(
    ("left", "operand", "right", "holds"),
    [
        ("${attr.kernel.name}", "=", "linux", True),
        ("${attr.kernel.name}", "!=", "linux", False),
        ("${attr.nothing}", "!=", "linux", True),
        ("${attr.nothing}", "=", "linux", False),
        ("${attr.cpu.numcores}", ">=", "8", True),
        ("${attr.cpu.numcores}", "<", "10", True),
        ("${meta.rack}", "<", "r2", True),
        ("${meta.rack}", "is_set", "", True),
        ("${meta.nothing}", "is_not_set", "", True),
        ("${meta.tags}", "set_contains", "a,c", True),
        ("${meta.tags}", "set_contains_all", "a,d", False),
        ("${meta.tags}", "set_contains_any", "d,c", True),
        ("${meta.rack}", "regexp", "^r[0-9]+$", True),
        ("${attr.nomad.version}", "version", ">= 1.6, < 1.7", True),
        ("${attr.nomad.version}", "version", "~> 1.5.0", False),
        ("${attr.nomad.version}", "semver", "> 1.6.3-rc.1", True),
        ("${attr.nomad.version}", "semver", "~> 1.6", False),
        ("1.7.0-rc.10", "semver", "> 1.7.0-rc.9", True),
        ("1.7.0-rc.1", "semver", ">= 1.6", True),
        ("1.7.0-rc.1", "version", ">= 1.6", False),
        ("1.7.0-rc.1", "version", ">= 1.7.0-beta", True),
        ("1.7.0-rc.1", "version", "!= 1.7.0", True),
        ("${node.class}", "=", "gpu", True),
        ("${node.datacenter}", "=", "dc2", False),
        ("${node.unique.name}", "regexp", "us-", True),
    ],
)
def test_an_operator(left: str, operand: str, right: str, holds: bool) -> None:
    constraint = {"LTarget": left, "Operand": operand, "RTarget": right}
    assert satisfied(constraint, _NODE) is holds


def test_its_name_among_the_filtered() -> None:
    assert describe({"LTarget": "${attr.x}", "Operand": "=", "RTarget": "1"}) == "${attr.x} = 1"
