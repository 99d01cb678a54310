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
    GROUP
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


_DEV = """
[dev.regions.us]
version = "VERSION"
nodes = [{ cpu_mhz = 1000, memory_mb = 1000 }]
"""


@pytest.fixture
def validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Validates the job with some text inside its group. Returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def validate(group: str, *, version: str = "", name: str = "g", top: str = "") -> tuple[int, str]:
        Path("fedml.toml").write_text(top + _PROJECT + (_DEV.replace("VERSION", version) if version else ""))
        job = _JOB.replace("GROUP", group).replace('group "g"', f'group "{name}"')
        Path("train.nomad.hcl").write_text(job)
        return run(["job", "validate"]), "".join(capsys.readouterr())

    return validate


def test_a_valid_job(validated):
    assert validated("") == (0, "us: train.nomad.hcl is valid; datacenters dc1\n")


def test_all_that_nomad_would_refuse_is_listed_with_its_lines(validated):
    text = """restart {
      mode     = "retry"
      interval = "1s"
    }
    spread {
      weight = 50
    }
    network {
      port "http" {
        static = 80
      }
      port "https" {
        static = 80
      }
    }"""
    code, said = validated(text)

    assert code == 1
    assert said.splitlines()[1:-1] == [
        '  train.nomad.hcl:8: group "g" / restart / mode: Unsupported restart mode: "retry"',
        '  train.nomad.hcl:9: group "g" / restart / interval: Interval can not be less than 5s (got 1s)',
        (
            '  train.nomad.hcl:7: group "g" / restart: Nomad can\'t restart the TaskGroup 3 times in an interval of 1s with a'
            " delay of 15s"
        ),
        '  train.nomad.hcl:11: group "g" / spread 1 / attribute: Missing spread attribute',
        (
            '  train.nomad.hcl:19: group "g" / network 1 / port "https" / static: Static port 80 already reserved by taskgroup'
            " network:http"
        ),
    ]


def test_what_one_version_refuses_is_a_note_where_the_version_is_not_known(validated):
    text = 'constraint {\n      attribute = "$${nope}"\n      value = "x"\n    }'
    code, said = validated(text)

    assert code == 0
    warning = "Warning: a version of Nomad refuses this: train.nomad.hcl:8:"
    assert f'{warning} group "g" / constraint 1 / attribute: unsupported attribute "${{nope}}" (Nomad 2.0.5)\n' in said
    assert "us: train.nomad.hcl is valid" in said


@pytest.mark.parametrize(("version", "code"), [("1.6.3", 0), ("2.0.5", 1)])
def test_a_development_region_has_the_rules_of_its_version(validated, version, code):
    found, said = validated('constraint {\n      attribute = "$${nope}"\n      value = "x"\n    }', version=version)

    assert found == code, said
    assert ('unsupported attribute "${nope}"' in said) == bool(code)


@pytest.mark.parametrize("name", ["a/b", "a\\\\b", "-a", ".."])
def test_a_group_after_which_no_result_can_be_named(validated, name):
    code, said = validated("", name=name)

    assert code == 1
    assert "train.nomad.hcl: the group " in said
    assert "results" in said.splitlines()[-1] or "result" in said


@pytest.mark.parametrize(("command", "code"), [(["deploy"], 1), (["plan"], 255), (["dispatch", "-n", "1"], 1)])
def test_such_a_group_is_refused_before_a_region_is_asked(validated, capsys, command, code):
    validated("", name="a/b")
    assert run(command) == code
    assert "train.nomad.hcl: the group 'a/b' can't be part of the key of a result" in capsys.readouterr().err


def test_without_results_a_group_can_have_any_name(validated):
    project = _PROJECT.replace("[federation]", '[federation]\nresults = "none"')
    Path("fedml.toml").write_text(project)
    Path("train.nomad.hcl").write_text(_JOB.replace("GROUP", "").replace('group "g"', 'group "a/b"'))
    assert run(["job", "validate"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        ('["dc1"]', '["nowhere"]', "the job asks for datacenters nowhere; region us has dc1"),
        ('"batch"', '"sysbatch"', 'job "train" has type "sysbatch"'),
        ("parameterized {}", "# none", 'job "train" has no parameterized block'),
        ("parameterized {}", 'parameterized {}\nperiodic { cron = "@daily" }', "has a periodic block"),
    ],
)
def test_what_fedml_refuses_hides_nothing_that_nomad_would_refuse(validated, monkeypatch, old, new, own):
    monkeypatch.setitem(globals(), "_JOB", _JOB.replace(old, new))

    code, said = validated("spread {\n      weight = 50\n    }")

    assert code == 1
    assert own in said
    assert "It would be refused by Nomad, too:" in said
    assert "spread 1 / attribute: Missing spread attribute" in said


def test_two_places_with_one_line_are_said_once(validated):
    task = 'task "u" {\n}\ntask "u" {\n}'
    code, said = validated(task)

    assert code == 1
    assert said.count("Missing task driver") == 1
    assert "(in us" not in said
