"""What may go wrong in the virtual world, each kind with its own seeded chance, so that leaving one out keeps the others."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

KINDS: Mapping[str, float] = {
    # requests and answers
    "lost_request": 0.03,
    "lost_answer": 0.04,
    "late_answer": 0.05,
    "twice": 0.03,
    "throttled": 0.02,
    "stale_list": 0.05,
    # the event stream
    "stream_gap": 0.03,
    "news_twice": 0.05,
    "news_late": 0.10,
    # children
    "no_evaluation": 0.03,
    "collected": 0.02,
    "strange_stop": 0.01,
    "exit": 0.03,
    "oom": 0.01,
    "setup": 0.01,
    "node_lost": 0.02,
    "preempted": 0.02,
    "drained": 0.02,
    "max_run": 0.01,
    "never_placed": 0.01,
    "no_result": 0.01,
    "failed_after_publishing": 0.02,
    "forged": 0.02,
    "hang": 0.01,
    # curves: each half second, of each running child
    "measured": 0.10,
    # regions: each half second
    "cut": 0.004,
    "cut_answers": 0.002,
    "cut_stream": 0.002,
    "cut_direct": 0.002,
    "cut_pings": 0.002,
    "cut_relay": 0.002,
    "cut_slow": 0.002,
    "cut_drip": 0.002,
    "cut_flap": 0.001,
    "token_expired": 0.002,
    "strangers_work": 0.01,
    "changed_job": 0.0004,
    # home and stores
    "home_down": 0.02,
    "home_answer_lost": 0.02,
    "index_down": 0.03,
    "index_answer_lost": 0.03,
    "store_down": 0.05,
    # the coordinator
    "killed": 0.004,
    "clock_jump": 0.003,
    "cut_off": 0.0008,
}
"""Kind → chance at each occasion."""


class Faults:
    """Seeded chances. `without`: kinds that don't happen; `scale` makes all rarer or more frequent; 0: none."""

    def __init__(self, seed: int, *, scale: float = 0.0, without: Collection[str] = ()) -> None:
        self.seed = seed
        self.scale = scale
        self.without = frozenset(without)
        self.is_over = False
        self._random: dict[str, random.Random] = {}
        self.happened: dict[str, int] = {}

    def rng(self, kind: str) -> random.Random:
        """The kind's own stream of chance."""
        if kind not in self._random:
            self._random[kind] = random.Random(f"{self.seed}/{kind}")
        return self._random[kind]

    def hits(self, kind: str) -> bool:
        """Whether it happens on this occasion."""
        drawn = self.rng(kind).random()
        if self.is_over or kind in self.without or drawn >= KINDS[kind] * self.scale:
            return False
        self.happened[kind] = self.happened.get(kind, 0) + 1
        return True
