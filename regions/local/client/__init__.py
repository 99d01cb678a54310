"""The node side of an embedded region: placed allocations go in, their tasks' states come out (see `Client`)."""

from regions.local.client.client import Client, end_leftovers

__all__ = ["Client", "end_leftovers"]
