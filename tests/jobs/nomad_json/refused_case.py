"""A job that breaks a rule of the servers, or a neighbour that keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from jobs.hcl import parse_job

GOLDEN = Path(__file__).parent.parent / "hcl" / "golden"


HEADS = {
    "batch": 'type = "batch"\nparameterized {}',
    "plain": 'type = "batch"',
    "service": 'type = "service"',
    "system": 'type = "system"',
    "sysbatch": 'type = "sysbatch"',
}


class Case(NamedTuple):
    """`text` stands in the block `where` of a job that is valid without it."""

    name: str
    where: str
    text: str
    head: str = "batch"
    changes: tuple[tuple[str, Any], ...] = ()
    """Values that HCL can't hold: path in the JSON → value."""

    @property
    def job(self) -> dict[str, Any]:
        parts = dict.fromkeys(("job", "group", "task", "resources"), "") | {self.where: self.text}
        hcl = TEMPLATE.format(head=HEADS[self.head], **parts) if self.where != "file" else self.text
        job = parse_job(hcl, filename=self.name, base_dir=GOLDEN).job
        job["ID"] = job["ID"] if self.where == "file" else "checked"
        for path, value in self.changes:
            *outer, last = path.split("/")
            block: Any = job
            for step in outer:
                block = block[int(step) if step.isdigit() else step]
            block[last] = value
        return job


TEMPLATE = """
job "checked" {{
  datacenters = ["*"]
  {head}
  {job}
  group "g" {{
    {group}
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "/bin/true"
      }}
      {task}
      resources {{
        memory = 50
        {resources}
      }}
    }}
  }}
}}
"""


def block(name: str, /, **arguments: object) -> str:
    """Writes a block: numbers and flags as they are, texts quoted, a nested block as its text."""
    lines = []
    for key, value in arguments.items():
        if isinstance(value, str) and value.startswith("\n"):
            lines.append(value)
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return f"\n{name} {{\n" + "\n".join(lines) + "\n}\n"
