"""What a detached run's coordinators need, and the jobs that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from federation.config.load import load
from federation.config.model import Config
from federation.errors import UsageError
from federation.workflows.detach import check, start
from regions.errors import NotFound, RegionUnreachable
from regions.model import Dispatched

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
"""


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


def _config(folder: Path, *, home: str = '"s3://home"', token: str = '{ env = "NOMAD_TOKEN_US" }') -> Config:
    (folder / "fedml.toml").write_text(TOML.format(home=home, token=token))
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
    assert f"region us lacks:  nomad var put -region us {PATH} NOMAD_TOKEN_EU=…" in told
    assert f"region eu lacks:  nomad var put -region eu {PATH} NOMAD_TOKEN_EU=…" in told
    assert not any(host.registered for host in hosts)


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
