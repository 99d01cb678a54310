"""Asks regions for their free slots, by Nomad's own scheduler. The answer is a `CapacitySnapshot`.

All regions are asked at once, so it takes about as long as the slowest one. A region that is unreachable or refuses is a
value in the snapshot. It raises nothing, so the other answers are kept.

`probe` asks for free slots. Children that are queued (pending or blocked evaluations) are deducted, since the dry
run doesn't count them. A token that may not ask the scheduler gets an estimate. A region that answers, but not in time, is
slow and not unreachable.
"""

from federation.capacity.ask_all import snapshot, without_job
from federation.capacity.ask_one import UNKNOWN_FREE, look, queued_children
from federation.capacity.model import CapacitySnapshot, GoOn, RegionCapacity
from federation.capacity.probe import SLOTS_MAX, shortage_text

__all__ = [
    "SLOTS_MAX",
    "UNKNOWN_FREE",
    "CapacitySnapshot",
    "GoOn",
    "RegionCapacity",
    "look",
    "queued_children",
    "shortage_text",
    "snapshot",
    "without_job",
]
