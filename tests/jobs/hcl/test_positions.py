from __future__ import annotations

import pytest

from jobs.hcl.positions import Positions

JOB = """variable "x" {
}
job "j" {
  type = "batch"
  reschedule {
    delay = "1s"
  }
  group "a" {
    dynamic "volume" {
      for_each = [1]
      content {
      }
    }
    task "t" {
      template {
        data = "x"
      }
      template {
        data = "y"
      }
      csi_plugin {
      }
    }
  }
}
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 3),
        ((("type", None),), 4),
        ((("group", "a"),), 8),
        ((("group", "b"),), 3),
        ((("group", "a"), ("task", "t"), ("template", 2)), 18),
        ((("group", "a"), ("task", "t"), ("template", 2), ("data", None)), 19),
        ((("group", "a"), ("task", "t"), ("template", 3)), 14),
        ((("group", "a"), ("task", "t"), ("csi_plugin", None), ("type", None)), 21),
        ((("group", "a"), ("reschedule", None), ("delay", None)), 6),
        ((("group", "a"), ("volume", "v"), ("source", None)), 8),
    ],
)
def test_the_line_of_a_place(place, line):
    assert Positions(JOB, "j.nomad.hcl").line(place) == line
