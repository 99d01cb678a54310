"""Cases for services and their checks."""

from __future__ import annotations

from collections.abc import Iterator

from tests.jobs.nomad_json.refused_case import Case, block


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
