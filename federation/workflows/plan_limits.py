"""Refuses limits of time and cost that can't be judged: a duration or a price isn't known."""

from __future__ import annotations

from collections.abc import Mapping

from federation.errors import UsageError
from federation.plan import Plan, Room
from federation.workflows.request import Placing


def require_durations(placing: Placing, policy: str, durations: Mapping[str, float]) -> None:
    """Raises UsageError where a limit or the policy needs durations, and none is known."""
    if placing.expected_duration_s or durations:
        return
    why = "--deadline" if placing.deadline_s is not None else "--max-cost" if placing.max_cost is not None else ""
    if why or policy == "fastest":
        raise UsageError(
            f"{why or 'policy fastest'} needs to know how long a slot runs, and the index has no finished run of this job",
            hint="say it:  --expected-duration 20m",
        )


def require_costs(placing: Placing, made: Plan, rooms: list[Room]) -> None:
    """Raises UsageError for a deadline or a cost that can't be judged."""
    used = {placement.region for placement in made.placements}
    unknown = [room.region for room in rooms if room.region in used and room.expected_duration_s is None]
    if unknown and placing.deadline_s is not None:
        raise UsageError(
            f"--deadline can't be judged: no finished run of this job was in {', '.join(unknown)}",
            hint="say how long a slot runs:  --expected-duration 20m",
        )
    if placing.max_cost is not None and made.cost is None:
        free_of_price = [room.region for room in rooms if room.region in used and room.price_per_hour is None]
        if free_of_price:
            raise UsageError(
                f"--max-cost can't be judged: no price is known for {', '.join(free_of_price)}",
                hint="set price_per_hour in [regions.NAME] (0 where it costs nothing)",
            )
        raise UsageError(
            f"--max-cost can't be judged: no finished run of this job was in {', '.join(unknown)}",
            hint="say how long a slot runs:  --expected-duration 20m",
        )
