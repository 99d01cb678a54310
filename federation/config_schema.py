"""The tables of a parsed `fedml.toml` enter, the same as typed values leave, or every problem found, each with its key.

The only module that imports pydantic. Which keys exist, their types, defaults and meaning stand here and nowhere else:
`federation.config_reference` gives them to the documentation. A value from the file is never part of a
problem's text, since what stands under a mistyped key may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the key's path (`regions.us.token`), a clause about it, and what to write instead."""

    key: str
    text: str
    hint: str = ""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


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


class StoreTable(Table):
    """An object store. A plain string is short for `{ url = … }`."""

    url: str = Field(description="`s3://bucket/prefix`, `gs://…`, `az://…` or `file://./folder` (from fedml.toml).")
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

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class DatacenterTable(Table):
    """One Nomad datacenter of the region; its name is unique only there."""

    store: StoreTable | None = Field(default=None, description="Its store (URL or table); absent: the region's.")
    endpoint: str | None = Field(default=None, description="As in a store table, beside a `store` that is a URL.")
    location: str | None = Field(default=None, description="Likewise.")
    profile: str | None = Field(default=None, description="Likewise.")
    anonymous: bool | None = Field(default=None, description="Likewise.")
    access_key_id: SecretTable | None = Field(default=None, description="Likewise.")
    secret_access_key: SecretTable | None = Field(default=None, description="Likewise.")

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
    adopt: str | None = Field(default=None, description="As in [federation], for this region.")
    order: int | None = Field(
        default=None, description="Preference, lower first; absent: its place among the regions of this file, from 0."
    )
    weight: float = Field(default=1.0, gt=0, description="Share in policies that go by weight.")
    price_per_hour: float | None = Field(
        default=None, ge=0, description="Price of one slot for an hour; absent: not known."
    )
    prices: list[PriceTable] = Field(default=[], description="Prices by node class, node pool or device.")
    minimum: NonNegativeInt = Field(default=0, description="Slots of a run that it gets before the policy goes on.")
    cap: PositiveInt | None = Field(default=None, description="Slots of a run that it gets at most.")
    elastic_slots: NonNegativeInt = Field(
        default=0, description="Slots sent there beyond what is free, so that an autoscaler sees the demand."
    )
    pending_timeout_s: PositiveFloat | None = Field(
        default=None, description="As in [federation], for this region: nodes that are to be started need longer."
    )
    max_outstanding: PositiveInt = Field(
        default=10_000,
        description="Children of one job, finished ones too, that the region keeps at most; more wait until Nomad has "
        "forgotten some (or `purge_finished`).",
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


class FederationTable(Table):
    """The federation as a whole."""

    name: str | None = Field(default=None, description="Its name; absent: the folder's.")
    home: StoreTable = Field(description="Store (URL or table) that holds the index and the runs.")
    job: str | None = Field(
        default=None, description="Jobspec that commands use without `--job`; absent: the only `*.nomad.hcl`."
    )
    slots: PositiveInt | None = Field(
        default=None, description="Default of `-n`; absent: one slot in each chosen region."
    )
    policy: Annotated[str, Field(min_length=1)] = Field(
        default="spread",
        description="How slots are shared out: `spread` (by free capacity), `pack`, `order`, `cheapest`, `fastest`, "
        "`weights`, or one that a package brings.",
    )
    results: Literal["publish", "adopt", "none"] = Field(
        default="publish",
        description="What closes a slot: `publish`, records that jobs publish; `adopt`, objects that jobs wrote "
        "themselves; `none`, Nomad's status alone.",
    )
    adopt: str | None = Field(
        default=None,
        description="Where jobs write results themselves: `gs://bucket/{save_path}_v{version}_{alloc_id}.json`; "
        "without a scheme it counts from each datacenter's store.",
    )
    deploy: Literal["auto", "never"] = Field(
        default="auto", description="Whether `fedml dispatch` deploys a changed jobspec."
    )
    version_meta: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The meta key that carries the version, where it is neither `model_version` nor `version`.",
    )
    max_attempts: PositiveInt = Field(default=3, description="Attempts a slot.")
    grace_s: float = Field(
        default=60.0, ge=0, description="Seconds for which a region may be lost before its slots go elsewhere."
    )
    on_region_lost: Literal["rebind", "wait", "ask"] = Field(
        default="rebind",
        description="What becomes of a lost region's attempts: `rebind`, bound anew; `wait` and `ask`, left until the "
        "region is back or somebody says `fedml runs rebind`.",
    )
    max_failures: Annotated[str, Field(pattern=r"^\d+(\.\d+)?%?$")] | None = Field(
        default=None,
        description='When more slots than this have failed the run is stopped: `"5"` or `"5%"`; absent: it goes on.',
    )
    slot_timeout_s: PositiveFloat | None = Field(
        default=None, description="An attempt that runs for longer is stopped; absent: no limit."
    )
    pending_timeout_s: PositiveFloat | None = Field(
        default=None,
        description="An attempt that waits for a node for longer is bound elsewhere, where there is room; absent: never.",
    )
    purge_finished: bool = Field(
        default=False, description="Whether Nomad is to forget children whose results are in the index."
    )


class TagTable(Table):
    """A protected tag of the index: what a result, and who moves the tag, must meet. Guards against mistakes."""

    where: str | None = Field(
        default=None, description='Condition as for `fedml index list --where`: `"metrics.roc_auc >= 0.75"`.'
    )
    authors: list[str] = Field(
        default_factory=list, description='Who may move it, as patterns: `["ann@*", "ci"]`; absent: everyone.'
    )
    copies: PositiveInt = Field(default=1, description="In how many stores the artifact lies at least.")
    signed_by: str | None = Field(
        default=None,
        description="File with public keys, one of which must have signed the result; a relative path counts from here.",
    )


Command = Annotated[list[str], Field(min_length=1)]


class ArchiveTable(Table):
    """The archive of `make node-bundle` that serves one kind of store, as nodes fetch it."""

    url: str = Field(description="Where nodes fetch it: what Nomad's `artifact` block takes as `source`.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(description="Its sha256, as the build printed it.")


class PublishTable(Table):
    """The task that publishes, added to jobs that have none of their own."""

    add_task: bool = Field(default=False, description="Add a task `store` to each group that publishes.")
    path: str = Field(default="model", description="What it publishes: a folder or file in the allocation's folder.")
    archives: dict[Literal["file", "s3", "gs", "az"], ArchiveTable] = Field(
        default_factory=dict, description="The archives, by the kind of store that they serve."
    )
    driver: str | None = Field(default=None, description="Its task driver; absent: that of the group's own tasks.")
    image: str = Field(default="python:3.13-slim", description="For a driver that takes an image: any with Python.")
    python: str = Field(default="python3", description="Python on the node or in the image.")
    cpu_mhz: PositiveInt = Field(default=100, description="CPU in MHz that it asks for.")
    memory_mb: PositiveInt = Field(default=256, description="Memory in MB that it asks for.")


class HooksTable(Table):
    """Commands (program and arguments, no shell) that are run when something happened. None can hurt what it follows."""

    run_finished: Command | None = Field(default=None, description="A run ended with all its results in the index.")
    run_failed: Command | None = Field(default=None, description="A run ended failed or cancelled.")
    run_stalled: Command | None = Field(default=None, description="Nothing of a run went on for `stalled_after_s`.")
    index_commit: Command | None = Field(
        default=None, description="A result was entered into the index (`fedml index watch --hooks` runs these)."
    )
    index_tag: Command | None = Field(default=None, description="A tag was moved, or taken away.")
    index_retire: Command | None = Field(default=None, description="A result was retired, or is shown again.")
    stalled_after_s: float = Field(default=900.0, gt=0, description="When a run counts as stalled.")


class JobTable(Table):
    """What holds for one job, by its ID."""

    allowed_regions: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="It never runs elsewhere, retries and fail-over included; absent: no limit."
    )


class SharesTable(Table):
    """Most slots that may be outstanding at once, over all runs. Cooperative: each coordinator keeps to it."""

    owners: dict[str, PositiveInt] = Field(
        default_factory=dict, description='By who dispatched, as a pattern: `"ann@*" = 50`; the first that fits holds.'
    )
    namespaces: dict[str, PositiveInt] = Field(default_factory=dict, description="By Nomad namespace: `ml = 200`.")


class CoordinatorTable(Table):
    """Who drives runs; and the ordinary Nomad batch job that does for `fedml dispatch --detach`."""

    driver: str = Field(default="raw_exec", description="Its task's driver.")
    image: str | None = Field(default=None, description="Image with fedml in it, where the driver takes one.")
    command: str = Field(default="fedml", description="The command `fedml` as the node or the image has it.")
    lease_s: float = Field(
        default=60.0, ge=1, description="For how long a coordinator may be silent before another takes its run over."
    )
    cpu_mhz: PositiveInt = Field(default=200, description="CPU that it asks for.")
    memory_mb: PositiveInt = Field(default=256, description="Memory that it asks for.")


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
    version: str = Field(default="1.6.3", description="Nomad version that it says it is.")
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
    """A token besides the one that may do all; its secret is written to `.fedml/dev/tokens/NAME`."""

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


class Document(Table):
    """All of fedml.toml."""

    federation: FederationTable = Field(description="The federation as a whole.")
    regions: dict[str, RegionTable] = Field(default_factory=dict, description="The regions, at least one.")
    jobs: dict[str, JobTable] = Field(default_factory=dict, description="What holds for single jobs.")
    shares: SharesTable = Field(default=SharesTable(), description="How much of the federation one may hold.")
    tags: dict[str, TagTable] = Field(default_factory=dict, description="Protected tags of the index.")
    coordinator: CoordinatorTable = Field(
        default=CoordinatorTable(), description="Who drives runs, and the job that drives detached ones."
    )
    publish: PublishTable = Field(default=PublishTable(), description="The task that publishes, where it is added.")
    hooks: HooksTable = Field(default=HooksTable(), description="Commands that are run when something happened.")
    dev: DevTable = Field(default=DevTable(), description="What `fedml dev up` starts on this machine.")


def validate(data: Mapping[str, Any]) -> Document | list[Problem]:
    """The document, or all problems, unknown keys first (a mistyped key is also a missing one)."""
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        details = sorted(
            error.errors(include_url=False, include_input=True), key=lambda d: d["type"] != "extra_forbidden"
        )
        problems = [_problem(detail) for detail in details]
    return problems


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}
_GIVEN = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table"}


def _problem(detail: ErrorDetails) -> Problem:
    path, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    key = ".".join(str(part) for part in path)
    if kind == "extra_forbidden":
        known = _fields_at(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
        return Problem(
            key, "unknown key", f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        )
    if kind == "missing":
        return Problem(key, "is missing", _EXAMPLES.get(str(path[-1]), ""))
    if kind.endswith("_type") and kind.removesuffix("_type") in _KINDS:
        given = _GIVEN.get(type(detail["input"]), "that")
        return Problem(key, f"must be {_KINDS[kind.removesuffix('_type')]}, not {given}")
    if kind == "literal_error":
        choices = [choice.strip("' ") for choice in str(context["expected"]).replace(" or ", ", ").split(",")]
        close = difflib.get_close_matches(str(detail["input"]), choices, n=1)
        return Problem(key, f"must be one of {context['expected']}", f"did you mean {close[0]!r}?" if close else "")
    text = detail["msg"]
    return Problem(key, text[0].lower() + text[1:], str(context.get("hint", "")))


_EXAMPLES = {
    "federation": 'begin with a table [federation] and home = "file://./stores/home"',
    "home": 'write home = "file://./stores/home" or another store URL',
    "addresses": 'write addresses = ["https://nomad.example.com:4646"]',
    "url": 'write url = "s3://bucket/prefix" or another store URL',
    "nodes": "write nodes = [{ cpu_mhz = 4000, memory_mb = 4096 }]",
    "buckets": 'write buckets = ["name"]',
}


def _fields_at(path: Sequence[str | int]) -> list[str]:
    """The keys known in the table at that path."""
    model: type[Table] = Document
    parts = iter(path)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) in (dict, list):
            next(parts, None)  # the name in `regions.NAME`, the number in `nodes`
        model = table_in(annotation) or model
    return list(model.model_fields)


def table_in(annotation: Any) -> type[Table] | None:
    """The table inside an annotation: `dict[str, T]`, `list[T]`, `T | None` or T itself; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    if get_origin(annotation) is Literal:
        return None
    return next((found for part in get_args(annotation) if (found := table_in(part)) is not None), None)
