"""Writes the jobspec that runs a person's own code: HCL as a person would write it. Pure.

One registered job serves all code: which code, which command and which parameters come by the meta of each dispatch. Its one
task fetches the code and checks it, runs the command and publishes what it wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jobs.code_run import CODE_KEY, COMMAND_KEY, PARAMS_KEY
from jobs.frozen import frozen
from jobs.store_task import ARCHIVE

DRIVERS = ("raw_exec", "exec", "docker", "podman")
DRIVERS_WITH_IMAGE = ("docker", "podman")
TASK_VARIABLE = "fedml_task"
"""HCL variable: the program of the task, as a list. fedml sets it for each region, with the next two."""
URL_VARIABLE = "fedml_task_url"
SHA256_VARIABLE = "fedml_task_sha256"
_CACHE = "/uv-cache"


@frozen
class CodeJob:
    """What the job asks for."""

    name: str
    driver: str = "raw_exec"
    image: str = ""
    """For drivers that take one."""
    cpu_mhz: int = 1000
    memory_mb: int = 1024
    memory_max_mb: int | None = None
    devices: tuple[tuple[str, int], ...] = ()
    """(`nvidia/gpu`, how many) each."""
    kill_timeout: str = "30s"
    """Time between the signal that ends the command and its kill."""
    cache_volume: str = ""
    """The host volume with uv's cache; empty: uv's own place for it."""


def jobspec(job: CodeJob, meta: Mapping[str, str] | None = None) -> str:
    """The HCL text. With `meta` (code and command), each dispatch of it runs that code; else a dispatch names both."""
    return f"""\
# Runs code that `fedml run` has packed. fedml sets these variables for each region.
variable "{TASK_VARIABLE}" {{
  type        = list(string)
  description = "The program that fetches the code, runs the command and publishes what it leaves."
}}
variable "{URL_VARIABLE}" {{
  type        = string
  default     = ""
  description = "Where nodes fetch that program; empty where they have it."
}}
variable "{SHA256_VARIABLE}" {{
  type    = string
  default = ""
}}

job "{job.name}" {{
  type        = "batch"
  datacenters = ["*"]

  parameterized {{
    payload       = "forbidden"
{_keys(meta)}
  }}
{_job_meta(meta)}
  group "train" {{
    count = 1

    # A slot that fails is tried again by fedml, in another region if there is one.
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    reschedule {{
      attempts  = 0
      unlimited = false
    }}
{_volume(job)}
    # Fetches the code from the datacenter's own store and checks its sha256. Then makes the environment, runs the command
    # in alloc/code and publishes alloc/output if it ends well.
    task "train" {{
      driver       = {_quoted(job.driver)}
      kill_timeout = {_quoted(job.kill_timeout)}
{_program(job)}{_cache_mount(job)}
{_resources(job)}
    }}
  }}
}}
"""


def _keys(meta: Mapping[str, str] | None) -> str:
    required = "" if meta else f"    meta_required = {json.dumps([CODE_KEY, COMMAND_KEY])}\n"
    return f"{required}    meta_optional = {json.dumps([PARAMS_KEY])}"


def _job_meta(meta: Mapping[str, str] | None) -> str:
    if not meta:
        return ""
    command = meta[COMMAND_KEY]  # JSON; with a "\\u0024{" in it, another encoder would bring back what Nomad replaces
    text = _quoted(command) if "\\u" in command else f"jsonencode({_literal(command)})"
    return f"\n  meta {{\n    {CODE_KEY}    = {_quoted(meta[CODE_KEY])}\n    {COMMAND_KEY} = {text}\n  }}\n"


def _program(job: CodeJob) -> str:
    image = f"        image   = {_quoted(job.image)}\n" if job.driver in DRIVERS_WITH_IMAGE else ""
    return f"""\
      config {{
{image}        command = var.{TASK_VARIABLE}[0]
        args    = concat(slice(var.{TASK_VARIABLE}, 1, length(var.{TASK_VARIABLE})), ["run"])
      }}
      dynamic "artifact" {{
        for_each = var.{URL_VARIABLE} == "" ? [] : [var.{URL_VARIABLE}]
        content {{
          source      = artifact.value
          destination = "{ARCHIVE}"
          mode        = "file"
          options {{
            checksum = "sha256:${{var.{SHA256_VARIABLE}}}"
          }}
        }}
      }}"""


def _volume(job: CodeJob) -> str:
    if not job.cache_volume:
        return ""
    return f"""
    volume "uv-cache" {{
      type   = "host"
      source = {_quoted(job.cache_volume)}
    }}
"""


def _cache_mount(job: CodeJob) -> str:
    if not job.cache_volume:
        return ""
    return f"""
      volume_mount {{
        volume      = "uv-cache"
        destination = "{_CACHE}"
      }}
      env {{
        UV_CACHE_DIR = "{_CACHE}"
      }}"""


def _resources(job: CodeJob) -> str:
    most = f"        memory_max = {job.memory_max_mb}\n" if job.memory_max_mb else ""
    devices = "".join(
        f"        device {_quoted(name)} {{\n          count = {count}\n        }}\n" for name, count in job.devices
    )
    width = len("memory_max") if most else len("memory")
    return (
        "      resources {\n"
        f"        {'cpu':<{width}} = {job.cpu_mhz}\n        {'memory':<{width}} = {job.memory_mb}\n{most}{devices}"
        "      }"
    )


def _quoted(text: str) -> str:
    return _literal(json.dumps(text, ensure_ascii=False))


def _literal(text: str) -> str:
    """JSON as an expression of HCL, which it is but for templates."""
    return text.replace("${", "$${").replace("%{", "%%{")
