"""The conditions of a protected tag, as `[tags.NAME]` in fedml.toml has them."""

from __future__ import annotations

from pathlib import Path

from jobs.frozen import frozen


@frozen
class TagRule:
    """The rule of a protected tag: a condition as for `--where`, authors as patterns (`*@ci`), in how many stores the
    artifact lies at least, a file with public keys one of which signed it. Guards against mistakes, not against people: they
    can write to the log; what holds against them is the signature, checked at `get`."""

    where: str = ""
    authors: tuple[str, ...] = ()
    copies: int = 1
    signed_by: Path | None = None


NO_RULE = TagRule()
