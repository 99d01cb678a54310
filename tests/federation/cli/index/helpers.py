"""A project whose stores hold what `fedml publish` puts there, and the commands of `fedml index` in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from federation.config.load import load
from federation.home import RunKeys, run_log
from federation.index import Index
from federation.log import timestamp, utc_now
from federation.manifest import Manifest
from federation.publish.publish import publish
from federation.result import ResultRecord
from federation.run.brain.changes import Bind
from regions.storage import Store, open_store

Cli = Callable[..., tuple[int, str, str]]

CONFIG = """
[federation]
name = "test"
home = "{root}/home"

[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.us-east-1]
store = "{root}/us"

[regions.eu]
addresses = ["http://127.0.0.1:1"]
[regions.eu.datacenters.eu-west-1]
store = "{root}/eu"
"""
DATACENTERS = {"us": "us-east-1", "eu": "eu-west-1"}
ALLOCATION = "{}0000000-0000-4000-8000-000000000000"


class Project:
    """A project folder whose stores hold what `fedml publish` puts there, without any region."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "fedml.toml").write_text(CONFIG.format(root=root.as_uri()))
        self.config = load(root / "fedml.toml")
        self.home = open_store(self.config.home)
        self.index = Index(self.home, cache_dir=root / "another-cache", author="ann@host")

    def open_run(self, run: str, *, job: str = "sales", version: str = "4", slots: int = 3) -> None:
        """A run in the index, with its manifest and a log that binds each slot."""
        self.index.open_run(run, job, version, "5pec", slots, slots)
        manifest = Manifest(
            run=run, job=job, job_file="", spec_hash="5pec", version=version, slots=slots, groups={"train": 1},
            regions=("us", "eu"), one_each=False, meta={}, payload=b"", policy="spread", results="publish",
            max_attempts=3, author="ann@host", created=timestamp(utc_now()),
        )  # fmt: skip
        self.home.put(RunKeys(run).manifest, manifest.to_json())
        bind = [Bind(slot, 1, ("us", "eu")[slot % 2]).to_json() for slot in range(slots)]
        run_log(self.home, run, author="ann@host").append(bind)

    def another_index(self, cache: str = "third-cache") -> Index:
        """The index on a machine that never saw it."""
        return Index(self.home, cache_dir=self.root / cache, author="ci@host")

    def store(self, region: str) -> Store:
        return open_store(self.config.regions[region].datacenters[DATACENTERS[region]].store)

    def publish(self, name: str, *, commit: bool = True, **given: Any) -> str:
        """A result of the allocation whose id begins with that letter (see `published`)."""
        record = self.published(name, **given)
        if commit:
            self.index.commit([record])
        return record.alloc_id

    def published(
        self,
        name: str,
        *,
        region: str = "us",
        run: str = "run-1",
        slot: int = 0,
        attempt: int = 1,
        job: str = "sales",
        version: str = "4",
    ) -> ResultRecord:
        """What a node puts into the region's store."""
        folder = self.root / f"artifact-{name}"
        folder.mkdir()
        (folder / "model.bin").write_bytes(f"model {name} ".encode() * 100)
        (folder / "metrics.json").write_text(json.dumps({"auc": 0.7 + slot / 100}))
        alloc_id = ALLOCATION.format(name)
        stores = {DATACENTERS[region]: self.config.regions[region].datacenters[DATACENTERS[region]].store.url}
        return publish(
            folder,
            environ={
                "NOMAD_ALLOC_ID": alloc_id,
                "NOMAD_ALLOC_INDEX": "0",
                "NOMAD_ALLOC_NAME": f"{job}/dispatch-{name}.train[0]",
                "NOMAD_GROUP_NAME": "train",
                "NOMAD_TASK_NAME": "store",
                "NOMAD_JOB_ID": f"{job}/dispatch-{name}",
                "NOMAD_JOB_NAME": f"{job}/dispatch-{name}",
                "NOMAD_JOB_PARENT_ID": job,
                "NOMAD_REGION": region,
                "NOMAD_DC": DATACENTERS[region],
                "NOMAD_META_fedml_run": run,
                "NOMAD_META_fedml_slot": str(slot),
                "NOMAD_META_fedml_attempt": str(attempt),
                "NOMAD_META_fedml_spec": "5pec",
                "NOMAD_META_fedml_version": version,
                "FEDML_STORES": json.dumps(stores),
            },
        ).record
