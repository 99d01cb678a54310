"""Errors of a region. Every error names the region and the operation, never a token.

::

    RegionError(FedmlError)        .region, .operation
    ├── RegionUnreachable          no address answered, or something else answers there; nothing is known of the outcome
    │   └── RegionSlow             a server took the request and gave no answer in time
    ├── PermissionDenied           the token was refused (after it was read anew once)
    ├── NotFound                   no such job, allocation, file …
    ├── Conflict                   EnforceIndex: the job moved meanwhile
    ├── InvalidJob                 Nomad refused the job or the dispatch, in its own words
    ├── EventGap                   the event stream can't go on from that index: list again
    ├── Throttled                  429, or 5xx that lasted: try later
    ├── UnexpectedAnswer           an answer that Nomad would not give
    └── InvalidConfig              the embedded region's own configuration (regions.local)
"""

from __future__ import annotations

from jobs.errors import FedmlError


class RegionError(FedmlError):
    """Something about one region."""

    def __init__(self, message: str, *, region: str, operation: str = "", hint: str = "") -> None:
        super().__init__(f"region {region}: {message}", hint=hint)
        self.region = region
        self.operation = operation


class RegionUnreachable(RegionError):
    """No address of the region answered in time. Whether a write took effect is unknown."""


class RegionSlow(RegionUnreachable):
    """A server took the request and gave no answer in time. It may be busy, or be paused."""


class PermissionDenied(RegionError):
    """The region refused the token for this operation."""


class NotFound(RegionError):
    """The region has no such object."""


class Conflict(RegionError):
    """The job's modify index isn't the one that was expected: somebody changed it meanwhile."""


class InvalidJob(RegionError):
    """Nomad refused the job, dispatch or plan; the message is Nomad's own."""


class EventGap(RegionError):
    """The event stream lost events (buffer overrun, server restart, index reset): list again, then resume."""


class Throttled(RegionError):
    """The region limits the rate of requests (429) or kept failing (5xx)."""


class UnexpectedAnswer(RegionError):
    """The answer isn't one that Nomad gives."""
