"""Writes a chart into a file (`--plot FILE.svg`)."""

from __future__ import annotations

from pathlib import Path

from federation.charts.svg import Chart
from federation.errors import UsageError


def require_svg(path: Path) -> None:
    """Raises UsageError unless the file's name ends in .svg."""
    if path.suffix.lower() != ".svg":
        raise UsageError(
            f"--plot {path} is not a valid name of a picture: it must end in .svg",
            hint=f"--plot {path.with_suffix('.svg') if path.name else 'picture.svg'}",
        )


def write_picture(chart: Chart, path: Path) -> str:
    """Writes the picture and returns a line that says so, and how many of how many it shows. Raises UsageError."""
    require_svg(path)
    try:
        path.write_text(chart.standalone(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--plot {path}: can't be written: {error.strerror}") from None
    return f"Drawn: {path} ({chart.note})"
