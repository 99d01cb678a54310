"""Declares the tables of regions, their datacenters and stores, and of references to secrets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class Table(BaseModel):
    """A table of the file. Unknown keys and values of other types are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,
        allow_inf_nan=False,
    )


PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]


class SecretTable(Table):
    """Where a secret is found: exactly one of these."""

    env: str | None = Field(default=None, description="Name of the environment variable that holds the secret.")
    file: str | None = Field(
        default=None, description="File that holds the secret; a relative path counts from fedml.toml."
    )
    command: list[str] | None = Field(
        default=None, description="Program and arguments (no shell) that print the secret."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_reference(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise PydanticCustomError(
                "literal_secret",
                "holds a secret itself, and secrets don't belong in this file",
                {"hint": 'name where it is: { env = "VARIABLE" }, { file = "path" } or { command = ["program"] }'},
            )
        return value

    @model_validator(mode="after")
    def _is_one(self) -> SecretTable:
        if sum(part is not None for part in (self.env, self.file, self.command)) != 1 or self.command == []:
            raise PydanticCustomError("secret_source", "must name exactly one of env, file and command", {})
        return self


class NamespaceTable(Table):
    """A Nomad namespace. A plain string is short for `{ name = … }`."""

    name: str = Field(default="default", description="The namespace itself.")
    env: str | None = Field(default=None, description="Variable that names it; `name` where it is unset.")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class StoreSettings(Table):
    """How a store is reached."""

    endpoint: str | None = Field(
        default=None,
        description="Where the server answers if not the vendor's own; `dev:NAME`: a store that `fedml dev up` starts.",
    )
    location: str | None = Field(default=None, description="The vendor's region (`us-east-1`).")
    profile: str | None = Field(default=None, description="Profile of the SDK's own configuration.")
    anonymous: bool = Field(default=False, description="Unsigned requests.")
    access_key_id: SecretTable | None = Field(
        default=None, description="Reference to the key ID; absent: the SDK's own chain."
    )
    secret_access_key: SecretTable | None = Field(default=None, description="Reference to the secret key.")
    former_endpoints: list[str] = Field(
        default=[],
        description="Addresses at which its server answered before: results that name them lie in this store.",
    )


class StoreTable(StoreSettings):
    """An object store. A plain string is short for `{ url = … }`."""

    url: str = Field(description="`s3://bucket/prefix`, `gs://…`, `az://…` or `file://./folder` (from fedml.toml).")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class DatacenterTable(StoreSettings):
    """One Nomad datacenter of the region; its name is unique only there. A `store` that is a URL may have the settings of a
    store table beside it."""

    store: StoreTable | None = Field(default=None, description="Its store (URL or table); absent: the region's.")

    @model_validator(mode="after")
    def _flat_keys_have_a_store(self) -> DatacenterTable:
        if self.store is None and self.model_fields_set:
            raise PydanticCustomError(
                "flat_without_store",
                "has store settings but no `store`",
                {"hint": 'write the URL beside them: store = "s3://bucket/prefix"'},
            )
        return self


class TLSTable(Table):
    """TLS towards the region."""

    ca_cert: str | None = Field(default=None, description="Certificate authority (PEM file).")
    client_cert: str | None = Field(default=None, description="Client certificate (PEM file).")
    client_key: str | None = Field(default=None, description="Its key (PEM file).")
    server_name: str | None = Field(default=None, description="Name to expect in the server's certificate.")
    verify: bool = Field(default=True, description="`false` turns verification off.")


class PriceTable(Table):
    """What a slot costs on some of the region's nodes. All that is set must be so; the first entry that fits counts."""

    per_hour: float = Field(ge=0, description="Price of one slot for an hour.")
    node_class: str = Field(default="", description="On nodes of this class.")
    node_pool: str = Field(default="", description="On nodes of this pool.")
    device: str = Field(
        default="", description="For jobs that ask for this device: `gpu`, `nvidia/gpu` or `nvidia/gpu/A100`."
    )

    @model_validator(mode="after")
    def _is_of_some_nodes(self) -> PriceTable:
        if not (self.node_class or self.node_pool or self.device):
            raise PydanticCustomError(
                "price",
                "names neither node_class, node_pool nor device",
                {"hint": "a price of all nodes is the region's price_per_hour"},
            )
        return self


class RegionTable(Table):
    """One Nomad region."""

    addresses: list[str] = Field(
        min_length=1,
        description="`https://host:4646`, tried in turn; `dev:NAME`: the region that `fedml dev up` starts.",
    )
    nomad_region: str | None = Field(default=None, description="Nomad's own name for it, where that differs from NAME.")
    token: SecretTable | None = Field(default=None, description="Reference to the ACL token; absent: none is sent.")
    namespace: NamespaceTable = Field(
        default=NamespaceTable(), description='Nomad namespace, or `{ env = "NOMAD_NAMESPACE" }`.'
    )
    store: StoreTable | None = Field(
        default=None, description="Store (URL or table) of the datacenters that name none."
    )
    further_stores: list[StoreTable] = Field(
        default=[],
        description="Other stores (URLs or tables) in which results of this region may lie: from before a store moved, or "
        "published in place. No other store is opened because a record names it.",
    )
    adopt: str | None = Field(default=None, description="As in [federation], for this region.")
    order: int | None = Field(
        default=None, description="Preference, lower first; absent: its place among the regions of this file, from 0."
    )
    weight: float = Field(default=1.0, gt=0, description="Share in policies that go by weight.")
    price_per_hour: float | None = Field(
        default=None, ge=0, description="Price of one slot for an hour; absent: not known."
    )
    prices: list[PriceTable] = Field(default=[], description="Prices by node class, node pool or device.")
    minimum: NonNegativeInt = Field(
        default=0, description="Slots of a run that the region gets before the policy is applied."
    )
    cap: PositiveInt | None = Field(default=None, description="The most slots of a run that the region gets.")
    elastic_slots: NonNegativeInt = Field(
        default=0, description="Slots sent there beyond what is free, so that an autoscaler sees the demand."
    )
    pending_timeout_s: PositiveFloat | None = Field(
        default=None, description="As in [federation], for this region: nodes that must be started first take longer."
    )
    max_outstanding: PositiveInt = Field(
        default=10_000,
        description="The most children of one job, finished ones too, that the region keeps. More wait until Nomad "
        "has forgotten some (or `purge_finished`).",
    )

    @model_validator(mode="after")
    def _minimum_is_below_the_cap(self) -> RegionTable:
        if self.cap is not None and self.minimum > self.cap:
            raise PydanticCustomError(
                "minimum", "has a minimum above its cap", {"hint": "lower one, or raise the other"}
            )
        return self

    tls: TLSTable = Field(default=TLSTable(), description="TLS towards the region.")
    datacenters: dict[str, DatacenterTable] = Field(default_factory=dict, description="Its datacenters, at least one.")
    vars: dict[str, Any] = Field(
        default_factory=dict, description="HCL variables of this region, for those that the jobspec declares."
    )
