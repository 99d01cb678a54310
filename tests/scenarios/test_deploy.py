"""One jobspec in all regions: drift, other people's changes and runs, multiregion blocks, jobs that fedml doesn't own."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import federation
from tests.scenarios.light_job import light_job
from tests.scenarios.project import Project, assert_refused, expected_keys, gate, run_id, told

pytestmark = pytest.mark.slow

REGIONS = ("us", "eu", "onprem")
WAITS = "cat {gate}; echo x > model && exec fedml publish model"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own, whose jobs are changed behind fedml's back."""
    with federation(tmp_path_factory.mktemp("deploy") / "shop") as up:
        yield up


def put(project: Project, region: str, path: str, body: dict[str, Any], method: str = "PUT") -> None:
    """What somebody else does to a region, by its API."""
    state = json.loads((project.root / ".fedml/dev/state.json").read_text())
    token = (project.root / ".fedml/dev/token").read_text().strip()
    url = f"http://127.0.0.1:{state['servers'][f'region:{region}']['port']}{path}"
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"X-Nomad-Token": token}, method=method
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


def edit(project: Project, region: str, job: str, **changes: Any) -> None:
    """Somebody edits the registered job in the UI: all of it is sent back, its meta too."""
    put(project, region, f"/v1/job/{job}", {"Job": {**project.region(region, f"/v1/job/{job}"), **changes}})


def test_what_somebody_else_changed_is_shown_and_not_undone_unasked(shop: Project) -> None:
    job = shop.job("drift")
    done = shop.fedml("job", "diff", job)
    assert (done.code, done.out.count("would be registered")) == (1, 3), done.err
    shop.ran("deploy", job)
    assert "No drift." in shop.ran("job", "diff", job).out
    edit(shop, "eu", "drift", Priority=90)

    done = shop.fedml("job", "diff", job)
    assert done.code == 1
    assert "changed since fedml registered it" in done.out
    assert done.out.count("Priority: 50 => 90") == 1, "between the regions"
    document = shop.fedml("job", "diff", job, "--json").json
    assert [one["standing"] for one in document["regions"]] == ["own", "changed", "own"]
    assert [one["change"] for one in document["regions"]] == ["None", "Edited", "None"]
    assert document["between"] == {"eu": [{"path": "Priority", "us": 50, "eu": 90}]}

    shop.ran("index", "list")
    before = {region: shop.jobs(region) for region in REGIONS}
    for command in (("dispatch", "--job", job), ("deploy", job)):
        refused = shop.fedml(*command)
        assert_refused(refused, "region eu: the job drift was changed", "Priority: 50 => 90", "--allow-drift")
    assert {region: shop.jobs(region) for region in REGIONS} == before
    done = shop.fedml("dispatch", "--job", job, "--allow-drift")
    assert done.code == 0, done.err
    assert shop.committed(run_id(done.err)) == expected_keys(3)
    assert shop.fedml("job", "diff", job).code == 0
    assert shop.region("eu", "/v1/job/drift")["Priority"] == 50


def test_a_job_that_was_stopped_or_is_somebody_elses_needs_allowance_too(shop: Project) -> None:
    job = shop.job("owned")
    shop.ran("deploy", job)
    put(shop, "us", "/v1/job/owned", {}, method="DELETE")
    done = shop.fedml("deploy", job)
    assert done.code == 1
    assert "stopped since fedml registered it" in shop.fedml("job", "diff", job).out
    assert shop.region("us", "/v1/job/owned")["Stop"] is True
    shop.ran("deploy", job, "--allow-drift")
    assert shop.region("us", "/v1/job/owned")["Stop"] is False


def test_an_unknown_job_and_a_wrong_file_are_trouble_for_diff(shop: Project) -> None:
    assert_refused(shop.fedml("job", "diff", "nowhere"), "no job 'nowhere' is registered in us, eu, onprem", code=2)
    assert_refused(shop.fedml("job", "diff", "no.nomad.hcl"), "there is no jobspec", code=2)


def test_a_deploy_over_another_runs_open_slots_is_refused_waits_or_gets_a_job_of_its_own(shop: Project) -> None:
    with gate(shop.root / "gate-way") as waiting:
        job = shop.job("way", WAITS.format(gate=waiting))
        first = shop.started("dispatch", "--job", job, "--regions", "us")
        said = told(first, "running    us-1", 1)
        run = run_id(said)
        before = shop.traces()
        other = shop.write("other.nomad.hcl", light_job("way", cpu_mhz=251))
        for command in (("dispatch", "--job", other), ("deploy", other)):
            refused = shop.fedml(*command)
            assert_refused(refused, f"run {run} of ", "1 of 1 results are missing", "in us")
            assert "--isolate" in refused.err
        assert shop.traces() == before

        alone = shop.fedml("dispatch", "--job", other, "--isolate", "--regions", "us", "-n", "2")
        assert alone.code == 0, alone.err
        parent = next(line for line in alone.err.splitlines() if "a job of its own" in line).split()[7].rstrip(",")
        assert parent.startswith("way-")
        assert parent not in shop.jobs("us"), "it is removed at its end"
        rows = shop.rows("--run", run_id(alone.err))
        assert {row["job"] for row in rows} == {"way"}
        assert shop.committed(run_id(alone.err)) == expected_keys(2)

        waits = shop.started("dispatch", "--job", other, "--wait", "--regions", "us")
        heard = told(waits, f"Waiting: run {run}", 1)
    said += first.communicate(timeout=300)[1]
    assert first.returncode == 0, said
    heard += waits.communicate(timeout=300)[1]
    assert waits.returncode == 0, heard
    assert shop.committed(run) == expected_keys(1)
    assert shop.committed(run_id(heard.split("Waiting:")[1].split("Run ", 1)[1])) == expected_keys(1)


def test_a_forced_deploy_lets_the_other_run_go_on_without_those_regions(shop: Project) -> None:
    with gate(shop.root / "gate-force") as waiting:
        job = shop.job("force", WAITS.format(gate=waiting))
        first = shop.started("dispatch", "--job", job, "--regions", "us")
        said = told(first, "running    us-1", 1)
        other = shop.write("forced.nomad.hcl", light_job("force", cpu_mhz=251))
        done = shop.ran("deploy", other, "--force")
        assert f"Ignored (--force): run {run_id(said)}" in done.err
    said += first.communicate(timeout=300)[1]
    assert first.returncode == 0, said


MULTIREGION = """
  multiregion {{
    strategy {{
      max_parallel = 1
      on_failure   = "{on_failure}"
    }}
    region "onprem" {{
      meta {{ place = "cellar" }}
    }}
    region "us" {{
      datacenters = ["{datacenter}"]
    }}
    region "eu" {{}}
  }}
"""


def multiregion(shop: Project, name: str, on_failure: str = "", *, cpu_mhz: int = 250, count: str = "") -> str:
    datacenter = next(iter(shop.region("us", "/v1/nodes")))["Datacenter"]
    text = light_job(name, cpu_mhz=cpu_mhz)
    block = MULTIREGION.format(on_failure=on_failure, datacenter=datacenter)
    if count:
        block = block.replace('region "us" {', f'region "us" {{\n      count = {count}')
        text = text.replace("count = var.count", "count = 0")
    return shop.write(f"{name}.nomad.hcl", text.replace("  parameterized {", f"{block}\n  parameterized {{", 1))


def test_a_multiregion_block_is_done_in_its_order_and_taken_off(shop: Project) -> None:
    job = multiregion(shop, "multi")
    document = shop.ran("deploy", job, "--json").json
    assert [(one["region"], one["action"]) for one in document["regions"]] == [
        ("onprem", "registered"),
        ("us", "registered"),
        ("eu", "registered"),
    ]
    registered = {name: shop.region(name, "/v1/job/multi") for name in REGIONS}
    assert {one["Multiregion"] for one in registered.values()} == {None}
    assert registered["onprem"]["Meta"]["place"] == "cellar"
    assert "place" not in registered["us"]["Meta"]
    assert len({one["Meta"]["fedml_spec"] for one in registered.values()}) == 1
    assert shop.fedml("job", "diff", job).code == 0, "what the block makes different is no drift"
    done = shop.fedml("dispatch", "--job", job, "-n", "3")
    assert done.code == 0, done.err
    assert_refused(
        shop.fedml("deploy", multiregion(shop, "twos", count="2")), '"work", which publishes', "2 allocations"
    )


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [
        ("", ["updated", "failed", "skipped"]),
        ("fail_all", ["reverted", "failed", "skipped"]),
        ("fail_local", ["updated", "failed", "updated"]),
    ],
)
def test_a_region_that_fails_in_the_middle_of_a_rollout(shop: Project, on_failure: str, expected: list[str]) -> None:
    """The region us refuses the new job (a priority out of bounds, by its own variable)."""
    name = f"roll-{on_failure or 'default'}"
    job = multiregion(shop, name, on_failure)
    text = (
        (shop.root / job).read_text().replace("  datacenters = [", "  priority    = var.priority\n  datacenters = [", 1)
    )
    text = 'variable "priority" {\n  type    = number\n  default = 50\n}\n\n' + text
    shop.ran("deploy", shop.write(job, text))
    config = shop.write("strict.toml", (shop.root / "fedml.toml").read_text() + "\n[regions.us.vars]\npriority = 200\n")
    shop.write(job, text.replace("cpu    = 250", "cpu    = 251"))
    done = shop.fedml("deploy", job, "--config", config, "--json")
    assert done.code == 1
    assert [one["action"] for one in done.json["regions"]] == expected
    assert "priority must be between" in done.json["regions"][1]["error"]
    sizes = [shop.region(region, f"/v1/job/{name}") for region in ("onprem", "us", "eu")]
    assert [one["TaskGroups"][0]["Tasks"][0]["Resources"]["CPU"] for one in sizes] == [
        251 if action == "updated" else 250 for action in expected
    ]
    versions = {"updated": 1, "reverted": 2, "failed": 0, "skipped": 0}
    assert [one["Version"] for one in sizes] == [versions[action] for action in expected]
    assert shop.fedml("job", "diff", job).code == 1


GOOD = "echo x > model && exec fedml publish model"


def spec_in(shop: Project, region: str, name: str) -> str:
    return str(shop.region(region, f"/v1/job/{name}")["Meta"]["fedml_spec"])


def test_a_canary_that_fails_puts_all_regions_back(shop: Project) -> None:
    shop.ran("deploy", shop.job("canary", GOOD))
    before = {region: spec_in(shop, region, "canary") for region in REGIONS}
    job = shop.job("canary", "echo out of luck >&2; exit 3")
    done = shop.fedml("dispatch", "--job", job, "--canary", "1", "-n", "9")
    assert done.code == 2, done.err
    assert "a canary failed in" in done.err
    assert done.err.count("the job canary is as it was before, as version 2") == 3
    assert {region: spec_in(shop, region, "canary") for region in REGIONS} == before
    children = [child for region in REGIONS for child in shop.children(region, "canary")]
    assert len(children) <= 3, "the rest was never dispatched"
    shop.job("canary", GOOD)
    assert shop.fedml("job", "diff", job).code == 0


def test_a_canary_that_fails_in_one_region_puts_that_one_back(shop: Project) -> None:
    """It wasn't there before, so it is removed; the others go on once their canaries' results are in the index."""
    job = shop.job("local", f'test "$FEDML_REGION" = us && exit 3; {GOOD}')
    done = shop.fedml("dispatch", "--job", job, "--canary", "1", "-n", "6", "--on-failure", "fail_local")
    assert done.code == 0, done.err
    assert "the job local was removed: there was none before" in done.err
    assert "local" not in shop.jobs("us")
    run = run_id(done.err)
    assert shop.committed(run) == expected_keys(6)
    assert {row["region"] for row in shop.rows("--run", run)} == {"eu", "onprem"}


def test_a_registered_job_without_a_file_is_dispatched_as_it_stands(shop: Project) -> None:
    """The job is fedml's own spec, so its results are told apart; nothing is registered."""
    shop.ran("deploy", shop.job("standing"))
    (shop.root / "standing.nomad.hcl").unlink()
    before = {region: shop.jobs(region)["standing"] for region in REGIONS}
    done = shop.fedml("dispatch", "--job", "standing", "-n", "3")
    assert done.code == 0, done.err
    run = run_id(done.err)
    assert shop.committed(run) == expected_keys(3)
    assert {region: shop.jobs(region)["standing"] for region in REGIONS} == before
    assert shop.fedml("runs", "show", run).code == 0
    assert "The regions' jobs are the same." in shop.ran("job", "diff", "standing").out

    edit(shop, "onprem", "standing", Priority=60)
    assert_refused(shop.fedml("dispatch", "--job", "standing"), "isn't the same in us and onprem: Priority: 50 => 60")
    assert shop.fedml("dispatch", "--job", "standing", "--allow-drift").code == 0


def foreign(name: str) -> dict[str, Any]:
    """A job that somebody registered with plain Nomad: it declares no key of fedml's."""
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/true"},
        "Resources": {"CPU": 50, "MemoryMB": 16},
    }
    return {
        "ID": name,
        "Name": name,
        "Type": "batch",
        "Datacenters": ["*"],
        "ParameterizedJob": {"MetaOptional": ["model_version", "epochs"]},
        "TaskGroups": [{"Name": "g", "Tasks": [task]}],
    }


def test_a_job_of_somebody_else_gets_exactly_the_meta_that_it_declares(shop: Project) -> None:
    for region in ("us", "eu"):
        put(shop, region, "/v1/jobs", {"Job": foreign("theirs")})
    before = {region: shop.jobs(region)["theirs"] for region in ("us", "eu")}
    asked = ("dispatch", "--job", "theirs", "--regions", "us,eu", "-n", "4", "-meta", "epochs=2")
    assert_refused(shop.fedml(*asked), "declares no meta key fedml_run, fedml_slot, fedml_attempt", code=1)
    config = shop.variant("statuses", ("[federation]\n", '[federation]\nresults = "none"\n'))
    done = shop.fedml(*asked, "--config", config)
    assert done.code == 0, done.err
    children = [child for region in ("us", "eu") for child in shop.children(region, "theirs")]
    assert len(children) == 4
    for child in children:
        assert child["Meta"] == {"epochs": "2", "model_version": "1"}
    assert {region: shop.jobs(region)["theirs"] for region in ("us", "eu")} == before
    shown = shop.ran("runs", "show", run_id(done.err), "--json", "--config", config).json
    assert shown["state"] == "done"


def test_deploy_never_dispatches_what_is_registered_after_the_drift_check(shop: Project) -> None:
    job = shop.job("given")
    config = shop.variant("never", ("[federation]\n", '[federation]\ndeploy = "never"\n'))
    shop.ran("deploy", job)
    done = shop.fedml("dispatch", "--config", config, "--job", job, "--regions", "us")
    assert done.code == 0, done.err
    shop.write(job, light_job("given", cpu_mhz=251))
    before = shop.traces()
    refused = shop.fedml("dispatch", "--config", config, "--job", job)
    assert_refused(refused, "isn't what given.nomad.hcl says (", "Resources.CPU: 251 => 250", 'deploy = "never"')
    assert shop.traces() == before
    done = shop.fedml("dispatch", "--config", config, "--job", job, "--allow-drift", "--regions", "us")
    assert done.code == 0, done.err
    assert shop.committed(run_id(done.err)) == expected_keys(1)
    assert shop.jobs("us")["given"] == before[1]["us"]["given"]


def test_validate_and_render_take_a_file_as_nomad_does(shop: Project) -> None:
    job = shop.job("plainly")
    assert shop.ran("job", "validate", job, "--regions", "us").out.startswith("us: plainly.nomad.hcl is valid")
    assert set(shop.ran("job", "render", job).json) == set(REGIONS)
    assert_refused(shop.fedml("job", "render", job, "--job", job), "two jobs are named")
    assert Path(shop.root / job).exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(shop: Project) -> None:
    job = shop.job("dry")
    deployed = shop.ran("deploy", "--job", job, "--dry-run", "--json")
    assert {one["region"]: one["change"] for one in deployed.json["regions"]} == dict.fromkeys(REGIONS, "Added")
    dispatched = shop.ran("dispatch", "--job", job, "-n", "2", "--dry-run", "--json")
    assert (dispatched.json["slots"], dispatched.json["version"]) == (2, "1")
    assert "Nothing was dispatched" in dispatched.err
    assert "Nothing was registered" in shop.ran("deploy", "--job", job, "--dry-run").err
    assert shop.ran("runs", "list", "--job", "dry", "--json").json["runs"] == []
    assert {one["job_modify_index"] for one in shop.fedml("plan", "--job", job, "--json").json["regions"]} == {0}
