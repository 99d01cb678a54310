"""`fedml job validate`: what Nomad's servers would refuse is found without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.cli import run

_PROJECT = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:1"]
store = "file://./us"
datacenters.dc1 = {}
"""
_JOB = """
job "train" {
  type        = "batch"
  datacenters = ["dc1"]
  parameterized {}
  group "g" {
    restart {
      mode = "MODE"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


@pytest.mark.parametrize(("mode", "code"), [("fail", 0), ("retry", 1)])
def test_what_nomad_would_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fedml.toml").write_text(_PROJECT)
    Path("train.nomad.hcl").write_text(_JOB.replace("MODE", mode))
    assert run(["job", "validate"]) == code
    said = "".join(capsys.readouterr())
    assert ('Task group g validation failed:\n  Unsupported restart mode: "retry"' in said) == bool(code), said
