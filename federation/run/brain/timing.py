"""Times and bounds of a run, which are the same for all runs or come from fedml.toml."""

from __future__ import annotations

from jobs.frozen import frozen


@frozen
class Limits:
    """Times in seconds, and bounds."""

    grace_s: float = 60.0
    """The longest time without news of the run's children before a region is lost. A quiet one is asked each third of it."""
    first_probe_s: float = 3.0
    """How long a start waits for all regions' room; then it begins with those that answered."""
    poll_s: float = 5.0
    """How often the children are listed in a region that is followed through another one, at most."""
    reprobe_s: float = 5.0
    reprobe_more_s: float = 1.0
    """The same where all known room is used and there may be more."""
    reprobe_max_s: float = 30.0
    """Between two probes of a region in which nothing changes."""
    look_again_s: float = 2.0
    look_retry_s: float = 5.0
    inspect_s: float = 0.5
    quiet_s: float = 10.0
    """A child without an allocation is inspected after this time: one that was stopped while it waited sends no news."""
    find_s: float = 2.0
    takeover_s: float = 30.0
    """An attempt that another coordinator bound is searched for here when it isn't acknowledged in this time."""
    read_log_s: float = 3.0
    """How often the run log is read for what others wrote (a cancel)."""
    pause_s: float = 15.0
    """How often a region whose token is refused is asked again."""
    store_retry_s: float = 5.0
    peek_s: float = 10.0
    """How often the stores are searched for results of slots whose region gives no news …"""
    peeks: int = 2
    """… so many slots a region at a time."""
    hold_max_s: float = 60.0
    """The longest pause after a region asked for patience."""
    verify_s: float = 5.0
    """How often the spec hashes of new children are read back, by one list a region."""
    window: int = 500
    window_max: int = 2000
    head_start: float = 0.05
    """The share of a region's slots that may wait there for a node, so that the next one is there when one ends."""
    bindings_an_entry: int = 500
