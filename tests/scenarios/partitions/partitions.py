"""The partitions: what is cut and when, and what is to follow. Every one ends with one committed result a slot."""

from __future__ import annotations

import signal

from tests.emulators.link import Delayed, Dripped, Dropped, Limited, Oversized, Refused, StreamStalled
from tests.scenarios.partitions.engine import BUCKETS, REGIONS, ways_to
from tests.scenarios.partitions.partition import (
    Dispatches,
    Ends,
    Flaps,
    GoesOn,
    Hears,
    Mends,
    Never,
    NothingOpen,
    Only,
    Opens,
    Partition,
    Resumes,
    Signalled,
    Suffers,
    TasksEnd,
)

TO_US = tuple(ways_to("us"))
DIRECTLY = (("desk", "us"),)
FROM_THE_DESK = tuple(("desk", region) for region in REGIONS)
BETWEEN_REGIONS = tuple((source, target) for source in REGIONS for target in REGIONS if source != target)
TO_THE_BUCKETS = (("desk", BUCKETS),)

ALL_RUN = (Dispatches(), Hears("running", times=6))
US_IS_LOST = Hears("lost", "us")
US_IS_BACK = Hears("back", "us")
ELSEWHERE = Opens(("eu", "onprem"))
ALL_END = tuple(TasksEnd(region) for region in REGIONS)
STOPPED_LATER = (Mends(), GoesOn(), NothingOpen("us"))
"""us is reached again after the run is over; what still waits there is stopped by the next command."""
STOPPED_AT_ONCE = (Mends(), US_IS_BACK, NothingOpen("us"), Opens(), Ends())
"""us is reached again while the run goes on."""

PARTITIONS = (
    Partition(
        "region-cut-off",
        "one region is reached neither directly nor through the others, and returns during the run",
        [*ALL_RUN, Suffers(TO_US, Dropped()), US_IS_LOST, *STOPPED_AT_ONCE],
    ),
    Partition(
        "region-cut-off-and-waited-for",
        "the same with on_region_lost = wait",
        [
            *ALL_RUN,
            Suffers(TO_US, Dropped()),
            US_IS_LOST,
            Mends(),
            US_IS_BACK,
            Opens(),
            Ends(),
            Only(),
        ],
        on_region_lost="wait",
    ),
    Partition(
        "region-reached-through-another",
        "one region's own address isn't reached from the coordinator, other regions forward to it",
        [
            *ALL_RUN,
            Suffers(DIRECTLY, Dropped()),
            Hears("region", "us", "through"),
            Opens(),
            Ends(),
            Never("lost", "us"),
            Only(),
        ],
    ),
    Partition(
        "coordinator-cut-off",
        "the coordinator's own network is down",
        [
            *ALL_RUN,
            Suffers(FROM_THE_DESK, Dropped()),
            Hears("run", text="cut off"),
            Mends(),
            Hears("run", text="heard again"),
            Opens(),
            Ends(),
            Never("lost"),
            Only(),
        ],
    ),
    Partition(
        "requests-lost",
        "nothing arrives in one region; the run ends without it, what is stale is stopped afterwards",
        [*ALL_RUN, Suffers(TO_US, Dropped("in")), US_IS_LOST, ELSEWHERE, Ends(), *STOPPED_LATER],
    ),
    Partition(
        "answers-lost",
        "one region hears everything, nothing that it answers arrives",
        [*ALL_RUN, Suffers(TO_US, Dropped("out")), US_IS_LOST, *STOPPED_AT_ONCE],
    ),
    Partition(
        "large-packets-lost",
        "packets over 600 bytes to and from one region are dropped: it answers pings, lists and events don't arrive",
        [*ALL_RUN, Suffers(TO_US, Oversized(600)), Opens(), Ends()],
    ),
    Partition(
        "answers-late",
        "each answer of one region comes a second late",
        [*ALL_RUN, Suffers(TO_US, Delayed(1.0)), Opens(), Ends()],
    ),
    Partition(
        "answers-drip",
        "one region answers a byte every two seconds",
        [*ALL_RUN, Suffers(TO_US, Dripped(1, 2.0)), US_IS_LOST, ELSEWHERE, Ends(), *STOPPED_LATER],
    ),
    Partition(
        "line-slow",
        "the line to one region carries 4,000 bytes a second",
        [*ALL_RUN, Suffers(TO_US, Limited(4000)), Opens(), Ends()],
    ),
    Partition(
        "event-stream-stalls",
        "one region's event stream says nothing any more, all else works",
        [*ALL_RUN, Suffers(TO_US, StreamStalled()), Opens(), Ends(), Never("lost", "us"), Only()],
    ),
    Partition(
        "region-store-cut",
        "one region's store isn't reached from the coordinator, the region is",
        [
            *ALL_RUN,
            Signalled(signal.SIGSTOP),
            Opens(),
            *ALL_END,
            Suffers(TO_THE_BUCKETS, Refused()),
            Signalled(signal.SIGCONT),
            Ends(),
            Only(),
        ],
        buckets=("us",),
    ),
    Partition(
        "home-store-cut",
        "the home store isn't reached for a while",
        [*ALL_RUN, Suffers(TO_THE_BUCKETS, Dropped()), Opens(), *ALL_END, Mends(), Ends(), Never("lost"), Only()],
        buckets=("home",),
    ),
    Partition(
        "regions-apart",
        "the regions don't reach each other, the coordinator reaches all",
        [*ALL_RUN, Suffers(BETWEEN_REGIONS, Dropped()), Opens(), Ends(), Never("lost"), Only()],
    ),
    Partition(
        "stale-attempts-publish",
        "a lost region's attempts publish while their slots run elsewhere, then it returns",
        [
            *ALL_RUN,
            Suffers(TO_US, Dropped()),
            US_IS_LOST,
            Hears("running", times=8),
            Opens(("us",)),
            TasksEnd("us"),
            Mends(),
            US_IS_BACK,
            Opens(),
            Ends(),
        ],
    ),
    Partition(
        "stale-attempts-are-waited-for",
        "the same with on_region_lost = wait: what the region published while it was lost is what counts",
        [
            *ALL_RUN,
            Suffers(TO_US, Dropped()),
            US_IS_LOST,
            Opens(("us",)),
            TasksEnd("us"),
            Mends(),
            US_IS_BACK,
            Opens(),
            Ends(),
            Only(),
        ],
        on_region_lost="wait",
    ),
    Partition(
        "line-flaps",
        "the line to one region is cut and whole again, twice a second",
        [*ALL_RUN, Flaps(TO_US, Dropped()), Opens(), Ends()],
    ),
    Partition(
        "two-coordinators",
        "two coordinators of one run: one reaches us and onprem, the other eu and the home store",
        [
            *ALL_RUN,
            # Reset, since a server of buckets that waits for the rest of a request lets nobody else write.
            Suffers(TO_THE_BUCKETS, Refused()),
            Suffers((("desk", "eu"), ("other", "us")), Dropped()),
            Resumes(),
            Hears("run", text="was driven by", desk="other"),
            Opens(),
            *ALL_END,
            Ends(desk="other"),
            Mends(),
            Ends((0, 1)),
            Only(),
        ],
        buckets=("home",),
    ),
)
"""Fourteen kinds, some of them with both ways to treat a lost region."""
