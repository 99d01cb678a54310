"""Plans how slots are placed in regions: placements, and slots without a place with the reason.

Pure: no I/O, clock or randomness. Equal inputs give equal plans. Other stages may use it: capacity describes regions as
`Room`, and the run's brain calls a `Policy` again whenever room appears.
"""

from federation.plan.expected import When, expected_place
from federation.plan.limits import check_limits, left_of, within_limits
from federation.plan.make import Wishes, plan
from federation.plan.model import Placement, Plan, Policy, Reason, Room, Unplaced
from federation.plan.policies import POLICIES, spread
from federation.plan.registry import ENTRY_POINTS, policy_named, policy_names
from federation.plan.sharing import DEFAULT_PRIORITY, Budget, Claim, Shares, budgets, own_part, within_shares

__all__ = [
    "DEFAULT_PRIORITY",
    "ENTRY_POINTS",
    "POLICIES",
    "Budget",
    "Claim",
    "Placement",
    "Plan",
    "Policy",
    "Reason",
    "Room",
    "Shares",
    "Unplaced",
    "When",
    "Wishes",
    "budgets",
    "check_limits",
    "expected_place",
    "left_of",
    "own_part",
    "plan",
    "policy_named",
    "policy_names",
    "spread",
    "within_limits",
    "within_shares",
]
