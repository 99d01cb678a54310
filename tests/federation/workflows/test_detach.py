"""What a detached run's coordinators need, and the jobs that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from federation.config.load import load
from federation.config.model import Config
from federation.errors import UsageError
from federation.workflows.detach import check, has_failed, start, why_not
from regions.errors import NotFound, RegionUnreachable
from regions.model import Allocation, Dispatched, TaskState

TOML = """[federation]
name = "shop"
home = {home}
[regions.us]
addresses = ["https://us.example.com:4646"]
token = {token}
store = "s3://models-us"
datacenters = {{ us-east-1 = {{}} }}
[regions.eu]
addresses = ["https://eu.example.com:4646"]
token = {{ env = "NOMAD_TOKEN_EU" }}
store = "s3://models-eu"
datacenters = {{ eu-west-1 = {{}} }}
[coordinator]
driver = "docker"
image = "registry.example.com/fedml:1"
store_credentials = "{stores}"
{more}"""


@dataclass
class Host:
    """One region, with or without the variable."""

    name: str
    variables: dict[str, frozenset[str]] = field(default_factory=dict)
    is_up: bool = True
    registered: list[Mapping[str, Any]] = field(default_factory=list)
    dispatched: list[tuple[str, dict[str, str], bytes, str]] = field(default_factory=list)

    def variable_names(self, path: str) -> frozenset[str]:
        if path not in self.variables:
            raise NotFound("no such variable", region=self.name, operation="variable")
        return self.variables[path]

    def register(self, job: Mapping[str, Any], *, enforce_index: int | None) -> object:
        if not self.is_up:
            raise RegionUnreachable("down", region=self.name, operation="register")
        self.registered.append(job)
        return None

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        self.dispatched.append((job_id, dict(meta), payload, idempotency_token))
        return Dispatched(f"{job_id}/dispatch-1", "eval")


def _config(
    folder: Path,
    *,
    home: str = '"s3://home"',
    token: str = '{ env = "NOMAD_TOKEN_US" }',
    stores: str = "nodes",
    more: str = "",
) -> Config:
    (folder / "fedml.toml").write_text(TOML.format(home=home, token=token, stores=stores, more=more))
    return load(folder / "fedml.toml")


PATH = "nomad/jobs/fedml-coordinator-shop"
BOTH = frozenset({"NOMAD_TOKEN_US", "NOMAD_TOKEN_EU"})


def test_all_that_is_missing_is_named_before_anything_starts(tmp_path: Path) -> None:
    config = _config(tmp_path, home='"file:///srv/home"', token='{ file = "token" }')
    hosts = [Host("us"), Host("eu", {PATH: frozenset({"NOMAD_TOKEN_US"})})]
    with pytest.raises(UsageError) as refused:
        check(config, hosts)
    told = str(refused.value)
    assert f"regions.us.token is a file {tmp_path}/token of this machine" in told
    assert "the home store file:///srv/home is a folder" in told
    for name in ("us", "eu"):
        put = f"nomad var put -force -region {name} {PATH} NOMAD_TOKEN_EU=…"
        assert f"region {name} lacks NOMAD_TOKEN_EU:  {put}" in told
    assert not any(host.registered for host in hosts)


TLS = """[regions.us.tls]
ca_cert = "tls/ca.pem"
client_cert = "tls/us.pem"
client_key = "tls/us-key.pem"
[regions.eu.tls]
ca_cert = "tls/ca.pem"
"""


def test_tls_files_are_handed_over_by_the_nomad_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tls").mkdir()
    for name in ("ca", "us", "us-key"):
        (tmp_path / "tls" / f"{name}.pem").write_text(name)
    config = _config(tmp_path, more=TLS)
    with pytest.raises(UsageError) as refused:
        check(config, [Host("us", {PATH: BOTH})])
    assert "region us lacks tls_us_ca_cert, tls_us_client_cert, tls_us_client_key:" in str(refused.value)
    assert f"NOMAD_TOKEN_US=… NOMAD_TOKEN_EU=… tls_us_ca_cert=@{tmp_path}/tls/ca.pem" in str(refused.value)
    host = Host("us", {PATH: BOTH | {"tls_us_ca_cert", "tls_us_client_cert", "tls_us_client_key"}})
    check(config, [host])
    start(config, [host], "0193-run")
    (task,) = host.registered[0]["TaskGroups"][0]["Tasks"]
    texts = {one["DestPath"]: one["EmbeddedTmpl"] for one in task["Templates"] if not one.get("Envvars")}
    assert texts == {
        f"secrets/tls/regions.{key}": f'{{{{ with nomadVar "{PATH}" }}}}{{{{ .{item} }}}}{{{{ end }}}}'
        for key, item in {
            "us.tls.ca_cert": "tls_us_ca_cert",
            "us.tls.client_cert": "tls_us_client_cert",
            "us.tls.client_key": "tls_us_client_key",
            "eu.tls.ca_cert": "tls_us_ca_cert",
        }.items()
    }
    # As the coordinator's task has them:
    secrets = tmp_path / "task" / "secrets" / "tls"
    secrets.mkdir(parents=True)
    for key in ("us.tls.ca_cert", "us.tls.client_cert", "us.tls.client_key", "eu.tls.ca_cert"):
        (secrets / f"regions.{key}").write_text(key)
    folder = task["Env"]["FEDML_COORDINATOR_TLS"]
    monkeypatch.setenv(
        "FEDML_COORDINATOR_TLS", folder.replace("${NOMAD_SECRETS_DIR}", str(tmp_path / "task" / "secrets"))
    )
    tls = load(tmp_path / "fedml.toml").regions["us"].tls
    assert (tls.ca_cert, tls.client_key) == (secrets / "regions.us.tls.ca_cert", secrets / "regions.us.tls.client_key")


def test_tls_files_of_the_clients_are_named_by_absolute_paths(tmp_path: Path) -> None:
    on_nodes = 'tls_files = "nodes"\n[regions.us.tls]\nca_cert = "{}"\n'
    with pytest.raises(
        UsageError, match=r"regions\.us\.tls\.ca_cert is the file .* of this project: name it by the absolute"
    ):
        check(_config(tmp_path, more=on_nodes.format("ca.pem")), [Host("us", {PATH: BOTH})])
    config = _config(tmp_path, more=on_nodes.format("/etc/nomad.d/ca.pem"))
    host = Host("us", {PATH: BOTH})
    check(config, [host])
    start(config, [host], "0193-run")
    (task,) = host.registered[0]["TaskGroups"][0]["Tasks"]
    assert len(task["Templates"]) == 1
    assert "FEDML_COORDINATOR_TLS" not in task["Env"]


def test_credentials_that_only_the_sdk_finds_are_asked_for(tmp_path: Path) -> None:
    keys = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})
    with pytest.raises(UsageError, match="region us lacks AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY:"):
        check(_config(tmp_path, stores="variables"), [Host("us", {PATH: BOTH})])
    host = Host("us", {PATH: BOTH | keys})
    check(_config(tmp_path, stores="variables"), [host])
    with pytest.raises(UsageError, match=r"gs://home uses credentials of this machine: refer to its key"):
        check(_config(tmp_path, stores="variables", home='"gs://home"'), [host])


class Silent:
    """A region whose coordinator doesn't drive the run."""

    name = "us"

    def __init__(self, allocation: Allocation | None, evaluations: list[dict[str, Any]]) -> None:
        self.found = [allocation] if allocation else []
        self._evaluations = evaluations

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        return self.found, 1

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        return self._evaluations

    def logs(self, alloc_id: str, task: str, *, kind: str = "stdout", tail_bytes: int | None = None) -> bytes:
        return b"no such file: /local/fedml.toml\n"


ALLOCATION = Allocation("a1", "fedml-coordinator-shop/dispatch-1", "coordinator", 0, "n", "n-1", "failed", "run")
CRASHED = TaskState("dead", True, 0, "Exit Code: 1", 1)
MISSING = TaskState("pending", False, 0, "", None, trouble="Failed to find the command fedml")
FULL = {
    "FailedTGAllocs": {"coordinator": {"NodesEvaluated": 1, "NodesExhausted": 1, "DimensionExhausted": {"memory": 1}}}
}


@pytest.mark.parametrize(
    ("allocation", "evaluations", "is_over", "why"),
    [
        (replace(ALLOCATION, tasks={"coordinate": CRASHED}), [], True,
         "task coordinate: Exit Code: 1: no such file: /local/fedml.toml"),
        (replace(ALLOCATION, client_status="pending", tasks={"coordinate": MISSING}), [], True,
         "Failed to find the command fedml"),
        (None, [FULL], False, "no node takes it: group coordinator: 1 node is full (memory on 1)"),
        (None, [], False, "it has no allocation yet"),
    ],
)  # fmt: skip
def test_why_no_coordinator_drives_the_run_is_said(
    allocation: Allocation | None, evaluations: list[dict[str, Any]], is_over: bool, why: str
) -> None:
    client: Any = Silent(allocation, evaluations)
    assert why_not(client, "child") == why
    assert has_failed(client, "child") is is_over


def test_with_its_variables_a_coordinator_has_all(tmp_path: Path) -> None:
    hosts = [Host("us", {PATH: BOTH}), Host("eu", {PATH: BOTH})]
    check(_config(tmp_path), hosts)
    started = start(_config(tmp_path), hosts, "0193-run")
    assert [(one.region, one.job_id) for one in started] == [
        (name, "fedml-coordinator-shop/dispatch-1") for name in ("us", "eu")
    ]
    ((job_id, meta, payload, token),) = hosts[1].dispatched
    assert (job_id, meta, token) == (
        "fedml-coordinator-shop", {"fedml_resume": "0193-run"}, "fedml-coordinator-0193-run",
    )  # fmt: skip
    assert payload == (tmp_path / "fedml.toml").read_bytes()


def test_the_job_holds_names_of_credentials_only_and_reads_them_from_its_own_variable(tmp_path: Path) -> None:
    host = Host("eu", {PATH: BOTH})
    start(_config(tmp_path), [host], "0193-run")
    (job,) = host.registered
    (group,) = job["TaskGroups"]
    (task,) = group["Tasks"]
    assert (job["Region"], job["Datacenters"], task["Driver"]) == ("eu", ["eu-west-1"], "docker")
    assert task["Config"]["image"] == "registry.example.com/fedml:1"
    (template,) = task["Templates"]
    assert template["DestPath"].startswith("secrets/")
    assert template["EmbeddedTmpl"] == (
        f'{{{{ with nomadVar "{PATH}" }}}}NOMAD_TOKEN_US={{{{ .NOMAD_TOKEN_US | toJSON }}}}\n'
        "NOMAD_TOKEN_EU={{ .NOMAD_TOKEN_EU | toJSON }}\n{{ end }}"
    )


def test_a_region_that_is_down_is_left_out_and_all_down_is_an_error(tmp_path: Path) -> None:
    config = _config(tmp_path)
    assert [one.region for one in start(config, [Host("us", is_up=False), Host("eu")], "0193-run")] == ["eu"]
    with pytest.raises(RegionUnreachable):
        start(config, [Host("us", is_up=False)], "0193-run")


def test_a_file_that_no_dispatch_can_carry_is_refused(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with config.path.open("a") as file:
        file.write("# " + "x" * 17000)
    with pytest.raises(UsageError, match=r"fedml\.toml is larger than the 16384 bytes"):
        check(config, [Host("us", {PATH: BOTH})])
