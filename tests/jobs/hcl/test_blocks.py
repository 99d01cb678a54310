"""What blocks become in Nomad's API, where it isn't obvious; each checked against real Nomad 1.6.3."""

from __future__ import annotations

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.values import ValueProblem, to_duration


def job_of(inside: str) -> dict:
    return parse_job(f'job "j" {{\n{inside}\n}}\n').job


def group_of(inside: str) -> dict:
    return job_of(f'group "g" {{\n{inside}\n}}')["TaskGroups"][0]


def task_of(inside: str) -> dict:
    return group_of(f'task "t" {{\n{inside}\n}}')["Tasks"][0]


def test_id_and_name_are_the_label_unless_given():
    assert [job_of("")[name] for name in ("ID", "Name")] == ["j", "j"]
    assert [job_of('id = "x"')[name] for name in ("ID", "Name")] == ["x", "j"]
    assert job_of("")["TaskGroups"] is None


@pytest.mark.parametrize(
    ("inside", "config"),
    [
        ("a = null\nb = [null]", {"b": [None]}),
        ("a = {x = 1}", {"a": [{"x": 1}]}),
        ("a = ({x = 1})", {"a": {"x": 1}}),
        ("a = [{x = {y = 1}}]", {"a": [{"x": {"y": 1}}]}),
        ("a {\nx = {y = 1}\n}", {"a": [{"x": [{"y": 1}]}]}),
        ('a "l" "m" {\nx = 1\n}\na "l" "n" {\n}', {"a": [{"l": [{"m": [{"x": 1}]}]}, {"l": [{"n": [{}]}]}]}),
        ("a = 1e3\nb = 1.5\nc = 1e30", {"a": 1000, "b": 1.5, "c": 1e30}),
    ],
)
def test_a_drivers_config(inside, config):
    assert task_of(f"config {{\n{inside}\n}}")["Config"] == config


@pytest.mark.parametrize(
    ("inside", "env"),
    [
        ("", None),
        ("env {}", {}),
        ("env {\na = 1\nb = true\nc = 1.50\n}", {"a": "1", "b": "true", "c": "1.5"}),
        ('env = merge({a = 1}, {b = "${NOMAD_ALLOC_ID}"})', {"a": "1", "b": "${NOMAD_ALLOC_ID}"}),
        ("env = null", None),
        ('dynamic "env" {\nfor_each = ["x"]\ncontent {\nA = env.value\n}\n}', {"A": "x"}),
    ],
)
def test_env_is_a_block_or_an_argument(inside, env):
    assert task_of(inside)["Env"] == env


def test_dynamic_blocks():
    made = group_of(
        """
        dynamic "task" {
          for_each = { a = 1, b = 2 }
          iterator = each
          labels   = ["t-${each.key}"]
          content {
            dynamic "artifact" {
              for_each = range(each.value)
              content {
                source = "${each.key}${artifact.value}"
              }
            }
          }
        }
        dynamic "volume" {
          for_each = setunion(["y"], ["x"])
          labels   = [volume.key]
          content {
            source = volume.value
          }
        }
        """
    )

    sources = {task["Name"]: [artifact["GetterSource"] for artifact in task["Artifacts"]] for task in made["Tasks"]}
    assert sources == {"t-a": ["a0"], "t-b": ["b0", "b1"]}
    assert {name: volume["Source"] for name, volume in made["Volumes"].items()} == {"x": "x", "y": "y"}


def test_vault_is_inherited_from_group_and_job():
    job = job_of(
        """
        vault {
          policies = ["job"]
        }
        task "alone" {
        }
        group "g" {
          vault {
            policies = ["group"]
          }
          task "a" {
          }
          task "b" {
            vault {
              policies = ["own"]
            }
          }
        }
        group "h" {
          task "c" {
          }
        }
        """
    )

    policies = {task["Name"]: task["Vault"]["Policies"] for group in job["TaskGroups"] for task in group["Tasks"]}
    assert policies == {"alone": ["job"], "a": ["group"], "b": ["own"], "c": ["job"]}
    assert "Vault" not in job
    assert "Vault" not in job["TaskGroups"][1]


def test_a_task_under_the_job_gets_a_group_before_all_others():
    job = job_of('group "g" {\n}\ntask "alone" {\n}')
    assert [group["Name"] for group in job["TaskGroups"]] == ["alone", "g"]


def test_ports_are_reserved_when_static():
    network = group_of('network {\nport "a" {\nstatic = 80\n}\nport "b" {\nto = 8080\n}\n}')["Networks"][0]
    assert [port["Label"] for port in network["ReservedPorts"]] == ["a"]
    assert [(port["Label"], port["To"]) for port in network["DynamicPorts"]] == [("b", 8080)]


@pytest.mark.parametrize(
    ("inside", "left", "operator", "right"),
    [
        ("", "", "=", ""),
        ('attribute = "a"\nvalue = 1', "a", "=", "1"),
        ('attribute = "a"\noperator = "is_set"', "a", "is_set", ""),
        ('attribute = "a"\nsemver = ">1"', "a", "semver", ">1"),
        ('version = "1"\nregexp = "2"', "", "regexp", "2"),
        ("distinct_hosts = false", "", "distinct_hosts", "false"),
        ('distinct_property = "p"\nvalue = 2', "p", "distinct_property", "2"),
        ('version = ""', "", "=", ""),
    ],
)
def test_constraints(inside, left, operator, right):
    constraint = task_of(f"constraint {{\n{inside}\n}}")["Constraints"][0]
    assert constraint == {"LTarget": left, "RTarget": right, "Operand": operator}


def test_the_scaling_of_a_group_needs_its_maximum_said():
    assert group_of("scaling {\nmax = null\n}")["Scaling"]["Type"] == "horizontal"
    with pytest.raises(HclError, match='"scaling" lacks its argument "max"'):
        group_of("scaling {\nmin = 1\n}")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1.5s", 1_500_000_000),
        ("1h2m3.5s", 3_723_500_000_000),
        (".5s", 500_000_000),
        ("-90m", -5_400_000_000_000),
        ("+1us", 1000),
        ("1µs", 1000),
        ("3ns", 3),
    ],
)
def test_durations(text, nanoseconds):
    assert to_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "1d", "s", ".s", "1 s", "1s2", "--1s", "९s", "9999999h", "1" * 60 + "s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueProblem):
        to_duration(text)


def test_a_number_is_a_duration_in_nanoseconds():
    assert task_of("kill_timeout = 5")["KillTimeout"] == 5
    with pytest.raises(HclError, match="null is not possible"):
        task_of("kill_timeout = null")
