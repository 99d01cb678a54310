"""A name and a shell script enter, a jobspec of one small task leaves: a slot costs about half a second of CPU."""

from __future__ import annotations

import json
from collections.abc import Sequence

LIGHT_SCRIPT = """\
mkdir out && echo $NOMAD_ALLOC_ID > out/model.txt && echo '{"score": 0.5}' > out/metrics.json
exec fedml publish out
"""
"""What a slot's task does unless a test says otherwise: about half a second of CPU."""

LIGHT_JOB = """\
variable "count" {{
  type    = number
  default = 1
}}

job "{name}" {{
  type        = "batch"
  datacenters = ["*"]

  parameterized {{
    payload       = "optional"
    meta_required = [{required}]
    meta_optional = ["save_path", "epochs", "note"]
  }}

  group "work" {{
    count = var.count

    restart {{
      attempts = 0
      mode     = "fail"
    }}

    reschedule {{
      attempts  = 0
      unlimited = false
    }}

    task "make" {{
      driver = "raw_exec"

      config {{
        command = "/bin/sh"
        args    = ["-c", {script}]
      }}

      resources {{
        cpu    = {cpu_mhz}
        memory = 32
      }}
    }}
  }}
}}
"""


def light_job(
    name: str,
    script: str = LIGHT_SCRIPT,
    *,
    required: Sequence[str] = ("model_version",),
    cpu_mhz: int = 250,
) -> str:
    """A parameterized batch job of one task; `$` and newlines of the script arrive in the shell as they are."""
    quoted = json.dumps(script).replace("${", "$${")
    return LIGHT_JOB.format(
        name=name, script=quoted, required=", ".join(json.dumps(key) for key in required), cpu_mhz=cpu_mhz
    )
