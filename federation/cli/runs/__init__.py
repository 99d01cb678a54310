"""Commands of `fedml runs`."""

from federation.cli.runs.control import app

__all__ = ["app"]
