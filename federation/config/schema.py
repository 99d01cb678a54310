"""Declares every key of `fedml.toml`: its type, default and meaning. Validates a parsed file against that.

`federation.config.reference` writes the reference page from here, and `federation.config.build` takes values from here.
Only this room imports pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from federation.config.schema_code import RunTable
from federation.config.schema_dev import DevTable
from federation.config.schema_places import PositiveFloat, PositiveInt, RegionTable, StoreTable, Table
from federation.config.validation import Problem, validated
from regions.storage.backend import schemes


class FederationTable(Table):
    """The federation as a whole."""

    name: str | None = Field(default=None, description="Its name; absent: the folder's.")
    home: StoreTable = Field(description="Store (URL or table) that holds the index and the runs.")
    further_stores: list[StoreTable] = Field(
        default=[],
        description="Stores (URLs or tables) that hold copies of results, or results of regions that this file no "
        "longer has.",
    )
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
        default=60.0,
        ge=0,
        description="Seconds without any news of the run from a region after which it is lost and its slots go "
        "elsewhere, even if it answers pings.",
    )
    on_region_lost: Literal["rebind", "wait", "ask"] = Field(
        default="rebind",
        description="What happens to a lost region's attempts: `rebind`, they are placed elsewhere; `wait` and "
        "`ask`, they stay until the region is back or somebody runs `fedml runs rebind`.",
    )
    max_failures: Annotated[str, Field(pattern=r"^\d+(\.\d+)?%?$")] | None = Field(
        default=None,
        description='The run is stopped when more slots than this have failed: `"5"` or `"5%"`; absent: it goes on.',
    )
    slot_timeout_s: PositiveFloat | None = Field(
        default=None, description="Seconds after which a running attempt is stopped; absent: no limit."
    )
    pending_timeout_s: PositiveFloat | None = Field(
        default=None,
        description="Seconds after which an attempt that waits for a node is placed elsewhere, if there is room, and "
        "one that Nomad doesn't hold for a node has failed; absent: never.",
    )
    purge_finished: bool = Field(
        default=False, description="Whether Nomad deletes children whose results are in the index."
    )
    keep_logs: Literal["failed", "sample", "all"] = Field(
        default="sample",
        description="Whose output is kept in the home store: `failed`, that of failed attempts; `sample`, also that of the "
        "first 100 good attempts of a run; `all`, that of all attempts. What happened to an attempt is always kept.",
    )


class TagTable(Table):
    """A protected tag of the index: conditions for the result and for who moves the tag. Prevents mistakes."""

    where: str | None = Field(
        default=None, description='Condition as for `fedml index list --where`: `"metrics.roc_auc >= 0.75"`.'
    )
    authors: list[str] = Field(
        default_factory=list, description='Who may move it, as patterns: `["ann@*", "ci"]`; absent: everyone.'
    )
    copies: PositiveInt = Field(default=1, description="The least number of stores that hold the artifact.")
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
    archives: dict[str, ArchiveTable] = Field(
        default_factory=dict, description="The archives, by the kind of store that they serve."
    )
    driver: str | None = Field(default=None, description="Its task driver; absent: that of the group's own tasks.")
    image: str = Field(default="python:3.13-slim", description="For a driver that takes an image: any with Python.")
    python: str = Field(default="python3", description="Python on the node or in the image.")
    cpu_mhz: PositiveInt = Field(default=100, description="CPU in MHz that it asks for.")
    memory_mb: PositiveInt = Field(default=256, description="Memory in MB that it asks for.")

    @field_validator("archives")
    @classmethod
    def _serve_known_stores(cls, archives: dict[str, ArchiveTable]) -> dict[str, ArchiveTable]:
        for scheme in archives:
            if scheme not in schemes():
                text, known = "serves {scheme}://, and no such kind of store is installed here", ", ".join(schemes())
                raise PydanticCustomError("archive", text, {"scheme": scheme, "hint": f"known: {known}"})
        return archives


class HooksTable(Table):
    """Commands (program and arguments, no shell) that are run when something happened. A failing hook does not affect the
    run."""

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
    """The most slots that may be outstanding at once, over all runs. Cooperative: each coordinator keeps to it."""

    owners: dict[str, PositiveInt] = Field(
        default_factory=dict, description='By who dispatched, as a pattern: `"ann@*" = 50`; the first that fits holds.'
    )
    namespaces: dict[str, PositiveInt] = Field(default_factory=dict, description="By Nomad namespace: `ml = 200`.")


class CoordinatorTable(Table):
    """The coordinator of runs, and the ordinary Nomad batch job that runs it for `fedml dispatch --detach`."""

    driver: str = Field(default="raw_exec", description="Its task's driver.")
    image: str | None = Field(default=None, description="Image with fedml in it, where the driver takes one.")
    command: str = Field(default="fedml", description="The command `fedml` as the node or the image has it.")
    lease_s: float = Field(
        default=60.0,
        ge=1,
        description="Seconds for which a coordinator may be silent before another takes its run over.",
    )
    tls_files: Literal["variables", "nodes"] = Field(
        default="variables",
        description="Where it finds the files of [regions.NAME.tls]: `variables`: in its Nomad variable; `nodes`: on the "
        "clients, at the same absolute paths.",
    )
    store_credentials: Literal["variables", "nodes"] = Field(
        default="variables",
        description="Where it finds credentials of stores for which this file names none: `variables`: in its Nomad variable; "
        "`nodes`: the clients have an identity of their own (instance profile, workload identity).",
    )
    cpu_mhz: PositiveInt = Field(default=200, description="CPU that it asks for.")
    memory_mb: PositiveInt = Field(default=256, description="Memory that it asks for.")


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
    run: RunTable = Field(default=RunTable(), description="How code of one's own runs (`fedml run`).")
    publish: PublishTable = Field(default=PublishTable(), description="The task that publishes, where it is added.")
    hooks: HooksTable = Field(default=HooksTable(), description="Commands that are run when something happened.")
    dev: DevTable = Field(default=DevTable(), description="What `fedml dev up` starts on this machine.")


def validate(data: Mapping[str, Any]) -> Document | list[Problem]:
    """Validates the file. Returns the document, or all problems, as `validated` does."""
    return validated(Document, data)
