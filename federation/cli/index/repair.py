"""`fedml index verify`, `sync`, `rebuild`: find and mend what is wrong with an index and the stores of its results."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.cli.options.common import (
    AllowStoreOption,
    ConfigOption,
    DryRunOption,
    JsonOption,
    YesOption,
    is_dry,
)

if TYPE_CHECKING:
    from federation.index.maintenance.verify import Verified
    from federation.workflows.index_sync import SyncReport


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (verify, sync, rebuild):
        app.command()(command)


def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Read every artifact and compare its sha256.")] = False,
    head: Annotated[
        str, typer.Option(metavar="HASH", help="Require that the log still holds the entry with this sha256.")
    ] = "",
    signature: Annotated[bool, typer.Option("--signature", help="Also check the signatures of results.")] = False,
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Report signatures of keys that this file lacks (implies --signature)."),
    ] = None,
    allow_store: AllowStoreOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find everything that is wrong with the index and the stores of its results, and print what mends it.

    Checks the chain of the log, the record and the file sizes of each result, what lies in the stores without being in the
    index, and the manifest and log of each run. --deep reads every artifact. Writes nothing. The exit code is 1 if something
    is wrong.

    Examples:

      fedml index verify

      fedml index verify --deep --json

      fedml index verify --head 5f2ac0d81b

      fedml index verify --signature --trust release.pub
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.workflows import index_verify

    with opened(config) as federation:
        found, signed = index_verify.verify(
            federation, deep=deep, head=head, with_signatures=signature, trust=trust, allow=allow_store or ()
        )
    if as_json:
        answer_json(asdict(found) | {"signatures": signed, "is_whole": not found.problems})
    else:
        for problem in found.problems:
            answer(f"{problem.kind}: {problem.what}", f"  at {problem.where}", f"  → {problem.mend}")
        note(_verdict(found, deep=deep) + (f"; {signed} signatures" if signature or trust else ""))
    if found.problems:
        raise typer.Exit(1)


def sync(
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Also enter what jobs wrote themselves, by the patterns adopt in fedml.toml."),
    ] = False,
    job: Annotated[
        str,
        typer.Option(metavar="FILE|ID", help="With --adopt: the job of these results, if the pattern has no {job}."),
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Enter results that lie in the stores and not in the index, and write again the records that a store lost.

    Each is committed as the first of its key, as superseded or as late. Results of open runs are left to their coordinator
    (fedml runs resume). A copy of a result is recorded if its record is the committed one. --adopt also enters what older
    pipelines wrote, each as an ad-hoc run, where it lies. The exit code is 1 if a result in a store can't be used.

    Examples:

      fedml index sync

      fedml index sync --yes

      fedml index sync --adopt
    """
    from federation.cli.session import answer_json, opened
    from federation.workflows import index_sync

    with opened(config) as federation:
        report = index_sync.sync(federation, is_dry=is_dry(yes=yes, dry_run=dry_run), adopt=adopt, job=job)
    if as_json:
        answer_json(_sync_json(report))
    else:
        _print_sync(report, " --adopt" if adopt else "")
    if report.plan.problems:
        raise typer.Exit(1)


def _sync_json(report: SyncReport) -> dict[str, Any]:
    plan, outcomes = report.plan, report.outcomes
    return {
        "is_done": report.is_done,
        "commit": [{"alloc_id": each.alloc_id, "outcome": outcomes[each.alloc_id]} for each in plan.commit],
        "restore": [{"alloc_id": record.alloc_id, "store": name} for name, record in plan.restore],
        "locate": [{"alloc_id": alloc_id, "store": name} for alloc_id, name in plan.locate],
        "in_flight": plan.in_flight,
        "problems": [asdict(problem) for problem in plan.problems],
    }


def _print_sync(report: SyncReport, flag: str) -> None:
    from federation.cli.session import answer, note

    plan, done = report.plan, "" if report.is_done else "would be "
    for record in plan.commit:
        outcome = report.outcomes[record.alloc_id]
        if not report.is_done and outcome == "added":
            outcome = "committed"
        answer(f"{record.alloc_id}  {record.job} version {record.version}, {record.key.path}: {done}{outcome}")
    for name, record in plan.restore:
        answer(f"{record.alloc_id}  its record {done}written again to {name}")
    for alloc_id, name in plan.locate:
        answer(f"{alloc_id}  its copy in {name} {done}recorded")
    for problem in plan.problems:
        answer(f"{problem.kind}: {problem.what}", f"  → {problem.mend}")
    if plan.in_flight:
        note(f"{plan.in_flight} results of open runs or running tasks are left to them:  fedml runs resume RUN")
    if not report.count:
        note("nothing to do: the index and the stores agree")
    elif not report.is_done:
        note(f"{report.count} to do; nothing was written:  fedml index sync{flag} --yes")


def rebuild(
    catalog: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The catalog or checkpoint to take, a copy of one too.")
    ] = None,
    from_catalog: Annotated[
        bool,
        typer.Option("--from-catalog", help="Do it only with a catalog or checkpoint: FILE, or one that is found."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Go on with what can be read of a log that is damaged, not lost.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make the index again after its log was lost, from a catalog, a checkpoint and the results in the stores.

    Results are never lost with the log. What only the stores know is entered by attempt, the store's time and allocation id.
    Prints what can't be known, and which keys had several candidates. After an interruption, the same command continues.
    Only a catalog or checkpoint knows tags, notes and the order of commits. Without FILE the catalog of this machine or the
    newest checkpoint of the home store is taken if one is found. With a catalog, a log that was set back to an older state
    is completed too; what is there is moved to index/lost/.

    Examples:

      fedml index rebuild

      fedml index rebuild --yes

      fedml index rebuild --from-catalog --yes

      fedml index rebuild --from-catalog copy-of-a-catalog.sqlite --yes

      fedml index rebuild --salvage --yes
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.workflows import index_rebuild

    with opened(config) as federation:
        plan, revision = index_rebuild.rebuild(
            federation,
            is_dry=is_dry(yes=yes, dry_run=dry_run),
            salvage=salvage,
            needs_catalog=from_catalog,
            catalog=catalog,
        )
    if as_json:
        answer_json(
            {
                "is_done": yes,
                "revision": revision,
                "sources": plan.sources,
                "results": plan.results,
                "runs": plan.runs,
                "several": [{"key": key, "alloc_ids": alloc_ids} for key, alloc_ids in plan.several],
                "lost": plan.lost,
                "unknown": plan.unknown,
                "problems": [asdict(problem) for problem in plan.found.problems],
            }
        )
        return
    answer(f"results  {plan.results} in {len(plan.entries)} entries, from {', '.join([*plan.sources, 'the stores'])}")
    answer(f"runs     {len(plan.runs)} opened again from their manifests")
    for key, alloc_ids in plan.several:
        answer(f"several  {key}: {alloc_ids[0]} wins; superseded: {', '.join(alloc_ids[1:])}")
    for alloc_id in plan.lost:
        answer(f"lost     {alloc_id} was in the index, and no store has its record any more")
    for problem in plan.found.problems:
        answer(f"left out {problem.what}", f"         → {problem.mend}")
    for sentence in plan.unknown:
        answer(f"unknown  {sentence}")
    note(
        f"rebuilt: revision {revision}; look at it:  fedml index verify"
        if yes
        else "nothing was written:  fedml index rebuild --yes"
        + (" --salvage" if salvage else "")
        + (" --from-catalog" if from_catalog or catalog else "")
        + (f" {catalog}" if catalog else "")
    )


def _verdict(found: Verified, *, deep: bool) -> str:
    from federation.text import size_text

    looked = f"revision {found.revision}, {found.results} results in {found.stores} stores"
    if deep:
        looked += f", {size_text(found.read_bytes)} read"
    if found.in_flight:
        looked += f"; {found.in_flight} on their way (open runs, a publish at work)"
    if found.given_up:
        looked += f"; {found.given_up} of attempts that were given up aren't entered (fedml index sync)"
    if found.problems:
        count = len(found.problems)
        return f"{count} thing{'s are' if count > 1 else ' is'} wrong ({looked})"
    kept = f"; head {found.head}" if found.head else ""
    how = "all is well" if deep else "all is well (artifacts by size: --deep reads them)"
    return f"{how}: {looked}{kept}"
