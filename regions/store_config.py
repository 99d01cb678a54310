"""How one store is reached. Apart from `regions.model`, since publishing in a task needs nothing else of a region. No I/O."""

from __future__ import annotations

from jobs.frozen import frozen
from regions.credentials import SecretRef


@frozen
class StoreConfig:
    """One store: its URL, where its server answers (None: the vendor's own), and how credentials are found.

    Without credential references the SDK's own chain is used (environment, profile, instance or workload identity);
    `anonymous` sends unsigned requests.
    """

    url: str
    endpoint: str | None = None
    location: str | None = None
    """The vendor's region (`us-east-1`), where the SDK wants one."""
    profile: str | None = None
    anonymous: bool = False
    access_key_id: SecretRef | None = None
    secret_access_key: SecretRef | None = None
    former_endpoints: tuple[str, ...] = ()
    """Addresses at which its server answered before: older records name them. Nothing is sent there."""
