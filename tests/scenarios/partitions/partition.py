"""The words in which partitions are described: acts, in order. Values only; `Stage` gives them their effect."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.emulators.link import Fault
from tests.scenarios.partitions.engine import DESKS, Way

if TYPE_CHECKING:
    from tests.scenarios.partitions.stage import Stage


class Act(Protocol):
    """Something that is done, or waited for."""

    def on(self, stage: Stage) -> None: ...


@dataclass(frozen=True)
class Partition:
    """One partition. `meets` says in a sentence what an operator meets."""

    name: str
    meets: str
    acts: Sequence[Act]
    on_region_lost: str = "rebind"
    buckets: tuple[str, ...] = ()
    """Stores that are buckets of a server, reached by a way of their own; the others are folders."""

    @property
    def faults(self) -> list[Fault]:
        return [act.fault for act in self.acts if isinstance(act, (Suffers, Flaps))]


@dataclass(frozen=True)
class Dispatches:
    """The run begins, two slots in each region."""

    def on(self, stage: Stage) -> None:
        stage.start("desk", "dispatch", "-n", "6")


@dataclass(frozen=True)
class Resumes:
    """Another desk goes on with the run."""

    def on(self, stage: Stage) -> None:
        stage.start("other", "runs", "resume", stage.run_id())


@dataclass(frozen=True)
class Suffers:
    """Ways are hurt."""

    ways: tuple[Way, ...]
    fault: Fault

    def on(self, stage: Stage) -> None:
        stage.suffer(self.ways, self.fault)


@dataclass(frozen=True)
class Flaps:
    """Ways are cut and whole again, for so long each, so many times."""

    ways: tuple[Way, ...]
    fault: Fault
    times: int = 6
    every_s: float = 0.5

    def on(self, stage: Stage) -> None:
        for _ in range(self.times):
            stage.suffer(self.ways, self.fault)
            time.sleep(self.every_s)
            stage.mend(self.ways)
            time.sleep(self.every_s)


@dataclass(frozen=True)
class Mends:
    """Ways, or all, are whole again."""

    ways: tuple[Way, ...] = ()

    def on(self, stage: Stage) -> None:
        stage.mend(self.ways)


@dataclass(frozen=True)
class Hears:
    """A coordinator tells so, so many times in all."""

    event: str
    region: str = ""
    text: str = ""
    times: int = 1
    desk: str = DESKS[0]

    def on(self, stage: Stage) -> None:
        stage.coordinators[self.desk].hear(self.event, self.region, self.text, self.times)


@dataclass(frozen=True)
class Opens:
    """Tasks that wait in these regions (or in all) go on."""

    regions: tuple[str, ...] = ()

    def on(self, stage: Stage) -> None:
        stage.open_gates(*self.regions)


@dataclass(frozen=True)
class TasksEnd:
    """All tasks of a region have ended; the coordinator may not know."""

    region: str

    def on(self, stage: Stage) -> None:
        stage.wait_until_ended(self.region)


@dataclass(frozen=True)
class Signalled:
    """A coordinator gets a signal."""

    number: signal.Signals
    desk: str = DESKS[0]

    def on(self, stage: Stage) -> None:
        stage.coordinators[self.desk].process.send_signal(self.number)


@dataclass(frozen=True)
class Ends:
    """A coordinator ends with one of these exit codes."""

    codes: tuple[int, ...] = (0,)
    desk: str = DESKS[0]

    def on(self, stage: Stage) -> None:
        code = stage.coordinators[self.desk].ended()
        assert code in self.codes, f"exit code {code}{stage.stories()}"


@dataclass(frozen=True)
class GoesOn:
    """`runs resume` of a run that is over: it stops what is stale in regions that answer again."""

    def on(self, stage: Stage) -> None:
        done = stage.fedml("runs", "resume", stage.run_id())
        assert done.code == 0, done.err


@dataclass(frozen=True)
class Never:
    """A coordinator has told nothing of that kind."""

    event: str
    region: str = ""
    text: str = ""
    desk: str = DESKS[0]

    def on(self, stage: Stage) -> None:
        told = stage.coordinators[self.desk].having(self.event, self.region, self.text)
        assert not told, f"it told {told}{stage.stories()}"


@dataclass(frozen=True)
class Only:
    """The slots had no attempts but these numbers."""

    attempts: tuple[int, ...] = (1,)

    def on(self, stage: Stage) -> None:
        found = {attempt["attempt"] for slot in stage.slots() for attempt in slot["attempts"]}
        assert found == set(self.attempts), f"attempts {found}{stage.stories()}"


@dataclass(frozen=True)
class NothingOpen:
    """What is stale in a region was stopped, though its tasks still wait there."""

    region: str

    def on(self, stage: Stage) -> None:
        stage.wait_until_ended(self.region)
