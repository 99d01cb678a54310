"""The `multiregion` block, by the rules of Nomad's job specification."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import InvalidSpec
from jobs.hcl import parse_job
from jobs.multiregion import Multiregion, Strategy, for_region, multiregion_of

HCL = """
job "train" {
  type        = "batch"
  datacenters = ["dc1"]
  meta {
    first  = "job"
    second = "job"
  }
  multiregion {
    strategy {
      max_parallel = 2
      on_failure   = "fail_all"
    }
    region "west" {
      count       = 2
      datacenters = ["west-1"]
      node_pool   = "gpu"
      meta {
        first = "west"
        third = "west"
      }
    }
    region "east" {}
  }
  group "worker" { count = 0 }
  group "two" { count = 2 }
  group "one" {}
}
"""


def job() -> dict[str, Any]:
    return parse_job(HCL, filename="x.nomad.hcl", base_dir=Path("/"), variables=[]).job


def block(**fields: Any) -> Multiregion | None:
    return multiregion_of({"Multiregion": fields})


def test_each_region_has_its_own_job_and_the_block_is_taken_off() -> None:
    whole = job()
    before = copy.deepcopy(whole)
    found = multiregion_of(whole)
    assert found is not None
    assert [one.name for one in found.regions] == ["west", "east"], "in the order of the rollout"
    assert found.strategy == Strategy(2, "fail_all")
    west, east = (for_region(whole, one) for one in found.regions)
    assert whole == before
    assert "Multiregion" not in west | east
    assert (west["Datacenters"], east["Datacenters"]) == (["west-1"], ["dc1"])
    assert (west["NodePool"], east.get("NodePool")) == ("gpu", whole.get("NodePool"))
    assert west["Meta"] == {"first": "west", "second": "job", "third": "west"}
    assert east["Meta"] == {"first": "job", "second": "job"}


def test_only_a_count_of_0_is_replaced() -> None:
    whole = job()
    found = multiregion_of(whole)
    assert found is not None
    counts = [
        {group["Name"]: group["Count"] for group in for_region(whole, one)["TaskGroups"]} for one in found.regions
    ]
    assert counts[0]["worker"] == 2
    assert counts[1]["worker"] == 1, "a region that says no count has 1"
    assert {one["two"] for one in counts} == {2}
    assert {one["one"] for one in counts} <= {None, 1}


def test_no_block_and_a_block_without_regions_are_none() -> None:
    assert multiregion_of({}) is None
    assert multiregion_of({"Multiregion": None}) is None
    assert block(Strategy={"MaxParallel": 1}, Regions=[]) is None


def test_the_default_strategy() -> None:
    found = block(Regions=[{"Name": "us"}])
    assert found is not None
    assert found.strategy == Strategy(0, "")
    assert found.find("nowhere", "us") == found.regions[0]
    assert found.find("eu") is None


@pytest.mark.parametrize(
    ("fields", "said", "hint"),
    [
        ({"Regions": [{"Name": "us"}, {"Name": "us"}]}, "region 'us' is listed twice", "once"),
        ({"Regions": [{"Name": "us", "Count": -1}]}, "region 'us' has count = -1", "0 or more"),
        ({"Regions": [{"Name": ""}]}, "a region has no name", 'region "us"'),
        ({"Regions": [{"Name": "us"}], "Strategy": {"MaxParallel": -2}}, "max_parallel = -2", "at a time"),
        ({"Regions": [{"Name": "us"}], "Strategy": {"OnFailure": "fail_al"}}, "on_failure = 'fail_al'", "'fail_all'?"),
        ({"Regions": [{"Name": "us"}], "Strategy": {"OnFailure": "x"}}, "on_failure = 'x'", '"fail_local"'),
    ],
)
def test_what_is_wrong_with_it_is_said(fields: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        block(**fields)
    assert said in caught.value.message
    assert hint in caught.value.hint
