"""Builds jobspecs that Nomad's servers accept: batch jobs with blocks and arguments of all kinds, drawn by a seed.

Each entry of a table stands for one argument or block, with its alternatives (`;` for a new line). A job takes some.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import chain

_Table = Mapping[str, Sequence[str]]

_JOB = {
    "priority": ["priority = 1", "priority = 70", "priority = 100"],
    "name": ['name = "another-name"'],
    "all_at_once": ["all_at_once = true", "all_at_once = false"],
    "datacenters": ['datacenters = ["*"]', 'datacenters = ["us-east-1", "us-*"]', "datacenters = []"],
    "node_pool": ['node_pool = "default"', 'node_pool = "all"'],
    "meta": ['meta { team = "ml" }', 'meta = { a = 1, b = "" }', "meta {}"],
    "reschedule": [
        "reschedule { attempts = 0; unlimited = false }",
        'reschedule { attempts = 2; interval = "1h"; delay = "10s" }',
        'reschedule { unlimited = true; attempts = 0; delay_function = "exponential"; max_delay = "1h" }',
        "reschedule {}",
    ],
    "constraint": [
        'constraint { attribute = "${attr.kernel.name}"; value = "linux" }',
        "constraint { distinct_hosts = true }",
        'constraint { attribute = "${meta.rack}"; operator = "is_set" }',
        'constraint { distinct_property = "${meta.rack}"; value = 3 }',
        'constraint { attribute = "${attr.os.signals}"; set_contains = "SIGUSR1" }',
    ],
    "affinity": [
        'affinity { attribute = "${node.datacenter}"; value = "us-east-1" }',
        'affinity { attribute = "${meta.tags}"; set_contains_any = "a,b"; weight = -50 }',
    ],
    "spread": [
        'spread { attribute = "${node.datacenter}" }',
        'spread { attribute = "${meta.rack}"; weight = 80; target "r1" { percent = 70 }; target "r2" {} }',
    ],
}
_PARAMETERIZED = [
    "parameterized {}",
    'parameterized { payload = "required"; meta_required = ["lr"] }',
    'parameterized { payload = "forbidden"; meta_optional = ["model_version", "epochs"] }',
    'parameterized { meta_required = []; payload = "" }',
]
_GROUP = {
    "count": ["count = 0", "count = 1", "count = 3"],
    "constraint": [
        'constraint { attribute = "${attr.cpu.arch}"; regexp = "amd.*" }',
        'constraint { attribute = "${attr.nomad.version}"; semver = ">= 1.0.0" }',
        'constraint { attribute = "${attr.os.signals}"; set_contains = "SIGUSR1" }',
        'constraint { attribute = "${attr.nomad.service_discovery}"; value = "true" }',
        'constraint { attribute = "${attr.consul.version}"; semver = ">= 1.7.0" }',
        'constraint { attribute = "${attr.plugins.cni.version.bridge}"; semver = ">= 1.1.0" }',
    ],
    "affinity": ['affinity { attribute = "${meta.gpu}"; value = "true"; weight = 100 }'],
    "spread": ['spread { attribute = "${node.unique.id}"; weight = 100 }'],
    "meta": ['meta { fedml_publish = "false" }', "meta { k = 4 }"],
    "restart": [
        'restart { attempts = 0; mode = "fail" }',
        'restart { attempts = 2; interval = "10m"; delay = "25s"; mode = "delay" }',
        "restart { render_templates = true }",
        "restart {}",
    ],
    "reschedule": [
        "reschedule { attempts = 0; unlimited = false }",
        'reschedule { delay = "1m" }',
        "reschedule { unlimited = true; attempts = 0 }",
        "reschedule {}",
    ],
    "ephemeral_disk": [
        "ephemeral_disk { size = 200 }",
        "ephemeral_disk { sticky = true; migrate = true; size = 500 }",
        "ephemeral_disk {}",
    ],
    "network": [
        'network { port "http" {} }',
        'network { port "http" { to = 8080 }; port "ssh" { static = 2222 } }',
        'network { mode = "host"; mbits = 10; port "http" { host_network = "default" } }',
        (
            'network { mode = "bridge"; hostname = "h"; port "http" { to = -1 }; '
            'dns { servers = ["1.1.1.1"]; options = ["ndots:2"] } }'
        ),
        "network {}",
    ],
    "shutdown_delay": ['shutdown_delay = "7s"', 'shutdown_delay = "0s"'],
    "disconnect": ['max_client_disconnect = "1h"', 'stop_after_client_disconnect = "10m"'],
    "scaling": [
        "scaling { max = 10; min = 0 }",
        'scaling { enabled = false; min = 0; max = 3;  policy { cooldown = "1m"; check "load" { query = "avg" } } }',
    ],
    "consul": ["consul {}"],
}
_TASK = {
    "user": ['user = "nobody"'],
    "leader": ["leader = false"],
    "kill_timeout": ['kill_timeout = "20s"', "kill_timeout = 0", 'kill_timeout = "0s"'],
    "kill_signal": ['kill_signal = "SIGTERM"', 'kill_signal = "SIGUSR1"', 'kill_signal = ""'],
    "shutdown_delay": ['shutdown_delay = "1s"'],
    "constraint": [
        'constraint { attribute = "${attr.os.name}"; value = "debian" }',
        'constraint { attribute = "${attr.consul.version}"; semver = ">= 1.8.0" }',
    ],
    "affinity": ['affinity { attribute = "${attr.cpu.arch}"; value = "amd64" }'],
    "env": ['env { A = "1"; B = "${node.unique.name}" }', "env {}"],
    "meta": ['meta { x = "y" }', "meta {}"],
    "resources": [
        "resources { cpu = 200; memory = 64 }",
        "resources { cores = 1; memory = 64; memory_max = 128 }",
        "resources { cpu = 50; disk = 200; iops = 3 }",
        (
            'resources { device "nvidia/gpu" { count = 2; '
            'affinity { attribute = "${device.attr.memory}"; value = "2 GiB"; operator = ">" } } }'
        ),
        'resources { device "gpu" {} }',
        'resources { memory = 20; network { mbits = 5; port "db" {} } }',
        "resources {}",
    ],
    "restart": ["restart { attempts = 1 }", 'restart { interval = "30m" }', "restart {}"],
    "logs": ["logs { max_files = 2; max_file_size = 5 }", "logs { disabled = true }", "logs {}"],
    "artifact": [
        'artifact { source = "https://example.com/a.tgz" }',
        'artifact { source = "https://example.com/b/data.bin"; mode = "file" }',
        (
            'artifact { source = "s3::https://s3.amazonaws.com/b/k"; destination = "local/x"; mode = "dir"; '
            'options { checksum = "md5:df6a4178aec9fbdc1d6d7e3634d1bc33" }; headers { X = "1" } }'
        ),
    ],
    "template": [
        'template { data = "x"; destination = "local/x" }',
        'template { data = "x"; destination = "local/y"; change_mode = "signal"; change_signal = "sighup" }',
        (
            'template { source = "local/in"; destination = "local/out"; change_mode = "noop"; perms = "600"; env = true; '
            'uid = 1; gid = 2; vault_grace = "3s" }'
        ),
        (
            'template { data = ""; source = "local/a"; destination = "local/z"; change_mode = "script"; '
            'splay = "1s"; change_script { command = "/bin/true" }; wait { min = "2s"; max = "10s" } }'
        ),
        'template { data = "y"; destination = "local/w"; left_delimiter = "<<"; error_on_missing_key = true }',
    ],
    "dispatch_payload": ['dispatch_payload { file = "in.json" }'],
    "identity": ["identity {}", "identity { env = true; file = true }"],
    "scaling": ['scaling "cpu" { max = 500; min = 1; policy { x = 1 } }', 'scaling "mem" { max = 512; min = 10 }'],
    "csi_plugin": ['csi_plugin { id = "p"; type = "node" }'],
}
_SERVICES = {
    "nomad": [
        'service { provider = "nomad"; port = "8080" }',
        (
            'service { provider = "nomad"; name = "${JOB}-x"; port = "9000"; tags = ["a"]; '
            'check { type = "http"; path = "/"; interval = "10s"; timeout = "2s"; check_restart { limit = 2 } }; '
            'check_restart { limit = 3; grace = "9s" } }'
        ),
    ],
    "consul": [
        (
            'service { name = "web"; port = "80"; on_update = "ignore"; meta { a = "b" }; '
            'check { type = "tcp"; interval = "10s"; timeout = "2s" } }'
        ),
        'service { provider = "consul"; canary_tags = []; address_mode = "host" }',
    ],
}
_TASK_SERVICES = {
    "nomad": ['service { provider = "nomad" }', 'service { provider = "nomad"; name = "t-${TASK}" }'],
    "consul": [
        'service { name = "t-${TASK}"; check { type = "script"; command = "/bin/true"; interval = "10s"; timeout = "2s" } }',
        "service {}",
    ],
}
_OTHER_TASKS = {"lifecycle": ['lifecycle { hook = "poststop" }', 'lifecycle { hook = "prestart"; sidecar = true }']}
"""Of tasks beside the first."""
_VOLUMES = [
    'volume "data" { type = "host"; source = "data" }',
    (
        'volume "data" { type = "csi"; source = "d"; attachment_mode = "file-system"; access_mode = "multi-node-multi-writer"; '
        'mount_options { fs_type = "ext4" } }'
    ),
]
_MOUNTS = [
    'volume_mount { volume = "data"; destination = "/data" }',
    'volume_mount { volume = "data"; destination = "/data"; read_only = true; propagation_mode = "host-to-task" }',
]
_CONFIG = [
    'config { command = "/bin/true" }',
    'config { command = "/bin/sh"; args = ["-c", "true"] }',
    "config {}",
    'config { image = "a"; ports = ["http"]; mount { type = "bind"; source = "x"; readonly = true }; labels { a = 1 } }',
]
_NEWER_JOB = {
    "ui": ['ui { description = "d"; link { label = "l"; url = "https://example.com" } }', "ui {}"],
}
_NEWER_GROUP = {
    "disconnect": [
        'disconnect { lost_after = "6h" }',
        'disconnect { stop_on_client_after = "1h"; replace = false }',
        "prevent_reschedule_on_lost = true",
    ],
    "max_run_duration": ['max_run_duration = "6h"'],
    "network": [
        'network { port "s" { static = 2022; ignore_collision = true } }',
        'network { mode = "cni/x"; cni { args = { a = "b" } } }',
    ],
    "consul": ['consul { partition = "p" }'],
}
_NEWER_TASK = {
    "identity": [
        'identity { name = "aws"; aud = ["sts"]; ttl = "1h"; file = true }',
        'identity { name = "default"; env = true }',
        'identity { change_mode = "signal"; change_signal = "sighup"; file = true }',
    ],
    "consul": ["consul {}"],
    "action": ['action "a" { command = "/bin/true" }'],
    "secret": ['secret "s" { provider = "nomad"; path = "p" }'],
    "artifact": ['artifact { source = "https://example.com/c"; insecure = true; chown = true }'],
    "resources": ['resources { numa { affinity = "none" }; secrets = 3 }'],
    "template": [
        'template { data = "x"; destination = "local/o"; once = true; change_mode = "noop" }',
        (
            'template { data = "x"; destination = "local/s"; change_mode = "script"; '
            'change_script { command = "/bin/true"; run_on_first_render = true } }'
        ),
    ],
}
_NEWER_SERVICES = {
    "consul": [
        'service { name = "w"; port = "1"; weights { passing = 3 }; identity { aud = ["consul.io"] } }',
    ],
}


def jobspec(seed: int, *, newer: bool = False) -> str:
    """A jobspec that Nomad 1.6.3 accepts, or one for 2.0.5 with what came between."""
    return _Builder(random.Random(seed), newer).text(f"built-{seed}")


def _expanded(text: str) -> str:
    """Puts what stands between braces and semicolons on lines of its own. Texts in quotes stay."""
    parts = re.split(r'("[^"]*")', text)
    lines = {"{": "{\n", "}": "\n}\n", ";": "\n"}
    return "".join(part if part[:1] == '"' else re.sub("[{};]", lambda found: lines[found[0]], part) for part in parts)


def _joined(*tables: _Table) -> _Table:
    return {name: [text for table in tables for text in table.get(name, ())] for name in dict.fromkeys(chain(*tables))}


class _Builder:
    def __init__(self, chance: random.Random, newer: bool) -> None:
        self.chance = chance
        self.job = _joined(_JOB, _NEWER_JOB) if newer else _JOB
        self.group = _joined(_GROUP, _NEWER_GROUP) if newer else _GROUP
        self.task = _joined(_TASK, _NEWER_TASK) if newer else _TASK
        self.services = _joined(_SERVICES, _NEWER_SERVICES) if newer else _SERVICES

    def text(self, name: str) -> str:
        kind = ['type = "batch"', self.chance.choice(_PARAMETERIZED)]
        groups = [self._group(f"g{number}") for number in range(self.chance.choice([1, 1, 1, 2]))]
        return _expanded("\n".join([f'job "{name}" {{', *kind, *self._drawn(self.job, 0.3), *chain(*groups), "}", ""]))

    def _group(self, name: str) -> list[str]:
        provider = self.chance.choice(["", "", "nomad", "consul"])  # one for all services of a group
        volume = self.chance.choice(["", "", "", *_VOLUMES])
        service = [self.chance.choice(self.services[provider])] if provider and self.chance.random() < 0.7 else []
        tasks = [self._task(number, provider, volume) for number in range(self.chance.choice([1, 1, 2, 3]))]
        return [f'group "{name}" {{', *self._drawn(self.group, 0.25), volume, *service, *chain(*tasks), "}"]

    def _task(self, number: int, provider: str, volume: str) -> list[str]:
        driver = self.chance.choice(["raw_exec", "exec", "docker"])
        inner = [f'driver = "{driver}"', self.chance.choice(_CONFIG), *self._drawn(self.task, 0.22)]
        if number:
            inner += self._drawn(_OTHER_TASKS, 0.2)
        if volume and self.chance.random() < 0.6:
            inner.append(self.chance.choice(_MOUNTS))
        if provider and self.chance.random() < 0.3:
            inner.append(self.chance.choice(_TASK_SERVICES[provider]))
        return [f'task "t{number}" {{', *inner, "}"]

    def _drawn(self, table: _Table, share: float) -> list[str]:
        return [self.chance.choice(alternatives) for alternatives in table.values() if self.chance.random() < share]
