"""Cases for tasks and their resources."""

from __future__ import annotations

from collections.abc import Iterator

from tests.jobs.nomad_json.refused_case import Case, block


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
