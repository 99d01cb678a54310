"""Declares how code of one's own runs: `[run]` in fedml.toml, and `[tool.fedml]` of a script or of pyproject.toml.

The keys have the names of the options of `fedml run`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from federation.config.schema_places import NonNegativeInt, PositiveInt, Table

Duration = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?[wdhms])+$")]
Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_. -]+){0,2}$")]


class CodeTable(Table):
    """What code needs, and how it gets its parameters."""

    driver: Literal["raw_exec", "exec", "docker", "podman"] | None = Field(
        default=None,
        description="Task driver; absent: `docker` with an image, `raw_exec` in regions of `fedml dev up`, else `exec`.",
    )
    image: str | None = Field(
        default=None, description="Container image with Python, for `docker` and `podman`; uv in it makes environments."
    )
    cpu: PositiveInt | None = Field(default=None, description="CPU in MHz of one slot; absent: 1000.")
    memory: PositiveInt | None = Field(default=None, description="Memory in MB of one slot; absent: 1024.")
    memory_max: PositiveInt | None = Field(
        default=None, description="Memory in MB that it may use where the node has more; absent: `memory`."
    )
    gpu: NonNegativeInt | None = Field(default=None, description="NVIDIA GPUs of one slot; absent: none.")
    device: dict[Device, PositiveInt] | None = Field(
        default=None, description='Other devices of one slot: `{ "amd/gpu" = 1 }`; absent: none.'
    )
    slot_timeout: Duration | None = Field(
        default=None,
        description="An attempt that runs longer is stopped: `90m`, `2h`; absent: as `slot_timeout_s` says.",
    )
    kill_timeout: Duration | None = Field(
        default=None, description="Time between the signal that ends the command and its kill; absent: `30s`."
    )
    retries: NonNegativeInt | None = Field(
        default=None, description="How often a slot that failed is tried again; absent: as `max_attempts` says."
    )
    regions: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="The only regions that it uses; absent: all."
    )
    passes: Literal["args", "env"] | None = Field(
        default=None,
        alias="pass",
        description="How the command gets parameters: `args`, as `--lr 0.1` after its own arguments; `env`, as "
        "`FEDML_PARAM_LR=0.1`; absent: `args`.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CodeTable:
        if self.image is not None and self.driver in ("raw_exec", "exec"):
            raise PydanticCustomError(
                "image_without_container",
                "has an image, and driver {driver} runs none",
                {"driver": self.driver, "hint": 'write driver = "docker", or leave image out'},
            )
        if self.memory_max is not None and self.memory_max < (self.memory or 0):
            raise PydanticCustomError(
                "memory_max", "has a memory_max below its memory", {"hint": "memory_max is the larger one"}
            )
        return self


class ToolTable(CodeTable):
    """Settings of one script or project, beside its code: they go where the code goes."""

    name: str | None = Field(
        default=None,
        description="Name of the job, under which results are in the index; absent: the script's or folder's.",
    )


class RunTable(CodeTable):
    """What holds for all code that `fedml run` runs here, where the code or the command line doesn't say otherwise."""

    uv: str | None = Field(
        default=None, description="URL from which nodes get uv; absent: they or the image have it on their PATH."
    )
    uv_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="sha256 of what lies at `uv`."
    )
    cache_volume: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Host volume of the nodes for uv's cache, so that a second slot starts in seconds."
    )

    @model_validator(mode="before")
    @classmethod
    def _uv_has_a_sha256(cls, value: Any) -> Any:
        if isinstance(value, dict) and ("uv" in value) != ("uv_sha256" in value):
            raise PydanticCustomError(
                "uv", "needs both uv and uv_sha256", {"hint": "the sha256 stands beside each release of uv"}
            )
        return value
