"""The mock driver does what its configuration says, without a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regions.local.drivers.driver import ConfigInvalid, ExitResult, StartOrder, TaskEvents
from regions.local.drivers.loop import Loop
from regions.local.drivers.mock import MOCK, Mock


class Run:
    """One start of a mock task, and what came of it."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self.driver = Mock(loop)
        self.loop = loop
        self.folder = folder
        self.told: list[Any] = []
        self.started = threading.Event()
        self.over = threading.Event()

    def start(self, **config: Any) -> Run:
        checked = MOCK.check(config)
        base = f"{self.folder}/a"
        order = StartOrder("a", checked, {}, str(self.folder), f"{base}.stdout", f"{base}.stderr", 10, 1 << 20)
        events = TaskEvents(self.started.set, self.failed, self.exited)
        self.loop.post(lambda: self.driver.start(order, events))
        return self

    def failed(self, message: str, recoverable: bool) -> None:
        self.told.append((message, recoverable))
        self.over.set()

    def exited(self, result: ExitResult) -> None:
        self.told.append(result)
        self.over.set()

    def end(self) -> Any:
        assert self.over.wait(60)
        return self.told[0]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    loop = Loop("test")
    loop.start()
    yield Run(loop, tmp_path)
    loop.stop()


def test_it_ends_as_it_is_told(run: Run) -> None:
    result = run.start(run_for="5ms", exit_code="3", exit_signal=9, exit_err_msg="boom").end()
    assert (result.exit_code, result.signal, result.error) == (3, 9, "boom")
    assert not result.succeeded
    assert run.started.is_set()


def test_it_writes_its_output(run: Run, tmp_path: Path) -> None:
    config = {"stdout_string": "out\n", "stdout_repeat": 2, "stdout_repeat_duration": "1ms", "stderr_string": "err\n"}
    run.start(run_for="200ms", **config).end()
    assert (tmp_path / "a.stdout.0").read_text() == "out\n" * 3
    assert (tmp_path / "a.stderr.0").read_text() == "err\n"


@pytest.mark.parametrize("recoverable", [True, False])
def test_it_fails_to_start(run: Run, recoverable: bool) -> None:
    told = run.start(start_error="no", start_error_recoverable=recoverable, start_block_for="1ms").end()
    assert told == ("no", recoverable)
    assert not run.started.is_set()


def test_it_ends_some_time_after_it_was_killed(run: Run) -> None:
    run.start(run_for="1h", kill_after="1ms")
    assert run.started.wait(60)
    run.loop.post(lambda: run.driver.kill("a", 2, 5))
    assert run.end().exit_code == 0


def test_a_wrong_duration_is_no_task(run: Run) -> None:
    assert run.start(run_for="soon").end()[0].startswith("run_for soon not a valid duration")


def test_a_wrong_config_is_refused_at_once() -> None:
    with pytest.raises(ConfigInvalid) as refused:
        MOCK.check({"run": "1s", "exit_code": "x"})
    assert refused.value.errors == [
        'Invalid label: No argument or block type is named "run".',
        'Incorrect attribute value type: Inappropriate value for attribute "exit_code": a number required.',
    ]
