"""A `fedml` command that drives a run, with what it tells, when it told it, and waits for what it is to tell."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

HEAR_S = 150.0
"""How long something that is to come is waited for: several times what it takes on a slow machine."""
END_S = 400.0


@dataclass
class Coordinator:
    """One process. `told` are its JSON Lines with the moment at which each came."""

    process: subprocess.Popen[str]
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    exits_after_s: float = 0.0
    """Between the last line that it told and its exit."""

    def __post_init__(self) -> None:
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_told, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_told(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.told.append((time.monotonic(), json.loads(line)))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def having(self, event: str, region: str = "", text: str = "") -> list[tuple[float, dict[str, Any]]]:
        """What it told of that kind so far: of a region, with a text in its detail."""
        return [
            (at_s, told)
            for at_s, told in self.told
            if told.get("event") == event and region in ("", told.get("region")) and text in str(told.get("detail"))
        ]

    def hear(self, event: str, region: str = "", text: str = "", times: int = 1) -> None:
        """Wait until it told so, so many times in all."""
        until_s = time.monotonic() + HEAR_S
        with self._news:
            while len(self.having(event, region, text)) < times:
                is_over = self.process.poll() is not None and not self._readers[0].is_alive()
                left_s = until_s - time.monotonic()
                assert not is_over, f"it ended before it told {times} × {event} {region} {text}\n{self.story()}"
                assert left_s > 0, f"it didn't tell {times} × {event} {region} {text}\n{self.story()}"
                self._news.wait(min(left_s, 1.0))

    def ended(self) -> int:
        """Its exit code, once it ended."""
        try:
            code = self.process.wait(timeout=END_S)
            self.exits_after_s = time.monotonic() - self.told[-1][0] if self.told else 0.0
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it doesn't end\n{self.story()}") from None
        self._close()
        return code

    def kill(self) -> None:
        """End it, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        for reader in self._readers:
            reader.join(30)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def story(self) -> str:
        """All that it told."""
        first_s = self.told[0][0] if self.told else 0.0
        lines = [
            f"{at_s - first_s:7.2f} {told.get('event', told)!s:10} {told.get('region', '')!s:8} "
            f"{told.get('slot', '')!s:4} {told.get('detail', '')}"
            for at_s, told in self.told
        ]
        return "\n".join([*lines, "stderr:", *map(str.rstrip, self.errors)])
