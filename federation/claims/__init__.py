"""Compares a result's record, which a node wrote, with what is known without it: manifest, run log, fedml.toml and Nomad.

A record is a claim. `Expected` holds, for each field that something else tells, the values that the field may have; `refusal`
names the first field with another value. Pure. docs/explanation/security.md has the table of fields.
"""

from federation.claims.compare import contradiction, difference, fields_of, files_problem, refusal
from federation.claims.model import Bound, Expected, Known, OpenedRun, RunFacts, Site, known
from federation.claims.witnesses import (
    of_allocation,
    of_attempt,
    of_child_name,
    of_opened,
    of_params,
    of_place,
    of_plain_child,
    of_refused,
    of_run,
    sites_of,
)

__all__ = [
    "Bound",
    "Expected",
    "Known",
    "OpenedRun",
    "RunFacts",
    "Site",
    "contradiction",
    "difference",
    "fields_of",
    "files_problem",
    "known",
    "of_allocation",
    "of_attempt",
    "of_child_name",
    "of_opened",
    "of_params",
    "of_place",
    "of_plain_child",
    "of_refused",
    "of_run",
    "refusal",
    "sites_of",
]
