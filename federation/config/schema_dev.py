"""Declares the tables under `[dev]`: the federation that `fedml dev up` starts on this machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from federation.config.schema_places import PositiveInt, Table


class DevDeviceTable(Table):
    """Devices of one model on a pretend node; tasks ask for `TYPE`, `VENDOR/TYPE` or `VENDOR/TYPE/NAME`."""

    vendor: str = Field(description="Vendor, as `nvidia`.")
    type: str = Field(default="gpu", description="Type.")
    name: str = Field(description="Model, as `A100`.")
    count: PositiveInt = Field(default=1, description="How many of them.")
    attributes: dict[str, str] = Field(
        default_factory=dict, description='What constraints read, as `memory = "80 GiB"`.'
    )


class DevNodeTable(Table):
    """A pretend node of a development region."""

    name: str | None = Field(default=None, description="Its name; absent: REGION-1, REGION-2 …")
    datacenter: str | None = Field(default=None, description="Its datacenter; absent: the region's first.")
    cpu_mhz: PositiveInt = Field(default=4000, description="CPU in MHz.")
    memory_mb: PositiveInt = Field(default=4096, description="Memory in MB.")
    drivers: list[str] = Field(default=["raw_exec"], description="Task drivers it offers.")
    cores: PositiveInt | None = Field(
        default=None, description="Cores that tasks can reserve; absent: this machine's (embedded regions only)."
    )
    node_class: str = Field(default="", description="Node class.")
    node_pool: str = Field(default="default", description="Node pool (from Nomad 1.6 on).")
    meta: dict[str, str] = Field(default_factory=dict, description="Node meta.")
    host_volumes: dict[str, str] = Field(
        default_factory=dict,
        description="Folders by the volume's name; relative ones count from here, missing ones are made.",
    )
    read_only_volumes: list[str] = Field(default=[], description="Which of them tasks may only read.")
    devices: list[DevDeviceTable] = Field(default=[], description="Pretend devices (embedded regions only).")
    count: PositiveInt = Field(default=1, description="That many alike.")


class DevRegionTable(Table):
    """A region that `fedml dev up` starts on this machine, reached as `dev:NAME`."""

    nodes: list[DevNodeTable] = Field(min_length=1, description="Its pretend nodes.")
    version: str = Field(
        default="1.6.3",
        description="Nomad version that an embedded region answers as, from `1.6.3` on; `2.0` is the newest 2.0 that it knows.",
    )
    heartbeat_grace_s: float = Field(
        default=5.0, ge=0, description="Seconds for which a node may be silent before it counts as down."
    )


class DevStoreTable(Table):
    """A store server that `fedml dev up` starts on this machine, reached as `endpoint = "dev:NAME"`."""

    kind: Literal["s3", "gcs", "azure"] = Field(
        default="s3", description="What it speaks; `s3` and `gcs` need the extra `demo`, `azure` needs Azurite."
    )
    buckets: list[str] = Field(min_length=1, description="Buckets (containers) that it is given.")


class DevTokenTable(Table):
    """A token with fewer rights than the main one. Its secret is written to `.fedml/dev/tokens/NAME`."""

    policy: str | None = Field(default=None, description="Nomad ACL policy, in HCL or JSON.")
    policy_file: str | None = Field(default=None, description="The same in a file; a relative path counts from here.")

    @model_validator(mode="after")
    def _has_one(self) -> DevTokenTable:
        if (self.policy is None) == (self.policy_file is None):
            raise PydanticCustomError("dev_policy", "must have exactly one of policy and policy_file", {})
        return self


class DevACLTable(Table):
    """Access control in the development regions."""

    tokens: dict[str, DevTokenTable] = Field(default_factory=dict, description="Tokens with less than all rights.")


class DevTable(Table):
    """The development federation."""

    regions: dict[str, DevRegionTable] = Field(default_factory=dict, description="Regions to start.")
    stores: dict[str, DevStoreTable] = Field(default_factory=dict, description="Store servers to start.")
    namespaces: list[str] = Field(default=[], description="Nomad namespaces besides `default`.")
    acl: DevACLTable = Field(default=DevACLTable(), description="Tokens with policies.")
