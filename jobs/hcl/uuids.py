"""The function uuidv4()."""

from __future__ import annotations

from jobs.hcl.functions.function import Function


class Uuids:
    """Draws the values of uuidv4(). With a seed they are the same at each evaluation, in order of the calls."""

    def __init__(self, seed: str | None) -> None:
        self._seed = seed
        self.drawn = 0

    def function(self) -> Function:
        """Returns the function."""
        return Function(self._draw, 0, 0)

    def _draw(self) -> str:
        import hashlib
        import uuid

        self.drawn += 1
        if self._seed is None:
            return str(uuid.uuid4())
        digest = hashlib.sha256(f"{self._seed} {self.drawn}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))
