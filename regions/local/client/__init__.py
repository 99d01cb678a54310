"""The node side of an embedded region: runs placed allocations and reports their tasks' states (see `Client`)."""

from regions.local.client.client import Client, end_leftovers

__all__ = ["Client", "end_leftovers"]
