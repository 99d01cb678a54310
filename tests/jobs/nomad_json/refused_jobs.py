"""Cases for fields and blocks of the job itself, and for constraints, affinities and spreads."""

from __future__ import annotations

from collections.abc import Iterator

from tests.jobs.nomad_json.refused_case import GOLDEN, Case, block


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
