"""The roles that `fedml doctor --policy` prints, held against regions that enforce them: who may do what."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from federation.checks.doctor.roles import nomad_policy
from federation.cli import run
from federation.config.dev_state import client_token_path
from federation.config.load import load
from federation.dev import agents, lifecycle
from federation.errors import ConfigError, DevError
from tests.scenarios.light_job import light_job

SCIENTIST = """
namespace "default" {
  capabilities = ["list-jobs", "read-job", "dispatch-job", "read-logs"]
}
node {
  policy = "read"
}
"""


@pytest.fixture(params=["embedded", "nomad"])
def engine(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if chosen == "nomad" and agents.find_binary() is None:
        if "nomad" in os.environ.get("FEDML_REQUIRE", "").split(","):
            pytest.fail("FEDML_REQUIRE=nomad, but there is none in NOMAD_BIN or on PATH")
        pytest.skip("no Nomad binary: name one in NOMAD_BIN or put `nomad` on PATH")
    return chosen


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example project with a light job; its regions want the token in ROLE_TOKEN."""
    root = tmp_path / "p"
    assert run(["init", str(root)]) == 0
    (root / "sales-close-prediction.nomad.hcl").write_text(light_job("sales-close-prediction"))
    text = (root / "fedml.toml").read_text()
    for name in ("us", "eu", "onprem"):
        address = f'addresses = ["dev:{name}"]\n'
        assert text.count(address) == 1
        text = text.replace(address, f'{address}token = {{ env = "ROLE_TOKEN" }}\n')
    text += '\n[dev]\nnamespaces = ["ml"]\n'
    policies = {
        "coordinator": nomad_policy("coordinator", "default"),
        "reader": nomad_policy("reader", "default"),
        "scientist": SCIENTIST,
    }
    for name, policy in policies.items():
        text += f"\n[dev.acl.tokens.{name}]\npolicy = '''\n{policy}'''\n"
    (root / "fedml.toml").write_text(text)
    monkeypatch.chdir(root)
    yield root
    lifecycle.down(root, lambda _: None, purge=True)


def test_three_roles_do_what_they_may(
    engine: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lifecycle.up(load(project), lambda _: None, engine=engine, has_acls=engine == "nomad")

    def be(name: str) -> Callable[..., tuple[int, str, str]]:
        path = client_token_path(project, name)
        assert path.stat().st_mode & 0o777 == 0o600
        monkeypatch.setenv("ROLE_TOKEN", path.read_text().strip())

        def fedml(*arguments: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = run(list(arguments))
            shown = capsys.readouterr()
            assert "Traceback" not in shown.err
            return code, shown.out, shown.err

        return fedml

    reader = be("reader")
    code, _, told = reader("dispatch", "--regions", "us,eu", "--version", "4")
    assert code != 0
    assert "ermission" in told or "may not" in told

    coordinator = be("coordinator")
    assert coordinator("plan")[0] == 1, "a job would be registered"
    code, _, told = coordinator("dispatch", "--regions", "us,eu", "--version", "4")
    assert code == 0, told
    code, listed, _ = coordinator("index", "list", "--json")
    assert code == 0
    assert len(json.loads(listed)["results"]) == 2

    reader = be("reader")
    assert reader("index", "list", "--json")[1] == listed
    assert reader("runs", "list")[0] == 0
    code, _, told = reader("dispatch", "--regions", "us,eu", "--version", "5")
    assert code != 0

    scientist = be("scientist")
    code, planned, told = scientist("plan", "--regions", "us,eu", "--json")
    assert code in (0, 1), told
    assert "estimated" in planned
    text = (project / "fedml.toml").read_text()
    (project / "fedml.toml").write_text(text.replace("[federation]\n", '[federation]\ndeploy = "never"\n', 1))
    code, _, told = scientist("dispatch", "--regions", "us,eu", "--version", "6")
    assert code == 0, told
    assert scientist("deploy", "--regions", "onprem")[0] != 0, "there the job would be new"


def test_a_policy_that_is_none_is_told_before_anything_runs(project: Path) -> None:
    text = (project / "fedml.toml").read_text()
    (project / "fedml.toml").write_text(
        text + '\n[dev.acl.tokens.wrong]\npolicy = \'namespace "default" { policy = "all" }\'\n'
    )
    with pytest.raises(DevError, match="has no policy 'all'"):
        lifecycle.up(load(project), lambda _: None)
    (project / "fedml.toml").write_text(text + "\n[dev.acl.tokens.wrong]\npolicy_file = 'nowhere.hcl'\n")
    with pytest.raises(ConfigError, match=r"dev\.acl\.tokens\.wrong\.policy_file: .*nowhere\.hcl can't be read"):
        load(project)
    (project / "fedml.toml").write_text(text + "\n[dev.acl.tokens.wrong]\n")
    with pytest.raises(ConfigError, match="must have exactly one of policy and policy_file"):
        load(project)
