from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import regions.nomad.client
from federation.check import Check, Outcome, clock_check, is_healthy
from federation.checks.doctor import stores as doctor_stores
from federation.checks.doctor.examine import check_addresses, examine, stores_of
from federation.checks.doctor.installation import check_installation
from federation.checks.doctor.job import check_job
from federation.checks.doctor.regions import check_region
from federation.checks.doctor.report import as_json, rows, summary
from federation.checks.doctor.roles import identity_policy, nomad_policy
from federation.checks.doctor.stores import check_store
from federation.cli import run
from federation.config.load import load
from jobs.errors import InvalidSpec
from regions.credentials import SecretRef
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionUnreachable
from regions.model import Allocation, Datacenter, Node, Region, StoreConfig
from regions.storage.backend import backend_of
from regions.storage.errors import PermissionDenied as StoreDenied
from regions.storage.store import Create, Mode, ObjectInfo, Store

STORE = StoreConfig("s3://ml-us/models")
US = Region(
    "us", ("http://a:4646", "http://b:4646"), {"dc1": Datacenter("dc1", STORE)}, token=SecretRef(env="TOKEN_OF_TEST")
)
NODE = Node("id", "us-1", "dc1", is_ready=True, cpu_mhz=1, memory_mb=1, drivers=frozenset({"raw_exec", "exec"}))


class Servers:
    """What stands behind NomadRegion. Attributes say how it behaves."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.leader_text = "10.0.0.1:4647"
        self.names = ["us"]
        self.version_text = "1.6.3"
        self.denied: set[str] = set()
        self.nodes_list = [NODE]
        self.skew = timedelta()
        self.dispatched: list[str] = []
        self.token: dict[str, Any] | None = {"Type": "client", "Policies": ["fedml-coordinator"]}
        self.refusal = ""
        """What they say of every job."""
        self.some: Allocation | None = Allocation("a1", "train/dispatch-1", "g", 0, "id", "us-1", "complete", "run")

    def client(self, region: Region, **_: object) -> Client:
        return Client(self, region)


class Client:
    def __init__(self, servers: Servers, region: Region) -> None:
        self.servers = servers
        self.region = region

    def close(self) -> None:
        pass

    def allowed(self, capability: str) -> None:
        if capability in self.servers.denied:
            raise PermissionDenied(f"{capability}: Permission denied", region="us", operation=capability)

    def leader(self) -> str:
        if self.servers.dead >= set(self.region.addresses):
            raise RegionUnreachable("leader: connection refused", region="us", operation="leader")
        return self.servers.leader_text

    def acl_self(self) -> dict[str, Any] | None:
        self.allowed("token")
        return self.servers.token

    def federation_regions(self) -> list[str]:
        return self.servers.names

    def version(self) -> str:
        self.allowed("node:read")
        return self.servers.version_text

    def agent_time(self) -> datetime:
        return (datetime.now(UTC) + self.servers.skew).replace(microsecond=0)

    def jobs(self, prefix: str) -> list[dict[str, Any]]:
        assert prefix.startswith("fedml-doctor-")
        self.allowed("list-jobs")
        return []

    def job(self, job_id: str) -> dict[str, Any]:
        self.allowed("read-job")
        raise NotFound(f"no {job_id}", region="us")

    def try_to_dispatch(self, job_id: str) -> None:
        self.allowed("dispatch-job")
        self.servers.dispatched.append(job_id)

    def take(self, job: dict[str, Any]) -> None:
        if self.servers.refusal:
            raise InvalidJob(f"plan job {job['ID']}: {self.servers.refusal}", region="us", operation="plan")

    def plan_job(self, job: dict[str, Any]) -> None:
        self.take(job)
        if "submit-job" in self.servers.denied:
            self.allowed("plan-job")

    def smallest_job(self, job_id: str) -> dict[str, Any]:
        return {"ID": job_id}

    def try_to_submit(self, job_id: str) -> None:
        self.take(self.smallest_job(job_id))
        self.allowed("submit-job")

    def some_allocation(self) -> Allocation | None:
        self.allowed("read-job")
        return self.servers.some

    def logs(self, alloc_id: str, task: str, *, tail_bytes: int) -> bytes:
        self.allowed("read-logs")
        raise NotFound(f'unknown task name "{task}"', region="us")

    def read_file(self, alloc_id: str, path: str) -> bytes:
        self.allowed("read-fs")
        raise NotFound(f"{path}: no such file or directory", region="us")

    def nodes(self) -> list[Node]:
        self.allowed("node:read")
        return self.servers.nodes_list


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    made = Servers()
    monkeypatch.setattr(regions.nomad.client, "NomadRegion", made.client)
    monkeypatch.setenv("TOKEN_OF_TEST", "secret")
    return made


def outcomes(checks: list[Check]) -> dict[str, Outcome]:
    found = {check.name: check.outcome for check in checks}
    assert len(found) == len(checks)
    return found


def one(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_region_where_all_is_well(servers: Servers) -> None:
    checks = check_region(US, {"ID": "train", "Datacenters": ["dc1"], "TaskGroups": [group("exec")]})
    assert set(outcomes(checks).values()) == {Outcome.OK}
    assert one(checks, "token").detail == "client (fedml-coordinator)"
    assert one(checks, "version").detail == "1.6.3"
    assert one(checks, "datacenter dc1").detail == "1 of 1 nodes ready"
    needed = ("list-jobs", "read-job", "dispatch-job", "submit-job", "read-logs", "read-fs", "node:read")
    assert {f"may {each}" for each in needed} <= set(outcomes(checks))
    assert servers.dispatched[0].startswith("fedml-doctor-")
    assert not any("secret" in repr(check) for check in checks)


def test_one_of_two_addresses_is_down(servers: Servers) -> None:
    servers.dead = {"http://a:4646"}
    checks = check_region(US)
    assert one(checks, "address http://b:4646").outcome is Outcome.OK
    down = one(checks, "address http://a:4646")
    assert (down.outcome, down.detail) == (Outcome.WARNING, "connection refused")
    assert is_healthy(checks)


def test_no_address_answers(servers: Servers) -> None:
    servers.dead = set(US.addresses)
    checks = check_region(US)
    assert outcomes(checks) == {"address http://a:4646": Outcome.FAILED, "address http://b:4646": Outcome.FAILED}


@pytest.mark.parametrize(
    ("attribute", "value", "name", "outcome", "says"),
    [
        ("leader_text", "", "address http://a:4646", Outcome.FAILED, "no leader"),
        ("names", ["global"], "Nomad's name", Outcome.FAILED, "know no region 'us'"),
        ("version_text", "0.12.5", "version", Outcome.FAILED, "older than 1.6.3"),
        ("version_text", "1.6.2", "version", Outcome.FAILED, "the oldest version that fedml supports"),
        ("skew", timedelta(minutes=2), "clock", Outcome.WARNING, "ahead of this machine"),
        ("skew", timedelta(minutes=-20), "clock", Outcome.FAILED, "behind this machine"),
        ("denied", {"token"}, "token", Outcome.FAILED, "the servers refuse it"),
        ("denied", {"dispatch-job"}, "may dispatch-job", Outcome.FAILED, "doesn't allow"),
        ("denied", {"submit-job"}, "may submit-job", Outcome.WARNING, "can't deploy or stop"),
        ("denied", {"submit-job", "plan-job"}, "may plan-job", Outcome.WARNING, "free slots are estimated"),
        ("denied", {"read-logs"}, "may read-logs", Outcome.WARNING, "`fedml logs` shows nothing"),
        ("denied", {"read-fs"}, "may read-fs", Outcome.WARNING, "can't be read from its allocation"),
        ("some", None, "may read-logs, read-fs", Outcome.SKIPPED, "no allocation yet"),
        ("token", {"Type": "management"}, "token", Outcome.WARNING, "may do everything"),
        ("refusal", "nonexistent namespace", "may submit-job", Outcome.FAILED, "nonexistent namespace"),
        ("denied", {"node:read"}, "may node:read", Outcome.WARNING, "can't be looked at"),
        ("denied", {"node:read"}, "version", Outcome.SKIPPED, "Permission denied"),
        ("denied", {"node:read"}, "datacenter dc1", Outcome.SKIPPED, "could not be read"),
        ("nodes_list", [], "datacenter dc1", Outcome.WARNING, "no node"),
        (
            "nodes_list",
            [replace(NODE, is_ready=False)],
            "datacenter dc1",
            Outcome.WARNING,
            "none of its 1 nodes is ready",
        ),
        ("nodes_list", [NODE, replace(NODE, datacenter="dc2")], "datacenter dc2", Outcome.WARNING, "stands not in"),
    ],
)
def test_what_is_not_well_says_what_to_do(
    servers: Servers, attribute: str, value: object, name: str, outcome: Outcome, says: str
) -> None:
    setattr(servers, attribute, value)
    check = one(check_region(US), name)
    assert check.outcome is outcome
    assert says in check.detail
    assert check.remedy or outcome is Outcome.SKIPPED


def test_plan_job_alone_is_not_submit_job(servers: Servers) -> None:
    servers.denied = {"submit-job"}
    checks = outcomes(check_region(US))
    assert (checks["may submit-job"], checks["may plan-job"]) == (Outcome.WARNING, Outcome.OK)


def test_acls_that_are_off_are_said_and_allow_everything(servers: Servers) -> None:
    servers.token, servers.some = None, None
    for region, says in ((US, "sent, but ACLs are off"), (replace(US, token=None), "none is sent, and ACLs are off")):
        checks = check_region(region)
        assert set(outcomes(checks).values()) == {Outcome.OK}
        assert says in one(checks, "token").detail


def test_no_token_where_acls_are_on(servers: Servers) -> None:
    without = replace(US, token=None)
    servers.token = {"AccessorID": "anonymous", "Type": "client"}  # since 1.7
    assert one(check_region(without), "token").outcome is Outcome.WARNING
    servers.denied = {"token"}  # before
    assert "anonymous policy" in one(check_region(without), "token").detail


def test_a_development_federation_may_have_a_management_token(servers: Servers) -> None:
    servers.token = {"Type": "management"}
    assert one(check_region(US, is_dev=True), "token").outcome is Outcome.OK


def test_a_job_that_servers_refuse_is_not_ok(servers: Servers) -> None:
    job = {"ID": "train", "Datacenters": ["dc1"], "TaskGroups": [group("exec")]}
    servers.refusal = "1 error occurred: * total count was greater than configured job_max_count: 3 > 2"
    check = one(check_region(US, job), "job train")
    assert check.outcome is Outcome.FAILED
    assert check.detail == servers.refusal
    assert check.remedy
    servers.refusal = ""
    servers.denied = {"submit-job", "plan-job"}
    assert "job train" not in outcomes(check_region(US, job))


def test_regions_that_share_all_addresses_are_named(project: Callable[[str], Path], servers: Servers) -> None:
    more = """
            [regions.eu]
            addresses = ["http://a:4646"]
            store = "file://./stores/eu"
            [regions.eu.datacenters.dc1]
            [regions.ap]
            addresses = ["http://b:4646", "http://a:4646"]
            store = "file://./stores/ap"
            [regions.ap.datacenters.dc1]
            """
    check = one(check_addresses(load(project(more))), "addresses")
    assert check.outcome is Outcome.WARNING
    assert check.detail.startswith("us, eu are reached only over http://a:4646")
    assert check_addresses(load(project(""))) == []


@pytest.mark.parametrize(
    ("token", "says"),
    [(SecretRef(env="NOT_SET_IN_TEST"), "NOT_SET_IN_TEST"), (SecretRef(file=Path("/nonexistent/t")), "/nonexistent/t")],
)
def test_a_token_that_is_not_there(servers: Servers, token: SecretRef, says: str) -> None:
    (check,) = check_region(replace(US, token=token))
    assert check.outcome is Outcome.FAILED
    assert says in check.detail
    assert check.remedy


def test_the_development_federation_is_not_up() -> None:
    (region,) = check_region(replace(US, addresses=("dev:us",)))
    (store,) = check_store(replace(STORE, endpoint="dev:s3"), "us/dc1")
    for check in (region, store):
        assert check.outcome is Outcome.FAILED
        assert "fedml dev up" in check.remedy


# ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def group(driver: str, *, volume: str = "", mounts: bool = False) -> dict[str, Any]:
    task = {"Name": "train", "Driver": driver, "VolumeMounts": [{"Volume": "v"}] if mounts else None}
    volumes = {"v": {"Type": "host", "Source": volume}} if volume else None
    return {"Name": "g", "Tasks": [task], "Volumes": volumes}


@pytest.mark.parametrize(
    ("wanted", "outcome", "says"),
    [
        (group("exec"), Outcome.OK, "1 ready node with exec"),
        (group("docker"), Outcome.FAILED, "no ready node offers driver docker; offered: exec, raw_exec"),
        (group("exec", volume="models"), Outcome.FAILED, "no ready node offers host volume models; offered: none"),
        (group("raw_exec", volume="models", mounts=True), Outcome.FAILED, "which the driver raw_exec refuses"),
    ],
)
def test_drivers_and_volumes_that_the_job_asks_for(wanted: dict[str, Any], outcome: Outcome, says: str) -> None:
    (check,) = check_job("region us", {"ID": "train", "Datacenters": ["dc1"], "TaskGroups": [wanted]}, [NODE])
    assert check.outcome is outcome
    assert says in check.detail
    assert bool(check.remedy) == (outcome is Outcome.FAILED)


def test_no_single_node_has_all_of_it() -> None:
    nodes = [replace(NODE, host_volumes=frozenset({"models"}), drivers=frozenset()), NODE]
    job = {"ID": "train", "Datacenters": ["dc1"], "TaskGroups": [group("exec", volume="models")]}
    (check,) = check_job("region us", job, nodes)
    assert check.detail == "no single node offers all of exec, models"


@pytest.mark.parametrize(
    ("pool", "fits", "ignored"),
    [
        (None, True, "runs in gpu (1 ready node)"),
        ("", True, "runs in gpu (1 ready node)"),
        ("gpu", True, "runs in default (1 ready node)"),
        ("all", True, ""),
        ("tpu", False, "runs in default (1 ready node), gpu (1 ready node)"),
    ],
)
def test_only_nodes_of_the_job_s_pool_count(pool: str | None, fits: bool, ignored: str) -> None:
    nodes = [replace(NODE, node_pool="default"), replace(NODE, node_pool="gpu")]
    job = {"ID": "train", "Datacenters": ["dc1"], "NodePool": pool, "TaskGroups": [group("exec")]}
    first, *others = check_job("region us", job, nodes)
    assert first.outcome is (Outcome.OK if fits else Outcome.FAILED)
    assert [check.outcome for check in others] == ([Outcome.WARNING] if ignored else [])
    assert all(ignored in check.detail for check in others)


def test_pools_of_a_datacenter_are_told(servers: Servers) -> None:
    servers.nodes_list = [NODE, replace(NODE, node_pool="gpu"), replace(NODE, node_pool="gpu")]
    assert one(check_region(US), "datacenter dc1").detail == "3 of 3 nodes ready (by node pool: default 1, gpu 2)"


def test_datacenters_may_be_written_with_stars() -> None:
    job = {"ID": "train", "Datacenters": ["d*1"], "TaskGroups": [group("exec")]}
    assert [check.outcome for check in check_job("region us", job, [NODE])] == [Outcome.OK]


def test_nodes_elsewhere_or_not_ready_do_not_count() -> None:
    job = {"ID": "train", "Datacenters": ["dc1"], "TaskGroups": [group("exec")]}
    (check,) = check_job("region us", job, [replace(NODE, datacenter="dc2"), replace(NODE, is_ready=False)])
    assert check.outcome is Outcome.FAILED


# ── stores ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_store_where_all_is_well_is_left_clean(memory_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_stores, "open_store", lambda _: memory_store)
    memory_store.put("results/mine", b"x")
    checks = check_store(STORE, "home")
    assert outcomes(checks) == dict.fromkeys(("write", "create once", "read", "list", "delete", "clock"), Outcome.OK)
    assert checks[0].subject == "store s3://ml-us/models (home)"
    assert [info.key for info in memory_store.list()] == ["results/mine"]


def test_a_folder_is_left_clean(tmp_path: Path) -> None:
    checks = check_store(StoreConfig(f"file://{tmp_path}/s"), "home")
    assert is_healthy(checks)
    assert [path for path in (tmp_path / "s").rglob("*") if path.is_file()] == []


def test_a_store_that_overwrites_on_create_is_found_out(memory_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put = memory_store.put

    def forgetful(key: str, data: bytes, mode: Mode = Create(), **about: Any) -> ObjectInfo:  # noqa: B008
        return put(key, data, **about)

    monkeypatch.setattr(memory_store, "put", forgetful)
    monkeypatch.setattr(doctor_stores, "open_store", lambda _: memory_store)
    check = one(check_store(STORE, "home"), "create once")
    assert check.outcome is Outcome.FAILED
    assert "conditional writes don't hold" in check.detail


def test_a_store_that_can_not_be_written(memory_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> ObjectInfo:
        raise StoreDenied("put failed: Forbidden", store=STORE.url)

    monkeypatch.setattr(memory_store, "put", refuse)
    monkeypatch.setattr(doctor_stores, "open_store", lambda _: memory_store)
    checks = check_store(STORE, "us/dc1")
    assert [check.outcome for check in checks] == [Outcome.FAILED, *[Outcome.SKIPPED] * 4]
    assert "write objects under doctor/" in checks[0].remedy


@pytest.mark.parametrize(
    ("skew_s", "outcome"),
    [(None, Outcome.SKIPPED), (0.0, Outcome.OK), (-6.5, Outcome.OK), (30.0, Outcome.WARNING), (-90.0, Outcome.FAILED)],
)
def test_clocks(skew_s: float | None, outcome: Outcome) -> None:
    assert clock_check("s", skew_s, limit_s=60, error_s=2).outcome is outcome


# ── the installation, and all together ────────────────────────────────────────────────────────────────────────────────


def test_another_distribution_that_owns_a_package_of_ours() -> None:
    owners = {"regions": ["fedml_nomad", "regions"], "jobs": ["fedml-nomad"], "numpy": ["numpy"]}
    checks = check_installation(owners)
    assert outcomes(checks) == {"package regions": Outcome.FAILED}
    assert one(checks, "package regions").detail.startswith("regions in the same environment")
    assert "uv tool install" in one(checks, "package regions").remedy
    (check,) = check_installation()
    assert check.outcome is Outcome.OK
    assert check.name.startswith("fedml ")
    assert "on Python 3." in check.name


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    def make(more: str = "") -> Path:
        (tmp_path / "fedml.toml").write_text(
            f"""
            [federation]
            home = "file://./stores/home"
            [regions.us]
            addresses = ["http://a:4646"]
            store = "file://./stores/us"
            [regions.us.datacenters]
            dc1 = {{}}
            dc2 = {{}}
            {more}
            """
        )
        return tmp_path

    return make


def test_all_together(project: Callable[[str], Path], servers: Servers) -> None:
    config = load(project(""))
    assert list(stores_of(config).values()) == ["home", "us/dc1, us/dc2"]
    checks = examine(config)
    assert {check.subject.partition(" ")[0] for check in checks} == {"installation", "region", "store"}
    assert is_healthy(checks)
    broken = examine(config, InvalidSpec("no such job\nwith a second line", hint="do this"))
    assert Check("job", "jobspec", Outcome.FAILED, "no such job", "do this") in broken
    here = examine(config, {"us": InvalidSpec("not in us")})
    assert one(here, "job").detail == "not in us"


def test_the_report() -> None:
    checks = [
        Check("region us", "version", Outcome.OK, "1.6.3"),
        Check("region us", "may list-jobs", Outcome.OK),
        Check("region us", "may read-job", Outcome.OK),
        Check("region us", "clock", Outcome.WARNING, "30 s ahead", "use NTP"),
    ]
    assert rows(checks) == [
        ("region us", "ok", "version: 1.6.3; may list-jobs, read-job", ""),
        ("region us", "warning", "clock: 30 s ahead", "use NTP"),
    ]
    assert summary(checks) == "3 ok, 1 warning: nothing needed is missing."
    assert as_json(checks)["healthy"] is True
    assert as_json([Check("s", "n", Outcome.FAILED)])["healthy"] is False


def test_the_command(project: Callable[[str], Path], servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    root = project("")
    assert run(["doctor", "--config", str(root)]) == 0
    shown = capsys.readouterr()
    assert "region us" in shown.out
    assert "nothing needed is missing" in shown.err
    servers.dead = {"http://a:4646"}
    assert run(["doctor", "--json", "--config", str(root)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is False
    assert {"subject", "name", "outcome", "detail", "remedy"} == set(document["checks"][0])


def test_brackets_of_a_remedy_are_shown(
    project: Callable[[str], Path], servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project("[regions.us.vars]\n")
    text = (root / "fedml.toml").read_text().replace("[regions.us]", "[regions.us]\ntoken = { command = ['false'] }")
    (root / "fedml.toml").write_text(text)
    assert run(["doctor", "--config", str(root)]) == 1
    assert "[regions.us]" in capsys.readouterr().out


# ── policies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_roles_get_the_least() -> None:
    assert nomad_policy("node", "ml") == ""
    assert 'namespace "ml"' in nomad_policy("coordinator", "ml")
    assert "submit-job" in nomad_policy("coordinator", "ml")
    assert "submit-job" not in nomad_policy("dispatcher", "ml")
    assert "dispatch-job" in nomad_policy("dispatcher", "ml")
    for word in ("submit-job", "dispatch-job", "host_volume", "write", "read-fs"):
        assert word not in nomad_policy("reader", "ml")
    assert "alloc-node-exec" not in nomad_policy("coordinator", "ml")


def actions(role: str, home: StoreConfig, stores: list[StoreConfig]) -> set[tuple[str, str]]:
    policy = identity_policy(backend_of("s3"), role, home, stores)
    return {
        (action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def test_a_node_creates_results_and_nothing_in_the_home_store() -> None:
    home = StoreConfig("s3://ml-home")
    node = actions("node", home, [STORE])
    assert ("s3:PutObject", "arn:aws:s3:::ml-us/models/results/*") in node
    assert not [resource for _, resource in node if "ml-home" in resource]
    assert not [action for action, _ in node if "Delete" in action or "List" in action]
    policy = identity_policy(backend_of("s3"), "node", home, [STORE])
    conditions = [each["Condition"] for each in policy["Statement"] if "Condition" in each]
    assert conditions == [{"Null": {"s3:if-none-match": "false"}}]


def test_a_reader_writes_nothing_and_a_coordinator_only_what_is_its_own() -> None:
    home = StoreConfig("s3://ml-home")
    assert {action for action, _ in actions("reader", home, [STORE])} == {"s3:GetObject", "s3:ListBucket"}
    written = {resource for action, resource in actions("coordinator", home, [STORE]) if action == "s3:PutObject"}
    below = "arn:aws:s3:::ml-us/models"
    assert {one for one in written if "ml-us" in one} == {f"{below}/code/*", f"{below}/doctor/*"}
    assert {one.removeprefix("arn:aws:s3:::ml-home/") for one in written if "ml-home" in one} == {
        "code/*", "format.json", "index/log/*", "index/checkpoints/*", "index/watch/*", "doctor/*", "runs/*/log/*",
        "runs/*/logs/*", "runs/*/lease/*", "runs/*/manifest.json", "runs/*/params.jsonl.gz", "runs/*/payloads.jsonl.gz",
    }  # fmt: skip


def test_the_policies_are_printed_without_asking_anybody(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = project('[regions.us.datacenters.dc3]\nstore = "s3://ml-us"\n')
    assert run(["doctor", "--policy", "--config", str(root)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "── node",
        "── coordinator",
        "── dispatcher",
        "── maintenance",
        "── reader",
        "arn:aws:s3:::ml-us/results/*",
        'namespace "default"',
    ):
        assert text in shown


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hooks_and_keys_that_can_not_be_used_are_listed_beside_all_else(
    project: Callable[[str], Path], servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(
        "[tags.prod]\nsigned_by = 'keys.pem'\n[hooks]\nrun_finished = ['./gone.sh']\nrun_failed = ['./plain.txt']\n"
        "run_stalled = ['true']\n"
    )
    (root / "plain.txt").write_text("no program")
    assert run(["doctor", "--json", "--config", str(root)]) == 1
    checks = {
        check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"] if check["outcome"] == "failed"
    }
    assert checks.keys() == {"hooks.run_finished", "hooks.run_failed", "tags.prod.signed_by"}
    assert checks["hooks.run_finished"]["detail"] == "./gone.sh: not found"
    assert checks["hooks.run_failed"]["detail"] == "./plain.txt: not a program that this user can run"
    assert str(root / "keys.pem") in checks["tags.prod.signed_by"]["detail"]
