"""Reads and checks the parameters of a task: each is one `meta` of the dispatch (`-meta epochs=5`)."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


class PipelineError(Exception):
    """A stage can't do its work. The message is one sentence for the person who reads the task's log."""


@dataclass(frozen=True)
class Parameters:
    """Values that may differ between dispatches."""

    model_version: str
    data_url: str
    """The source of the customers: http(s)://, file://, or empty for the data set beside this file."""
    save_path: str
    """Folder inside the artifact for the model's files; empty: its top folder."""
    epochs: int
    batch_size: int
    learning_rate: float
    min_auc: float
    """A model with a lower ROC AUC fails the task, and is never published."""
    plot: bool
    seed: int
    """Derived from version, slot and allocation index. So another slot gives another model, and the same slot the same one."""


def from_environment(environ: Mapping[str, str]) -> Parameters:
    """Read the parameters from `NOMAD_META_…`. Raises PipelineError that names the first invalid one."""

    def text(name: str, default: str) -> str:
        return environ.get(f"NOMAD_META_{name}") or default

    def number(name: str, default: float, low: float, high: float) -> float:
        given = text(name, str(default))
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise PipelineError(f"{name} = {given!r}: a number from {low:g} to {high:g} is needed")
        return value

    def whole(name: str, default: int, low: int, high: int) -> int:
        value = number(name, default, low, high)
        if value != int(value):
            raise PipelineError(f"{name} = {text(name, '')!r}: a whole number is needed")
        return int(value)

    version = text("model_version", "0")
    which = f"{version}/{text('fedml_slot', '0')}/{environ.get('NOMAD_ALLOC_INDEX', '0')}"
    return Parameters(
        model_version=version,
        data_url=text("data_url", ""),
        save_path=_inside("save_path", text("save_path", "")),
        epochs=whole("epochs", 20, 1, 10_000),
        batch_size=whole("batch_size", 64, 1, 100_000),
        learning_rate=number("learning_rate", 0.02, 1e-6, 10),
        min_auc=number("min_auc", 0.6, 0, 1),
        plot=_truth("plot", text("plot", "true")),
        seed=whole("seed", zlib.crc32(which.encode()), 0, 2**32 - 1),
    )


def _inside(name: str, path: str) -> str:
    if path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
        raise PipelineError(
            f"{name} = {path!r} would leave the artifact: give a folder inside it, such as models/sales"
        )
    return path


def _truth(name: str, given: str) -> bool:
    if given.lower() not in ("true", "false", "1", "0"):
        raise PipelineError(f"{name} = {given!r}: true or false is needed")
    return given.lower() in ("true", "1")
