"""Parameters, output and metrics of a training script. One file without dependencies, for any Python from 3.9 on.

    from fedml_task import log, metrics, output, params

    p = params(lr=0.1, epochs=20)
    for step in range(p.epochs):
        log(step=step, loss=…)
    metrics(auc=0.71)
    (output / "model.bin").write_bytes(…)

In a task of `fedml run` it reads and writes what fedml's environment variables name. Without fedml (`python train.py --lr 0.2`)
parameters come from the command line, and files go into `./output` and `./checkpoint`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["Params", "attempt", "checkpoint", "log", "metrics", "output", "params"]

output: Path
"""The folder whose files are published (`$FEDML_OUTPUT`)."""
checkpoint: Path
"""A folder that outlives a restart of the task on the same node (`$FEDML_CHECKPOINT_DIR`)."""
attempt: int = int(os.environ.get("FEDML_ATTEMPT") or 1)
"""Which attempt at this slot it is, from 1 on."""


class Params(dict[str, Any]):
    """The parameters by name. Each is an attribute too: `p["lr"]` is `p.lr`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no parameter {name!r}; there are: {', '.join(self) or 'none'}") from None


def params(**defaults: Any) -> Params:
    """The parameters of this slot, over the given defaults. A value gets the type of its default.

    Without fedml they are read from the command line: `--lr 0.1`, `--lr=0.1`, `--name text`, and `--flag` alone for true.
    """
    file = os.environ.get("FEDML_PARAMS")
    given = json.loads(Path(file).read_text("utf-8")) if file else _from_arguments(sys.argv[1:])
    return Params({**defaults, **{name: _as(defaults.get(name), value) for name, value in given.items()}})


def log(step: int | None = None, **values: Any) -> None:
    """Adds one point to the curves: a line of `metrics.jsonl`, written at once. `step` defaults to the next one."""
    global _step
    _step = _step + 1 if step is None else int(step)
    line = json.dumps({"step": _step, **{name: _plain(value) for name, value in values.items()}})
    with (_folder("output") / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def metrics(**values: Any) -> None:
    """Sets metrics of the result, in `metrics.json`. A further call adds to it. Metrics that only `log` got are in the result
    too, with their last value."""
    file = _folder("output") / "metrics.json"
    before = json.loads(file.read_text("utf-8")) if file.exists() else {}
    partial = file.with_name(f".metrics.json.{os.getpid()}")
    partial.write_text(json.dumps({**before, **{name: _plain(value) for name, value in values.items()}}, indent=1))
    partial.replace(file)


_step = -1
_VARIABLES = {"output": "FEDML_OUTPUT", "checkpoint": "FEDML_CHECKPOINT_DIR"}


def __getattr__(name: str) -> Path:
    if name in _VARIABLES:
        return _folder(name)
    raise AttributeError(f"module 'fedml_task' has no attribute {name!r}")


def _folder(name: str) -> Path:
    folder = Path(os.environ.get(_VARIABLES[name]) or name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _from_arguments(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            found[name] = _typed(value) if equals else True
            name = "" if equals else name
        elif name:
            found[name] = _typed(argument)
            name = ""
    return {name.replace("-", "_"): value for name, value in found.items() if name}


def _typed(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _as(default: Any, value: Any) -> Any:
    """The value with the type of its default, where that is a number or a text."""
    if type(default) in (float, str) and not isinstance(value, type(default)):
        return type(default)(value)
    return value


def _plain(value: Any) -> Any:
    """A number of NumPy, PyTorch and so on as Python's own."""
    return value.item() if hasattr(value, "item") else value
