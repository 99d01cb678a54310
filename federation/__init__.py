"""Several Nomad regions as one place: plan, deploy, dispatch, watch, publish, commit, index.

In Python, `open` reads a `fedml.toml` and returns a `Federation` (see `federation.api`). That is loaded when it is first
used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from federation.api import Comparison, Federation, KeepBest, Results, Run, RunList, open  # noqa: A004 - federation.open reads as it is meant

__all__ = ["Comparison", "Federation", "KeepBest", "Results", "Run", "RunList", "open"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from federation import api

        return getattr(api, name)
    raise AttributeError(f"module 'federation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
