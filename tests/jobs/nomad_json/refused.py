"""Jobs that a server refuses, and neighbours that it accepts, with what each reference version answered.

`record` asks the real servers: `NOMAD_BIN=/path/to/nomad .venv/bin/python -m tests.jobs.nomad_json.refused`. It starts one
server for each binary and writes `refused.json`: name → version → the errors of `/v1/validate/job`, none for a job that is
accepted. Registering must give the same answer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jobs.hcl import parse_job

GOLDEN = Path(__file__).parent.parent / "hcl" / "golden"
RECORDED = Path(__file__).with_name("refused.json")
HEADS = {
    "batch": 'type = "batch"\nparameterized {}',
    "plain": 'type = "batch"',
    "service": 'type = "service"',
    "system": 'type = "system"',
    "sysbatch": 'type = "sysbatch"',
}


class Case(NamedTuple):
    """`text` stands in the block `where` of a job that is valid without it."""

    name: str
    where: str
    text: str
    head: str = "batch"
    changes: tuple[tuple[str, Any], ...] = ()
    """Values that HCL can't hold: path in the JSON → value."""

    @property
    def job(self) -> dict[str, Any]:
        parts = dict.fromkeys(("job", "group", "task", "resources"), "") | {self.where: self.text}
        hcl = TEMPLATE.format(head=HEADS[self.head], **parts) if self.where != "file" else self.text
        job = parse_job(hcl, filename=self.name, base_dir=GOLDEN).job
        job["ID"] = job["ID"] if self.where == "file" else "checked"
        for path, value in self.changes:
            *outer, last = path.split("/")
            block: Any = job
            for step in outer:
                block = block[int(step) if step.isdigit() else step]
            block[last] = value
        return job


TEMPLATE = """
job "checked" {{
  datacenters = ["*"]
  {head}
  {job}
  group "g" {{
    {group}
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "/bin/true"
      }}
      {task}
      resources {{
        memory = 50
        {resources}
      }}
    }}
  }}
}}
"""


def block(name: str, /, **arguments: object) -> str:
    """Writes a block: numbers and flags as they are, texts quoted, a nested block as its text."""
    lines = []
    for key, value in arguments.items():
        if isinstance(value, str) and value.startswith("\n"):
            lines.append(value)
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return f"\n{name} {{\n" + "\n".join(lines) + "\n}\n"


def comparisons() -> Iterator[Case]:
    for where in ("job", "group", "task"):
        for name in ("constraint", "affinity"):
            yield Case(f"{name}-{where}-no-attribute", where, block(name, value="b"))
    constraints = {
        "value-missing": {"attribute": "a"},
        "operator-unknown": {"attribute": "a", "operator": "nope", "value": "b"},
        "less-no-value": {"attribute": "a", "operator": "<"},
        "is-no-value": {"attribute": "a", "operator": "is"},
        "regexp": {"attribute": "a", "operator": "regexp", "value": "("},
        "regexp-shorthand": {"attribute": "a", "regexp": "["},
        "regexp-star": {"attribute": "a", "regexp": "*x"},
        "regexp-nested": {"attribute": "a", "regexp": "x**"},
        "regexp-range": {"attribute": "a", "regexp": "[z-a]"},
        "regexp-look": {"attribute": "a", "regexp": "(?=x)"},
        "regexp-repeat": {"attribute": "a", "regexp": "x{1001}"},
        "regexp-escape": {"attribute": "a", "regexp": "\\q"},
        "regexp-unopened": {"attribute": "a", "regexp": "x)"},
        "regexp-trailing": {"attribute": "a", "regexp": "x\\"},
        "version": {"attribute": "a", "operator": "version", "value": "x"},
        "version-comma": {"attribute": "a", "version": ">= 1.2, nope"},
        "version-empty": {"attribute": "a", "operator": "version"},
        "version-dots": {"attribute": "a", "version": ">= 1.2."},
        "version-space": {"attribute": "a", "version": ">= 1.2 beta"},
        "semver": {"attribute": "a", "semver": "x"},
        "semver-tilde": {"attribute": "a", "semver": "~> 1.2"},
        "semver-beta": {"attribute": "a", "semver": ">= 1.2beta"},
        "set-no-value": {"attribute": "a", "operator": "set_contains"},
        "set-all-no-value": {"attribute": "a", "operator": "set_contains_all"},
        "set-any-no-value": {"attribute": "a", "operator": "set_contains_any"},
        "is-set-value": {"attribute": "a", "operator": "is_set", "value": "x"},
        "is-not-set-value": {"attribute": "a", "operator": "is_not_set", "value": "x"},
        "distinct-property-value": {"distinct_property": "a", "value": "x"},
        "distinct-property-zero": {"distinct_property": "a", "value": "0"},
        "distinct-property-negative": {"distinct_property": "a", "value": "-1"},
        "distinct-property-large": {"distinct_property": "a", "value": "99999999999999999999"},
        "distinct-property-no-attribute": {"operator": "distinct_property"},
        "attribute-brace": {"attribute": "$attr.cpu", "value": "x"},
        "attribute-unclosed": {"attribute": "$${attr.cpu", "value": "x"},
        "attribute-unknown": {"attribute": "$${nope.cpu}", "value": "x"},
        "attribute-node": {"attribute": "$${node.cpu}", "value": "x"},
    }
    for name, arguments in constraints.items():
        yield Case(f"constraint-{name}", "job", block("constraint", **arguments))
    accepted = {
        "distinct-hosts": {"distinct_hosts": True},
        "distinct-property": {"distinct_property": "$${meta.rack}", "value": "2"},
        "version": {"attribute": "$${attr.nomad.version}", "version": ">= 1.2, < 3.0.0-beta1, ~> 1.6"},
        "version-joined": {"attribute": "$${attr.nomad.version}", "version": "=1.2beta"},
        "semver": {"attribute": "$${attr.nomad.version}", "semver": ">= 1.2.0-beta, < 2"},
        "node": {"attribute": "$${node.class}", "value": "gpu"},
        "literal": {"attribute": "linux", "value": "linux"},
        "is-set": {"attribute": "$${meta.x}", "operator": "is_set"},
        "regexp": {"attribute": "$${attr.cpu.arch}", "regexp": "^(amd|arm)64$"},
        "regexp-of-go": {"attribute": "$${attr.cpu.arch}", "regexp": "x(?i)\\pL[[:alpha:]]\\z"},
    }
    for name, arguments in accepted.items():
        yield Case(f"ok-constraint-{name}", "job", block("constraint", **arguments))
    yield Case("constraint-task-distinct-hosts", "task", block("constraint", distinct_hosts=True))
    yield Case("constraint-task-distinct-property", "task", block("constraint", distinct_property="$${meta.a}"))
    yield Case(
        "constraint-group-second", "group", block("constraint", distinct_hosts=True) + block("constraint", value="b")
    )
    affinities = {
        "weight-0": {"attribute": "a", "value": "b", "weight": 0},
        "operator-unknown": {"attribute": "a", "operator": "distinct_hosts", "value": "b"},
        "is-set": {"attribute": "a", "operator": "is_set"},
        "no-value": {"attribute": "a"},
        "regexp": {"attribute": "a", "operator": "regexp", "value": "("},
        "version": {"attribute": "a", "version": "x"},
        "semver": {"attribute": "a", "semver": "x"},
        "set-no-value": {"attribute": "a", "operator": "set_contains_any"},
    }
    for name, arguments in affinities.items():
        yield Case(f"affinity-{name}", "group", block("affinity", **arguments))
    yield Case(
        "affinity-weight-json",
        "group",
        block("affinity", attribute="a", value="b"),
        changes=(("TaskGroups/0/Affinities/0/Weight", 101),),
    )
    yield Case("ok-affinity", "task", block("affinity", attribute="$${meta.a}", value="b", weight=-100))
    spreads = {
        "no-attribute": block("spread", weight=50),
        "weight-0": block("spread", attribute="a", weight=0),
        "weight-101": block("spread", attribute="a", weight=101),
        "weight-negative": block("spread", attribute="a", weight=-1),
        "target-twice": block(
            "spread", attribute="a", t=block('target "x"', percent=10), u=block('target "x"', percent=10)
        ),
        "target-percent": block("spread", attribute="a", t=block('target "x"', percent=101)),
        "target-sum": block(
            "spread", attribute="a", t=block('target "x"', percent=60), u=block('target "y"', percent=60)
        ),
    }
    for name, text in spreads.items():
        yield Case(f"spread-{name}", "job", text)
    yield Case("spread-group", "group", spreads["target-sum"])
    yield Case(
        "ok-spread", "group", block("spread", attribute="$${node.datacenter}", t=block('target "x"', percent=100))
    )


def job_fields() -> Iterator[Case]:
    for name, change in {
        "id-space": ("ID", "a b"),
        "id-null": ("ID", "a\0b"),
        "name-empty": ("Name", ""),
        "type-empty": ("Type", ""),
        "name-null": ("Name", "a\0b"),
        "priority-high": ("Priority", 101),
        "priority-negative": ("Priority", -1),
        "datacenter-empty": ("Datacenters", ["dc1", ""]),
        "no-groups": ("TaskGroups", []),
        "type-core": ("Type", "core"),
        "pool-name": ("NodePool", "a b"),
        "pool-name-long": ("NodePool", "a" * 129),
        "payload-unknown": ("ParameterizedJob", {"Payload": "maybe"}),
        "group-no-tasks": ("TaskGroups/0/Tasks", []),
        "group-no-name": ("TaskGroups/0/Name", ""),
        "group-null": ("TaskGroups/0/Name", "a\0b"),
        "task-no-name": ("TaskGroups/0/Tasks/0/Name", ""),
        "task-null": ("TaskGroups/0/Tasks/0/Name", "a\0b"),
        "task-no-driver": ("TaskGroups/0/Tasks/0/Driver", ""),
    }.items():
        yield Case(name, "job", "", changes=(change,))
    yield Case("type-unknown", "job", "", changes=(("Type", "nope"), ("ParameterizedJob", None)))
    yield Case("ok-multiregion-empty", "job", "multiregion {\n}")
    yield Case("multiregion", "job", 'multiregion {\nregion "us" {}\n}')
    yield Case(
        "parameterized-both",
        "job",
        "",
        changes=(("ParameterizedJob", {"MetaRequired": ["a", "b"], "MetaOptional": ["b", "a"]}),),
    )
    yield Case("parameterized-service", "job", "parameterized {}", head="service")
    yield Case("parameterized-system", "job", "parameterized {}", head="system")
    yield Case("ok-sysbatch", "job", "parameterized {}", head="sysbatch")
    yield Case("ui-description", "job", block("ui", description="x" * 1001))
    yield Case("ok-ui", "job", block("ui", description="x" * 1000))
    yield Case("migrate-job", "job", block("migrate"))
    yield Case("update-job", "job", block("update", max_parallel=1))
    yield Case("reschedule-job", "job", block("reschedule", delay_function="nope", attempts=3))
    yield Case("datacenters-two", "job", "", changes=(("Datacenters", ["", ""]),))


def groups() -> Iterator[Case]:
    for name, text in {
        "count-negative": "count = -1",
        "shutdown-delay": 'shutdown_delay = "-1s"',
        "max-client-disconnect": 'max_client_disconnect = "-1s"',
        "stop-after": 'stop_after_client_disconnect = "-1s"',
        "stop-and-max": 'stop_after_client_disconnect = "1s"\nmax_client_disconnect = "1s"',
        "disk-small": block("ephemeral_disk", size=9),
        "disk-logs": block("ephemeral_disk", size=100),
        "update-batch": block("update", max_parallel=1),
        "migrate-batch": block("migrate", max_parallel=1),
        "restart-mode": block("restart", mode="nope"),
        "restart-delay-0": block("restart", mode="delay", attempts=0),
        "restart-interval": block("restart", interval="4s", delay="1s", attempts=1),
        "restart-too-many": block("restart", interval="1m", delay="30s", attempts=3),
        "restart-all": block("restart", mode="nope", interval="1s", delay="30s", attempts=3),
        "reschedule-unlimited": block("reschedule", attempts=3, unlimited=True, interval="1h", delay="5s"),
        "reschedule-interval-negative": block("reschedule", attempts=3, interval="-1s"),
        "reschedule-interval-0": block("reschedule", attempts=3, interval="0s"),
        "reschedule-delay": block("reschedule", attempts=1, delay="4s", interval="1h"),
        "reschedule-function": block("reschedule", attempts=1, delay_function="nope", interval="1h", max_delay="1h"),
        "reschedule-max-delay": block("reschedule", attempts=1, delay_function="exponential", max_delay="4s"),
        "reschedule-max-below": block(
            "reschedule", attempts=1, delay_function="fibonacci", delay="1m", max_delay="30s"
        ),
        "reschedule-interval": block("reschedule", attempts=1, interval="14s"),
        "reschedule-constant": block("reschedule", attempts=10, interval="1m", delay="10s", unlimited=False),
        "reschedule-exponential": block(
            "reschedule", attempts=10, interval="10m", delay="10s", delay_function="exponential", max_delay="1h"
        ),
        "reschedule-ceiling": block(
            "reschedule", attempts=12, interval="10m", delay="10s", delay_function="exponential", max_delay="1m"
        ),
        "reschedule-fibonacci": block(
            "reschedule", attempts=15, interval="10m", delay="10s", delay_function="fibonacci", max_delay="1h"
        ),
        "reschedule-fibonacci-ceiling": block(
            "reschedule", attempts=20, interval="10m", delay="10s", delay_function="fibonacci", max_delay="1m"
        ),
        "scaling-max-below-min": block("scaling", min=5, max=1),
        "scaling-max-negative": block("scaling", max=-1),
        "scaling-min-negative": block("scaling", min=-1, max=5),
        "scaling-count-above": "count = 9\n" + block("scaling", min=1, max=5),
        "scaling-count-below": "count = 1\n" + block("scaling", min=2, max=5),
        "disconnect-both": block("disconnect", lost_after="1s", stop_on_client_after="1s"),
        "disconnect-lost-negative": block("disconnect", lost_after="-1s"),
        "disconnect-stop-negative": block("disconnect", stop_on_client_after="-1s"),
        "disconnect-reconcile": block("disconnect", lost_after="1s", reconcile="nope"),
        "max-run-duration": 'max_run_duration = "0s"',
        "count-huge": "count = 50001",
        "consul-cluster": block("consul", cluster="other"),
        "task-twice": 'task "t" {\ndriver = "mock"\n}',
        "leaders": 'task "a" {\ndriver = "mock"\nleader = true\n}\ntask "b" {\ndriver = "mock"\nleader = true\n}',
        "task-alloc": 'task "alloc" {\ndriver = "mock"\n}',
        "task-slash": 'task "a/b" {\ndriver = "mock"\n}',
        "task-backslash": 'task "a\\\\b" {\ndriver = "mock"\n}',
        "volume-type": block('volume "v"', type="nope", source="x"),
        "volume-no-source": block('volume "v"', type="host"),
        "volume-host-access": block('volume "v"', type="host", source="x", access_mode="multi-node-multi-writer"),
        "volume-host-writer": block('volume "v"', type="host", source="x", access_mode="single-node-writer"),
        "volume-host-reader": block('volume "v"', type="host", source="x", access_mode="single-node-reader-only"),
        "volume-host-attachment": block('volume "v"', type="host", source="x", attachment_mode="file-system"),
        "volume-host-options": block('volume "v"', type="host", source="x", o=block("mount_options", fs_type="ext4")),
        "volume-csi-modes": block('volume "v"', type="csi", source="x"),
        "volume-csi-reader": block(
            'volume "v"', type="csi", source="x", access_mode="multi-node-reader-only", attachment_mode="file-system"
        ),
        "volume-csi-single-reader": "count = 2\n"
        + block(
            'volume "v"',
            type="csi",
            source="x",
            read_only=True,
            access_mode="single-node-reader-only",
            attachment_mode="file-system",
        ),
        "volume-csi-single-writer": "count = 2\n"
        + block('volume "v"', type="csi", source="x", access_mode="single-node-writer", attachment_mode="file-system"),
        "volume-csi-multi-writer": "count = 2\n"
        + block(
            'volume "v"', type="csi", source="x", access_mode="multi-node-single-writer", attachment_mode="file-system"
        ),
        "volume-csi-block": block(
            'volume "v"',
            type="csi",
            source="x",
            access_mode="multi-node-multi-writer",
            attachment_mode="block-device",
            o=block("mount_options", fs_type="ext4"),
        ),
        "volume-sticky": block('volume "v"', type="host", source="x", per_alloc=True, sticky=True),
        "ok-restart": block("restart", mode="delay", attempts=1, delay="15s", interval="30s"),
        "ok-reschedule": block("reschedule", attempts=0, unlimited=False),
        "ok-reschedule-many": block(
            "reschedule", attempts=5, interval="24h", delay="10s", delay_function="fibonacci", max_delay="1h"
        ),
        "ok-volume-csi": "count = 2\n"
        + block(
            'volume "v"',
            type="csi",
            source="x",
            per_alloc=True,
            access_mode="single-node-writer",
            attachment_mode="file-system",
        ),
        "ok-scaling": "count = 3\n" + block("scaling", min=0, max=3),
        "ok-group-slash": block("meta", a="b"),
        "ok-disconnect": block("disconnect", lost_after="1h", reconcile="keep_original"),
        "ok-max-run-duration": 'max_run_duration = "1h"',
    }.items():
        yield Case(name, "group", text)
    yield Case("group-twice", "job", 'group "g" {\ntask "x" {\ndriver = "mock"\n}\n}')
    for name, text in {
        "system-affinity": block("affinity", attribute="a", value="b"),
        "system-spread": block("spread", attribute="a"),
        "system-count": "count = 2",
        "system-reschedule": block("reschedule", attempts=1, interval="1h"),
        "system-per-alloc": block('volume "v"', type="host", source="x", per_alloc=True),
        "system-stop-after": 'stop_after_client_disconnect = "1m"',
        "system-disconnect": block("disconnect", stop_on_client_after="1m"),
        "system-migrate": block("migrate", max_parallel=1),
        "system-max-run": 'max_run_duration = "1h"',
    }.items():
        yield Case(name, "group", text, head="system")
    yield Case("system-job-affinity", "job", block("affinity", attribute="a", value="b"), head="system")
    yield Case("system-job-spread", "job", block("spread", attribute="a"), head="system")
    yield Case("system-task-affinity", "task", block("affinity", attribute="a", value="b"), head="system")
    yield Case("sysbatch-reschedule", "group", block("reschedule", attempts=1, interval="1h"), head="sysbatch")
    updates = {
        "health": {"health_check": "nope"},
        "parallel": {"max_parallel": -1},
        "canary": {"canary": -1},
        "promote": {"auto_promote": True},
        "healthy-negative": {"min_healthy_time": "-1s"},
        "deadline-0": {"healthy_deadline": "0s", "min_healthy_time": "0s"},
        "progress-negative": {"progress_deadline": "-1s"},
        "healthy-above": {"min_healthy_time": "6m"},
        "deadline-above": {"healthy_deadline": "11m"},
        "stagger": {"stagger": "-1s"},
    }
    for name, arguments in updates.items():
        yield Case(f"update-{name}", "group", block("update", **arguments), head="service")
    for name, arguments in {
        "parallel": {"max_parallel": -1},
        "health": {"health_check": "nope"},
        "healthy": {"min_healthy_time": "-1s"},
        "deadline": {"healthy_deadline": "-1s"},
        "above": {"min_healthy_time": "6m"},
    }.items():
        yield Case(f"migrate-{name}", "group", block("migrate", **arguments), head="service")
    yield Case("ok-update", "group", block("update", max_parallel=2, canary=1, auto_promote=True), head="service")
    yield Case("ok-migrate", "group", block("migrate", max_parallel=2), head="service")
    yield Case("ok-system", "group", "count = 1", head="system")


def networks() -> Iterator[Case]:
    for name, text in {
        "port-twice": 'port "a" {}\nport "a" {}',
        "static-twice": block('port "a"', static=80) + block('port "b"', static=80),
        "static-large": block('port "a"', static=65536),
        "to-negative": block('port "a"', to=-2),
        "to-large": block('port "a"', to=65536),
        "hostname": 'hostname = "a..b"',
        "ignore-collision-bridge": 'mode = "bridge"' + block('port "a"', static=80, ignore_collision=True),
        "ignore-collision": block('port "a"', static=80) + block('port "b"', static=80, ignore_collision=True),
        "cni-key": block("cni", args={"a;b": "c"}),
        "cni-value": block("cni", args={"a": "b;c"}),
        "ok-host-networks": block('port "a"', static=80) + block('port "b"', static=80, host_network="x"),
        "ok-hostname": 'mode = "bridge"\nhostname = "a-b.example"',
        "ok-to": block('port "a"', to=-1),
    }.items():
        prefix = "" if name.startswith("ok-") else "network-"
        yield Case(prefix + name, "group", "network {\n" + text + "\n}")
    yield Case("network-two-labels", "group", 'network {\nport "a" {}\n}\nnetwork {\nport "a" {}\n}')
    yield Case(
        "network-task-port",
        "resources",
        "network {\n" + block('port "a"', static=80) + block('port "b"', static=80) + "}",
    )


def tasks() -> Iterator[Case]:
    template = {"data": "x", "destination": "local/y"}
    for name, arguments in {
        "no-source": {"destination": "local/y"},
        "no-destination": {"data": "x"},
        "escapes": {"data": "x", "destination": "../../y"},
        "change-mode": {**template, "change_mode": "nope"},
        "change-mode-empty": {**template, "change_mode": ""},
        "signal-none": {**template, "change_mode": "signal"},
        "signal-env": {**template, "change_mode": "signal", "change_signal": "SIGHUP", "env": True},
        "script-none": {**template, "change_mode": "script"},
        "script-empty": {**template, "change_mode": "script", "s": block("change_script", command="")},
        "splay": {**template, "splay": "-1s"},
        "perms": {**template, "perms": "999"},
        "perms-long": {**template, "perms": "77777"},
        "perms-text": {**template, "perms": "rw"},
        "wait": {**template, "w": block("wait", min="10s", max="1s")},
        "all": {"change_mode": "nope", "splay": "-1s", "perms": "9"},
        "ok": {**template, "perms": "0600", "change_mode": "signal", "change_signal": "SIGHUP"},
        "ok-destination": {"data": "x", "destination": "../y"},
        "ok-absolute": {"data": "x", "destination": "/local/y"},
        "ok-wait": {**template, "w": block("wait", min="1s", max="10s")},
        "ok-script": {**template, "change_mode": "script", "s": block("change_script", command="/bin/x")},
    }.items():
        yield Case(
            f"template-{name}" if not name.startswith("ok") else f"ok-template{name[2:]}",
            "task",
            block("template", **arguments),
        )
    yield Case("template-same-destination", "task", block("template", **template) * 2)
    sha = "sha256:" + "ab" * 32
    for name, arguments in {
        "no-source": {},
        "mode": {"source": "http://x", "mode": "nope"},
        "escapes": {"source": "http://x", "destination": "../../x"},
        "checksum-hex": {"source": "http://x", "o": block("options", checksum="md5:zz")},
        "checksum-odd": {"source": "http://x", "o": block("options", checksum="md5:abc")},
        "checksum-length": {"source": "http://x", "o": block("options", checksum="md5:abcd")},
        "checksum-kind": {"source": "http://x", "o": block("options", checksum="crc:abcd")},
        "checksum-empty": {"source": "http://x", "o": block("options", checksum=" ")},
        "checksum-form": {"source": "http://x", "o": block("options", checksum="abcd")},
        "ok": {"source": "http://x", "mode": "file", "o": block("options", checksum=sha)},
        "ok-variable": {"source": "http://x", "o": block("options", checksum="$${NOMAD_META_SUM}")},
        "ok-shared": {"source": "http://x", "destination": "$${NOMAD_ALLOC_DIR}/data"},
    }.items():
        yield Case(
            f"artifact-{name}" if not name.startswith("ok") else f"ok-artifact{name[2:]}",
            "task",
            block("artifact", **arguments),
        )
    yield Case(
        "artifact-second", "task", block("artifact", source="http://x") + block("artifact", source="http://x", mode="x")
    )
    for name, text in {
        "kill-timeout": 'kill_timeout = "-1s"',
        "task-shutdown-delay": 'shutdown_delay = "-1s"',
        "logs-files": block("logs", max_files=0),
        "logs-size": block("logs", max_file_size=0),
        "logs-disk": block("logs", max_files=30, max_file_size=10),
        "payload-escapes": block("dispatch_payload", file="../../../x"),
        "lifecycle-hook": block("lifecycle", hook="nope"),
        "lifecycle-none": block("lifecycle", hook=""),
        "kind-proxy": 'kind = "connect-proxy:web"',
        "csi-plugin-type": block("csi_plugin", id="x"),
        "csi-plugin-id": block("csi_plugin", type="node"),
        "csi-plugin-folders": block(
            "csi_plugin", id="x", type="node", mount_dir="/csi", stage_publish_base_dir="/csi/x"
        ),
        "mount-empty": block("volume_mount", destination="/x"),
        "mount-empty-text": block("volume_mount", volume="", destination="/x"),
        "mount-undefined": block("volume_mount", volume="v", destination="/x"),
        "mount-propagation": block("volume_mount", volume="v", destination="/x", propagation_mode="nope"),
        "action-name": block('action "a b"', command="/bin/x"),
        "action-command": block('action "a"', command=""),
        "action-twice": block('action "a"', command="/bin/x") * 2,
        "identity-name": block("identity", name="a b", aud=["x"]),
        "identity-audience": block("identity", name="a", aud=["x", ""]),
        "identity-mode": block("identity", name="a", change_mode="nope"),
        "identity-signal-none": block("identity", name="a", change_mode="signal"),
        "identity-signal": block("identity", name="a", change_mode="noop", change_signal="SIGHUP"),
        "identity-ttl": block("identity", name="a", ttl="-1s"),
        "identity-ttl-default": block("identity", ttl="1h"),
        "identity-filepath": block("identity", name="a", filepath="local/x"),
        "secret-name": block('secret "a b"', provider="nomad", path="x"),
        "secret-provider": block('secret "a"', path="x"),
        "secret-path": block('secret "a"', provider="nomad"),
        "secret-twice": block('secret "a"', provider="nomad", path="x") * 2,
        "secret-vault": block('secret "a"', provider="vault", path="x"),
        "secret-env": block('secret "a"', provider="nomad", path="x", e=block("env", A="b")),
        "secret-config": block('secret "a"', provider="mine", path="x", c=block("config", a="b")),
        "schedule": 'schedule {\ncron {\nstart = "0 30 9 * * MON-FRI *"\nend = "30 17"\n}\n}',
        "schedule-empty": "schedule {\n}",
        "task-consul-cluster": block("consul", cluster="other"),
        "vault": block("vault"),
        "vault-cluster": block("vault", policies=["a"], cluster="other"),
        "vault-root": block("vault", policies=["root"]),
        "vault-mode": block("vault", policies=["a"], change_mode="nope"),
        "vault-signal": block("vault", policies=["a"], change_mode="signal", change_signal=""),
        "ok-identity": block("identity", name="a", aud=["x"], ttl="1h", change_mode="signal", change_signal="SIGHUP"),
        "ok-action": block('action "a"', command="/bin/x", args=["y"]),
        "ok-secret": block('secret "a"', provider="nomad", path="x"),
        "ok-lifecycle": block("lifecycle", hook="prestart"),
        "ok-payload": block("dispatch_payload", file="x.json"),
        "ok-csi-plugin": block("csi_plugin", id="x", type="monolith"),
        "ok-kill-timeout": 'kill_timeout = "1h"',
    }.items():
        yield Case(name, "task", text)
    for name, text in {
        "cpu-0": "cpu = 0",
        "cores-and-cpu": "cpu = 500\ncores = 2",
        "cores-negative": "cpu = 500\ncores = -1",
        "memory-max": "memory_max = 20",
        "memory-max-unlimited": "memory_max = -1",
        "memory-max-negative": "memory_max = -2",
        "secrets-large": "secrets = 51",
        "secrets-negative": "secrets = -1",
        "device-no-name": 'device "" {}',
        "device-constraint": 'device "gpu" {\n' + block("constraint", value="x") + "}",
        "device-distinct": 'device "gpu" {\n' + block("constraint", distinct_hosts=True) + "}",
        "device-affinity": 'device "gpu" {\n' + block("affinity", attribute="a", value="b", weight=0) + "}",
        "numa-affinity": block("numa", affinity="nope"),
        "numa-device": block("numa", affinity="none", devices=["gpu"]),
        "numa-enterprise": block("numa", affinity="require"),
        "ok-cores": "cores = 2",
        "ok-memory-max": "memory_max = 100",
        "ok-device": 'device "nvidia/gpu" {\n'
        + block("constraint", attribute="$${device.attr.memory}", operator=">", value="1")
        + "}",
        "ok-secrets": "secrets = 10",
    }.items():
        yield Case(name, "resources", text)
    yield Case("memory-small", "job", "", changes=(("TaskGroups/0/Tasks/0/Resources/MemoryMB", 9),))
    yield Case("disk-in-task", "job", "", changes=(("TaskGroups/0/Tasks/0/Resources/DiskMB", 10),))
    yield Case("device-nothing-else", "resources", 'device "" {}\ncpu = 0')
    mount = block('volume "v"', type="host", source="x") + 'task "u" {\ndriver = "docker"\n'
    yield Case(
        "mount-mode",
        "group",
        mount + block("volume_mount", volume="v", destination="/x", propagation_mode="nope") + "}",
    )
    yield Case(
        "mount-label", "group", mount + block("volume_mount", volume="v", destination="/x", selinux_label="x") + "}"
    )
    yield Case(
        "ok-mount",
        "group",
        mount + block("volume_mount", volume="v", destination="/x", propagation_mode="host-to-task") + "}",
    )
    kill = block("update", progress_deadline="10m") + 'task "u" {\ndriver = "docker"\nkill_timeout = "11m"\n}'
    yield Case("kill-timeout-deadline", "group", kill, head="service")


def services() -> Iterator[Case]:
    check = {"type": "http", "path": "/", "port": "p", "interval": "10s", "timeout": "2s"}
    tcp = {"type": "tcp", "port": "p", "interval": "10s", "timeout": "2s"}
    for provider in ("consul", "nomad"):
        for name, arguments in {
            "type": {**check, "type": "nope"},
            "no-path": {**check, "path": ""},
            "absolute-path": {**check, "path": "http://x/"},
            "interval-0": {**check, "interval": "0s"},
            "interval-low": {**check, "interval": "10ms"},
            "timeout-0": {**check, "timeout": "0s"},
            "timeout-low": {**check, "timeout": "10ms"},
            "status": {**check, "initial_status": "nope"},
            "mode": {**check, "address_mode": "nope"},
            "mode-auto": {**check, "address_mode": "auto"},
            "on-update": {**check, "on_update": "nope"},
            "on-update-ignore": {**check, "on_update": "ignore", "c": block("check_restart", limit=1)},
            "on-update-warnings": {**check, "on_update": "ignore_warnings", "c": block("check_restart", limit=1)},
            "restart": {**check, "c": block("check_restart", limit=-1, grace="-1s")},
            "success": {**check, "success_before_passing": 3},
            "failures": {**check, "failures_before_critical": 3},
            "warnings": {**check, "failures_before_warning": 3},
            "server-name": {**check, "tls_server_name": "x"},
            "skip-verify": {**check, "tls_skip_verify": True},
            "method": {**check, "method": "NOPE"},
            "expose": {**tcp, "expose": True},
            "script": {"type": "script", "interval": "10s", "timeout": "2s"},
            "driver": {**check, "address_mode": "driver"},
            "ignore-warnings": {**check, "c": block("check_restart", ignore_warnings=True)},
        }.items():
            text = 'network {\nport "p" {}\n}' + block(
                "service", name="s", port="p", provider=provider, c=block("check", **arguments)
            )
            yield Case(f"check-{provider}-{name}", "group", text)
        yield Case(
            f"ok-check-{provider}",
            "group",
            'network {\nport "p" {}\n}'
            + block("service", name="s", port="p", provider=provider, c=block("check", **check)),
        )
        yield Case(
            f"check-{provider}-no-port",
            "group",
            block(
                "service",
                name="s",
                provider=provider,
                c=block("check", **{key: value for key, value in check.items() if key != "port"}),
            ),
        )
    for name, arguments in {
        "name": {"name": "a_b"},
        "name-long": {"name": "a" * 64},
        "mode": {"name": "s", "address_mode": "nope"},
        "address": {"name": "s", "address_mode": "host", "address": "10.0.0.1"},
        "on-update": {"name": "s", "on_update": "nope"},
        "provider": {"name": "s", "provider": "nope"},
        "driver": {"name": "s", "address_mode": "driver"},
        "identity": {"name": "s", "i": block("identity", file=True)},
        "kind": {"name": "s", "kind": "nope"},
        "identity-nomad": {"name": "s", "provider": "nomad", "i": block("identity", aud=["x"])},
        "cluster": {"name": "s", "cluster": "other"},
        "connect-empty": {"name": "s", "c": block("connect")},
        "connect-nomad": {"name": "s", "provider": "nomad", "c": "\nconnect {\nnative = true\n}"},
        "connect-both": {"name": "s", "c": "\nconnect {\nnative = true\nsidecar_service {}\n}"},
        "connect-no-network": {"name": "s", "c": "\nconnect {\nsidecar_service {}\n}"},
        "check-task": {
            "name": "s",
            "c": block("check", type="script", command="/bin/x", interval="10s", timeout="2s", task="nope"),
        },
        "script-no-task": {
            "name": "s",
            "c": block("check", type="script", command="/bin/x", interval="10s", timeout="2s"),
        },
        "native-ambiguous": {"name": "s", "task": "u", "c": "\nconnect {\nnative = true\n}"},
        "ok-interpolated": {"name": "$${JOB}-$${NOMAD_GROUP_NAME}"},
        "ok-name": {"name": "A-1"},
    }.items():
        yield Case(
            f"service-{name}" if not name.startswith("ok") else f"ok-service{name[2:]}",
            "group",
            block("service", **arguments),
        )
    yield Case("service-twice", "group", block("service", name="s") * 2)
    yield Case("service-providers", "group", block("service", name="s") + block("service", name="t", provider="nomad"))
    for name, text in {
        "mode-alloc": block("service", name="s", address_mode="alloc"),
        "duplicate": block("service", name="s") * 2,
        "port-undefined": block("service", name="s", port="nope"),
        "connect": block("service", name="s", c="\nconnect {\nnative = true\n}"),
        "other-task": block("service", name="s", task="u"),
        "check-twice": block(
            "service",
            name="s",
            port="80",
            address_mode="driver",
            c=block("check", name="c", **tcp),
            d=block("check", name="c", **tcp),
        ),
        "check-numeric": block("service", name="s", c=block("check", **{**tcp, "port": "80"})),
        "check-numeric-0": block(
            "service", name="s", c=block("check", **{**tcp, "port": "0", "address_mode": "driver"})
        ),
        "check-no-port": block(
            "service", name="s", c=block("check", **{key: value for key, value in tcp.items() if key != "port"})
        ),
        "check-exposed": block("service", name="s", c=block("check", **{**check, "expose": True})),
        "ok-driver": block("service", name="s", port="80", address_mode="driver"),
    }.items():
        yield Case(f"task-service-{name}" if not name.startswith("ok") else f"ok-task-service{name[2:]}", "task", text)


def periodics() -> Iterator[Case]:
    for name, arguments in {
        "nothing": {},
        "both": {"cron": "* * * * *", "crons": ["* * * * *"]},
        "fields": {"cron": "* * *"},
        "minute": {"cron": "60 * * * *"},
        "step": {"cron": "*/0 * * * *"},
        "weekday": {"cron": "* * * * mon-nope"},
        "second-of-list": {"crons": ["@daily", "x * * * *"]},
        "zone": {"cron": "* * * * *", "time_zone": "Mars/Olympus"},
        "zone-path": {"cron": "* * * * *", "time_zone": "../x"},
        "ok": {"cron": "*/15 2-4 1,15 jan-MAR 5#2 2026", "time_zone": "Europe/Berlin"},
        "ok-last": {"cron": "0 0 0 LW * ? *"},
        "ok-off": {"enabled": False},
    }.items():
        yield Case(
            f"periodic-{name}" if not name.startswith("ok") else f"ok-periodic{name[2:]}",
            "job",
            block("periodic", **arguments),
            head="plain",
        )
    yield Case("periodic-service", "job", block("periodic", cron="@hourly"), head="service")


def golden() -> Iterator[Case]:
    """The jobspecs that hold every block, which break rules too."""
    for path in sorted(GOLDEN.glob("*.nomad.hcl")):
        yield Case(f"golden-{path.name.split('.')[0]}", "file", path.read_text(encoding="utf-8"))


CASES = {
    case.name: case
    for kind in (job_fields, comparisons, groups, networks, tasks, services, periodics, golden)
    for case in kind()
}


def comparable(errors: list[str] | str) -> list[str]:
    """The errors without the order of a Go map, which differs from call to call. A text is that of a mutator, which
    stops before the other rules are looked at."""
    if isinstance(errors, str):
        return [errors.partition("connect: ")[2]]
    return [re.sub(r"\[(\w+ )+\w+\]", lambda names: str(sorted(names[0][1:-1].split())), error) for error in errors]


@contextmanager
def server(binary: str) -> Iterator[str]:
    """Starts one server and yields its address."""
    ports = []
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "agent.json")
        agent = {"data_dir": folder, "bind_addr": "127.0.0.1", "disable_update_check": True, "log_level": "ERROR"}
        listening = dict(zip(("http", "rpc", "serf"), ports, strict=True))
        agent |= {"ports": listening, "advertise": {name: f"127.0.0.1:{port}" for name, port in listening.items()}}
        config.write_text(json.dumps(agent | {"server": {"enabled": True, "bootstrap_expect": 1}}), encoding="utf-8")
        process = subprocess.Popen([binary, "agent", f"-config={config}"], stdout=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{ports[0]}"
            while not asked(f"{address}/v1/status/leader", None)[1]:
                assert process.poll() is None, f"{binary} ended"
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def asked(address: str, body: object, method: str = "PUT") -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, method="GET" if body is None else method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, ValueError):
        return 0, ""


def answers(address: str, case: Case) -> list[str] | str:
    """Asks a server to validate and to register the job. Returns the errors, or the text of one that stops it."""
    job = case.job | {"Region": None}
    status, reply = asked(f"{address}/v1/validate/job", {"Job": job})
    errors = reply if status != 200 else reply["ValidationErrors"] or []
    registered, text = asked(f"{address}/v1/jobs", {"Job": job})
    if (registered == 200) != (errors == []):
        print(f"{case.name}: validated {errors!r}, registered {registered} {text!r}", file=sys.stderr)
    asked(f"{address}/v1/job/{quote(case.job['ID'], safe='')}?purge=true", {}, "DELETE")
    return errors


def record(binaries: list[str]) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    recorded = {name: recorded.get(name, {}) for name in CASES}
    for binary in binaries:
        version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.split()[1][1:]
        with server(binary) as address:
            for name, case in CASES.items():
                recorded[name][version] = answers(address, case)
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(os.environ["NOMAD_BIN"].split(os.pathsep))
