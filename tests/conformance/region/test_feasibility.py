"""What a node must have besides room: ports, cores, devices, other allocations' absence; spreads; by one dry run each."""

from __future__ import annotations

import pytest

from regions.local.nomad_version import CORE_SPEEDS, JOB_STATUSES, PORTS_BY_ADDRESS, UNDATED
from tests.conformance.region.conftest import shell_task

NAMES = ("CoalescedFailures", "ConstraintFiltered", "DimensionExhausted", "NodesAvailable", "NodesFiltered")


@pytest.fixture
def short(federation, new_job):
    """Nomad's counters for the one group of a job that a dry run can't place whole."""

    def ask(count=3, *, resources=None, group=None, **fields):
        tasks = [shell_task("main", "true", Resources={"MemoryMB": 10, **(resources or {"CPU": 20})})]
        job = new_job(count=count, tasks=tasks, group=group, **fields)
        status, _, text = federation.raw("PUT", f"/v1/job/{job['ID']}/plan", body={"Job": job})
        assert status == 200, text
        import json

        failed = json.loads(text)["FailedTGAllocs"]
        return failed and {name: failed["g"][name] for name in NAMES}

    return ask


def _counters(coalesced, *, filtered=None, exhausted=None):
    expected = (coalesced, filtered, exhausted, {"us-east-1": 1}, int(filtered is not None))
    return dict(zip(NAMES, expected, strict=True))


def test_a_static_port_is_there_once_for_each_address(federation, short):
    network = {"ReservedPorts": [{"Label": "http", "Value": 23457}], "DynamicPorts": [{"Label": "any"}]}
    collision = "network: reserved port collision http=23457"
    (node,) = federation.get("/v1/nodes", resources="true")
    addresses = sum(len(one["Addresses"]) for one in node["NodeResources"]["NodeNetworks"] if one["Mode"] == "host")
    places = addresses if federation.answers_as >= PORTS_BY_ADDRESS else 1  # loopback may have one of IPv6 too
    assert short(count=places + 2, group={"Networks": [network]}) == _counters(1, exhausted={collision: 1})
    assert short(group={"Networks": [{"DynamicPorts": [{"Label": "any"}]}]}) is None


def test_networks_that_no_node_has(federation, short):
    # Later versions require the plugins that a bridge needs.
    lacking = "${attr.plugins.cni.version.bridge} semver >= 0.4.0"
    reason = lacking if federation.answers_as >= JOB_STATUSES else "missing network"
    assert short(group={"Networks": [{"Mode": "bridge"}]}) == _counters(2, filtered={reason: 1})


def test_more_cores_than_there_are(short):
    assert short(resources={"Cores": 500}) == _counters(2, exhausted={"cores": 1})


def test_devices_that_no_node_has(short):
    asked = {"CPU": 20, "Devices": [{"Name": "nvidia/gpu", "Count": 1}]}
    assert short(resources=asked) == _counters(2, filtered={"missing devices": 1})


@pytest.mark.parametrize(("allowed", "left"), [("", 1), ("1", 1), ("2", 0)])
@pytest.mark.parametrize("level", ["job", "group"])
def test_distinct_property(short, level, allowed, left):
    constraints = [{"LTarget": "${node.datacenter}", "RTarget": allowed, "Operand": "distinct_property"}]
    where = {"Constraints": constraints} if level == "job" else {"group": {"Constraints": constraints}}
    reason = f"distinct_property: ${{node.datacenter}}=us-east-1 used by {allowed or 1} allocs"
    assert short(**where) == _counters(left, filtered={reason: 1})


def test_distinct_property_of_what_a_node_does_not_have(short):
    constraints = [{"LTarget": "${meta.rack}", "Operand": "distinct_property"}]
    assert short(Constraints=constraints) == _counters(2, filtered={'missing property "${meta.rack}"': 1})


def test_distinct_hosts(short):
    assert short(Constraints=[{"Operand": "distinct_hosts"}]) == _counters(1, filtered={"distinct_hosts": 1})


def test_memory_max_takes_no_room(short):
    assert short(resources={"CPU": 20, "MemoryMaxMB": 10**6}) is None


def test_datacenters_by_glob_and_those_without_nodes(short):
    assert short(1, Datacenters=["us-*"]) is None
    mars = short(1, Datacenters=["us-east-1", "mars"], Constraints=[{"LTarget": "a", "RTarget": "b", "Operand": "="}])
    assert mars["NodesAvailable"] == {"us-east-1": 1}


TARGET = [{"Value": "us-east-1", "Percent": 70}]


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        ({"SpreadTarget": TARGET}, {0: 0.2857142857, 1: -0.4285714286}),
        ({}, {0: None, 1: -1.0}),
        ({"SpreadTarget": [{"Value": "mars", "Percent": 50}]}, {0: 0.0, 1: -1.0}),
    ],
)
def test_spreads_are_scored(us, federation, new_job, in_states, spread, expected):
    job = new_job(count=2, group={"Spreads": [{"Attribute": "${node.datacenter}", "Weight": 50, **spread}]})
    us.register(job, enforce_index=0)
    found = {}
    for stub in federation.wait_for_allocations(job["ID"], in_states("complete")):
        (scored,) = federation.get(f"/v1/allocation/{stub['ID']}")["Metrics"]["ScoreMetaData"]
        others = int(scored["Scores"]["job-anti-affinity"] < 0)
        found[others] = scored["Scores"].get("allocation-spread")
        parts = [value for name, value in scored["Scores"].items() if value or name == "binpack"]
        assert scored["NormScore"] == pytest.approx(sum(parts) / len(parts))
    for others, score in expected.items():
        assert (found[others] or 0.0) == pytest.approx(score or 0.0)


def test_ports_are_given_and_told_to_the_task(us, federation, new_job):
    network = {
        "ReservedPorts": [{"Label": "http", "Value": 23458}],
        "DynamicPorts": [{"Label": "any"}, {"Label": "inner", "To": 80}],
    }
    job = new_job("env", group={"Networks": [network]})
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    full = federation.get(f"/v1/allocation/{alloc.id}")
    shared = full["AllocatedResources"]["Shared"]
    ports = {port["Label"]: port for port in shared["Ports"]}
    assert [*ports] == ["http", "any", "inner"]
    is_newer = federation.answers_as >= UNDATED
    no_target = {} if is_newer else {"To": 0}
    assert ports["http"] == {"HostIP": "127.0.0.1", "Label": "http", "Value": 23458} | no_target
    assert 20000 <= ports["any"]["Value"] <= 32000
    assert ports["inner"]["To"] == 80
    (given,) = shared["Networks"]
    empty = set() if is_newer else {"CIDR", "DNS", "Device", "MBits", "Mode"}
    assert set(given) == {"DynamicPorts", "IP", "ReservedPorts"} | empty
    dynamic = {"HostNetwork": "default", "Label": "any", "Value": ports["any"]["Value"]}
    assert given["DynamicPorts"][0] == dynamic | no_target
    assert full["Resources"]["Networks"] == full["SharedResources"]["Networks"] == shared["Networks"]
    env = dict(line.split("=", 1) for line in us.logs(alloc.id, "main").decode().splitlines() if "=" in line)
    any_port = str(ports["any"]["Value"])
    expected = {
        "NOMAD_PORT_any": any_port,
        "NOMAD_ADDR_any": f"127.0.0.1:{any_port}",
        "NOMAD_IP_any": "127.0.0.1",
        "NOMAD_HOST_PORT_any": any_port,
        "NOMAD_ALLOC_PORT_any": any_port,
        "NOMAD_PORT_inner": "80",
        "NOMAD_HOST_PORT_inner": str(ports["inner"]["Value"]),
        "NOMAD_PORT_http": "23458",
    }
    assert {name: env.get(name) for name in expected} == expected


def test_reserved_cores(us, federation, new_job):
    job = new_job(tasks=[shell_task("main", "env", Resources={"Cores": 1, "MemoryMB": 10, "MemoryMaxMB": 50})])
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    (node,) = federation.get("/v1/nodes", resources="true")
    cpu = node["NodeResources"]["Cpu"]
    full = federation.get(f"/v1/allocation/{alloc.id}")
    given = full["AllocatedResources"]["Tasks"]["main"]
    if federation.answers_as >= CORE_SPEEDS:  # its own speed, whatever the node's total is declared to be
        (core,) = [one for one in node["NodeResources"]["Processors"]["Topology"]["Cores"] if one["ID"] == 0]
        mhz = core["MaxSpeed"] or core["BaseSpeed"] or core["GuessSpeed"]
    else:
        mhz = cpu["CpuShares"] // cpu["TotalCpuCores"]
    assert given["Cpu"] == {"CpuShares": mhz, "ReservedCores": [0]}
    assert full["Resources"]["Cores"] == int(federation.answers_as >= CORE_SPEEDS)
    assert given["Memory"] == {"MemoryMB": 10, "MemoryMaxMB": 0}
    assert full["Resources"]["CPU"] == given["Cpu"]["CpuShares"]
    assert full["Resources"]["MemoryMaxMB"] == 10
