"""Leaves out the regions that a prepared job may not run in.

The limit stands in the job itself (`meta { fedml_allowed_regions = "eu,onprem" }`) or in fedml.toml (`[jobs.NAME]
allowed_regions`). Where it stands in both, a region must be in both. A region that is left out is neither deployed to nor
planned. It isn't in the run's manifest either, so no retry and no fail-over goes there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from federation.deploy.prepare import PreparedJob
from federation.errors import RegionNotAllowed
from jobs.errors import FedmlError
from jobs.spec import ALLOWED_REGIONS_KEY


def limited(prepared: PreparedJob, configured: Collection[str] | None) -> PreparedJob:
    """Replaces the job of each region that isn't allowed by a RegionNotAllowed. `configured`: what fedml.toml allows (None:
    no limit)."""
    rendered = dict(prepared.rendered)
    for name, job in prepared.rendered.items():
        if isinstance(job, FedmlError):
            continue
        own = str((job.get("Meta") or {}).get(ALLOWED_REGIONS_KEY, ""))
        limits = {
            f"the job's meta {ALLOWED_REGIONS_KEY}": [part.strip() for part in own.split(",")] if own.strip() else None,
            f"[jobs.{prepared.shape.id}] allowed_regions in fedml.toml": configured,
        }
        for where, allowed in limits.items():
            if allowed is not None and name not in allowed:
                rendered[name] = RegionNotAllowed(f"{where} allows only {', '.join(sorted(allowed))}")
    return replace(prepared, rendered=rendered)
