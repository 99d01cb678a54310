"""`fedml index verify` and what keeps an index healthy: commands about its log and the bytes that it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from federation.index.verify import Verified


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (verify,):
        app.command()(command)


def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Read every artifact and compare its sha256.")] = False,
    head: Annotated[
        str, typer.Option(metavar="HASH", help="An entry's sha256 that you kept: the log must still hold it.")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look for everything that is wrong with the index and the stores of its results, and what mends it.

    The log's chain, each result's record and files (there, and of their sizes), what lies in the stores without being
    in the index. --deep reads every artifact. Writes nothing. Exit code 1 when something is wrong.

    Examples:

      fedml index verify

      fedml index verify --deep --json

      fedml index verify --head 5f2ac0d81b
    """
    from dataclasses import asdict

    from federation.cli.session import answer, answer_json, note, opened
    from federation.errors import IndexCorrupt
    from federation.index.stores import Stores
    from federation.index.verify import verify as verify_index
    from regions.storage.errors import IntegrityError

    with opened(config) as federation:
        stores = Stores(federation.config.regions)
        try:
            remembered = federation.index.remembered()
        except (IndexCorrupt, IntegrityError):  # a torn format.json, which is among the problems
            remembered = {}
        found = verify_index(federation.home, stores.of, stores.names, deep=deep, head=head, remembered=remembered)
    if as_json:
        answer_json(asdict(found) | {"is_whole": not found.problems})
    else:
        for problem in found.problems:
            answer(f"{problem.kind}: {problem.what}\n  at {problem.where}\n  → {problem.mend}")
        note(_verdict(found, deep=deep))
    if found.problems:
        raise typer.Exit(1)


def _verdict(found: Verified, *, deep: bool) -> str:
    from federation.ui.index_table import size_text

    looked = f"revision {found.revision}, {found.results} results in {found.stores} stores"
    if deep:
        looked += f", {size_text(found.read_bytes)} read"
    if found.in_flight:
        looked += f"; {found.in_flight} on their way from open runs"
    if found.problems:
        count = len(found.problems)
        return f"{count} thing{'s are' if count > 1 else ' is'} wrong ({looked})"
    kept = f"; head {found.head}" if found.head else ""
    how = "all is well" if deep else "all is well (artifacts by size: --deep reads them)"
    return f"{how}: {looked}{kept}"
