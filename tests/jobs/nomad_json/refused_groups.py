"""Cases for groups, their volumes and their networks."""

from __future__ import annotations

from collections.abc import Iterator

from tests.jobs.nomad_json.refused_case import Case, block


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
