"""`fedml index verify` and what keeps an index healthy: commands about its log and the bytes that it speaks of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from federation.index.export import Format
    from federation.index.verify import Verified


JobNameOption = Annotated[str | None, typer.Option("--job", metavar="NAME", help="Only results of this job.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (verify, sync, rebuild, gc, copy, export):
        app.command()(command)
    app.command("import")(import_results)


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


def sync(
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this it is only told.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Enter results that lie in the stores and not in the index, and write again the records that a store lost.

    They are committed as what they are: the first of their key, superseded, or late. Results of open runs are left to
    their coordinator (fedml runs resume). Exit code 1 when a result in a store can't be taken.

    Examples:

      fedml index sync

      fedml index sync --yes
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.index.stores import Stores
    from federation.index.sync import apply_sync, plan_sync

    with opened(config) as federation:
        stores = Stores(federation.config.regions)
        plan = plan_sync(federation.index, stores.of, stores.names)
        outcomes = apply_sync(federation.index, stores.of, plan) if yes else {}
    done = "" if yes else "would be "
    if as_json:
        from dataclasses import asdict

        answer_json(
            {
                "is_done": yes,
                "commit": [
                    {"alloc_id": record.alloc_id, "outcome": outcomes.get(record.alloc_id, "")}
                    for record in plan.commit
                ],
                "restore": [{"alloc_id": record.alloc_id, "store": name} for name, record in plan.restore],
                "locate": [{"alloc_id": alloc_id, "store": name} for alloc_id, name in plan.locate],
                "in_flight": plan.in_flight,
                "problems": [asdict(problem) for problem in plan.problems],
            }
        )
    else:
        for record in plan.commit:
            outcome = outcomes.get(record.alloc_id, "committed")
            answer(f"{record.alloc_id}  {record.job} version {record.version}, {record.key.path}: {done}{outcome}")
        for name, record in plan.restore:
            answer(f"{record.alloc_id}  its record {done}written again to {name}")
        for alloc_id, name in plan.locate:
            answer(f"{alloc_id}  its copy in {name} {done}recorded")
        for problem in plan.problems:
            answer(f"{problem.kind}: {problem.what}\n  → {problem.mend}")
        count = len(plan.commit) + len(plan.restore) + len(plan.locate)
        if plan.in_flight:
            note(f"{plan.in_flight} results of open runs are left to them:  fedml runs resume RUN")
        if not count:
            note("nothing to do: the index and the stores agree")
        elif not yes:
            note(f"{count} to do; nothing was written:  fedml index sync --yes")
    if plan.problems:
        raise typer.Exit(1)


def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this it is only told.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="The log is damaged, not gone: go on with what can be read of it.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make the index again after its log was lost, from what survives: a catalog, a checkpoint, the stores' results.

    Results are never lost with the log. What only the stores know is entered in the order of attempt, the store's time and
    allocation id. Tells what it couldn't know, and which keys had several candidates. Broken off, it goes on where it was.

    Examples:

      fedml index rebuild

      fedml index rebuild --yes

      fedml index rebuild --salvage --yes
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.index.rebuild import apply_rebuild, plan_rebuild
    from federation.index.stores import Stores
    from federation.log import default_author
    from federation.run.manifest import Manifest

    with opened(config) as federation:
        stores = Stores(federation.config.regions)
        plan = plan_rebuild(
            federation.home,
            federation.config.cache_dir,
            stores.of,
            stores.names,
            lambda text, source: Manifest.from_json(text, source=source),
            salvage=salvage,
        )
        revision = apply_rebuild(federation.home, plan, author=default_author()) if yes else 0
    if as_json:
        from dataclasses import asdict

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
        answer(f"left out {problem.what}\n         → {problem.mend}")
    for sentence in plan.unknown:
        answer(f"unknown  {sentence}")
    note(
        f"rebuilt: revision {revision}; look at it:  fedml index verify"
        if yes
        else "nothing was written:  fedml index rebuild --yes" + (" --salvage" if salvage else "")
    )


def gc(
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="last=N versions, age=30d, best=METRIC:K (best=-METRIC:K: the least)."),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="AGE", help="How long a marked result stays before it may be removed.")
    ] = "24h",
    orphans: Annotated[
        str, typer.Option(metavar="AGE", help="Also files without a record that nobody wrote to for so long.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Free the bytes of results that nothing keeps. The first gc marks them, one after the grace removes them.

    A result is kept when any rule keeps it, per job. Never removed: what holds a tag or held one, what other results were
    made from, results of open runs, artifacts that fedml didn't write. A tag takes a mark away. What was removed stays in
    the index as such: its record, metrics and history.

    Examples:

      fedml index gc --keep last=5,age=30d,best=roc_auc:3 --dry-run

      fedml index gc --keep last=5 --keep best=-log_loss:3 --grace 36h

      fedml index gc --orphans 7d
    """
    from datetime import UTC, datetime

    from federation.cli.session import answer, answer_json, note, opened
    from federation.errors import UsageError
    from federation.index import gc as gc_index
    from federation.index.retention import parse_age, parse_retention
    from federation.index.stores import Stores
    from federation.ui.index_table import size_text

    if not keep and not orphans:
        raise UsageError("neither --keep nor --orphans says what to do", hint="see: fedml index gc --help")
    rule = parse_retention(keep) if keep else None
    wait, now = parse_age(grace), datetime.now(UTC)
    with opened(config) as federation:
        stores = Stores(federation.config.regions)
        plan = gc_index.plan_gc(federation.index, rule, now) if rule else gc_index.GcPlan()
        found = gc_index.orphans(stores.of, stores.names, federation.index, now, parse_age(orphans)) if orphans else []
        outcome = gc_index.GcOutcome()
        if not dry_run:
            if rule:
                outcome = gc_index.run_gc(federation.index, stores.of, rule, now, grace=wait)
            outcome.freed_bytes += gc_index.remove_orphans(stores.of, found)
    if as_json:
        from dataclasses import asdict

        answer_json(
            {
                "is_done": not dry_run,
                "marked": [{"alloc_id": row.alloc_id, "size_bytes": row.size_bytes} for row in plan.doom],
                "spared": plan.spare,
                "waiting": [{"alloc_id": row.alloc_id, "until": until} for row, until in plan.waiting],
                "removed": [
                    {"alloc_id": row.alloc_id, "size_bytes": row.size_bytes}
                    for row in (plan.remove if dry_run else outcome.removed)
                ],
                "orphans": [asdict(orphan) for orphan in found],
                "freed_bytes": outcome.freed_bytes,
                "problems": [asdict(problem) for problem in outcome.problems],
            }
        )
    else:
        would = "would be " if dry_run else ""
        for row in plan.doom:
            answer(f"{row.alloc_id}  version {row.version}, {size_text(row.size_bytes)}: {would}marked")
        for alloc_id in plan.spare:
            answer(f"{alloc_id}  {would}kept after all")
        for row, until in plan.waiting:
            answer(f"{row.alloc_id}  version {row.version}, {size_text(row.size_bytes)}: marked, until {until[:16]}Z")
        for row in plan.remove if dry_run else outcome.removed:
            answer(f"{row.alloc_id}  version {row.version}, {size_text(row.size_bytes)}: {would}removed")
        for orphan in found:
            answer(f"{orphan.store}/{orphan.prefix}  {size_text(orphan.size_bytes)} without a record: {would}removed")
        for problem in outcome.problems:
            answer(f"{problem.kind}: {problem.what}\n  → {problem.mend}")
        if plan.doom and not dry_run:
            note(f"{len(plan.doom)} marked: the same command removes them after {grace}")
        note("nothing was written" if dry_run else f"{size_text(outcome.freed_bytes)} freed")
    if outcome.problems:
        raise typer.Exit(1)


def copy(
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="A tag, a version, or the beginning of an allocation id.")
    ],
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="A region, REGION/DATACENTER, a datacenter, or a store's URL.")
    ],
    job: JobNameOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Copy a result into another store, in whatever cloud that is, verified byte by byte, and record where it lies.

    get takes the first copy that is whole; gc removes all of them. Copying into the store where a result was made brings
    back what is lost or changed there.

    Examples:

      fedml index copy production eu

      fedml index copy 8f14e45f s3://models-backup/fedml
    """
    from federation.cli.session import answer_json, note, opened
    from federation.errors import ConfigError, UsageError
    from federation.index.copy import copy_result
    from federation.index.stores import Stores
    from federation.store_check.places import by_store, chosen, places_of
    from federation.ui.index_table import size_text
    from regions.storage import parse_store_url, store_url

    with opened(config) as federation:
        row = federation.index.result(result, job=job)
        try:
            targets = list(by_store(chosen(places_of(federation.config), store)))
        except (ConfigError, UsageError):
            if "://" not in store:
                raise
            targets = [parse_store_url(store)]
        if len(targets) > 1:
            raise UsageError(
                f"{store} has {len(targets)} stores", hint="name one: REGION/DATACENTER; see fedml stores list"
            )
        stores = Stores(federation.config.regions, targets)
        copied = copy_result(federation.index, stores.of, row, store_url(targets[0]))
    if as_json:
        from dataclasses import asdict

        answer_json(asdict(copied))
    else:
        sent = f"{copied.files} files, {size_text(copied.size_bytes)} sent" if copied.files else "all of it was there"
        known = "" if copied.is_new else " (the index knew)"
        note(f"{row.alloc_id[:8]} ({row.job} version {row.version}) lies in {copied.store}{known}: {sent}, verified")


def export(
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to (else stdout); .csv and .jsonl say the format.")
    ] = None,
    as_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl or csv (else as FILE ends).")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write every result with its columns and its whole record, as JSON Lines or CSV. Removed ones are left out.

    Tags, notes and runs aren't in it. Artifacts stay where they lie.

    Examples:

      fedml index export --to results.csv

      fedml index export | jq .metrics.roc_auc
    """
    import sys

    from federation.cli.session import answer_json, note, opened
    from federation.errors import FederationError, UsageError
    from federation.index.export import export as export_index

    kind = _format(as_format, to)
    if as_json and to is None:
        raise UsageError("--json tells what was written to a file", hint="name it with --to")
    with opened(config) as federation:
        if to is None:
            count = export_index(federation.index, sys.stdout, kind)
        else:
            partial = to.with_name(f".{to.name}.part")
            try:
                with partial.open("w", encoding="utf-8", newline="") as target:
                    count = export_index(federation.index, target, kind)
                partial.replace(to)
            except OSError as error:
                raise FederationError(f"can't write to {to}: {error.strerror}") from error
            finally:
                partial.unlink(missing_ok=True)
    if as_json:
        answer_json({"path": str(to), "format": kind, "results": count})
    else:
        note(f"{count} results" + (f" written to {to}" if to else ""))


def import_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote: .jsonl or .csv.")],
    as_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl or csv (else as FILE ends).")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Enter results that were exported from an index into this one. Their artifacts stay where they lie.

    All lines are checked before anything is written. Here too the first result of a key wins.

    Example:

      fedml index import results.jsonl
    """
    from federation.cli.session import answer_json, note, opened
    from federation.errors import UsageError
    from federation.index.export import import_results as import_into

    kind = _format(as_format, file)
    with opened(config) as federation:
        try:
            with file.open(encoding="utf-8", newline="") as source:
                done = import_into(federation.index, source, kind, name=file.name)
        except OSError as error:
            raise UsageError(f"can't read {file}: {error.strerror}") from error
    counts = {outcome: done.count(outcome) for outcome in ("added", "superseded", "late", "known")}
    if as_json:
        answer_json(counts)
    else:
        note(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def _format(name: str, file: Path | None) -> Format:
    from federation.errors import UsageError

    if not name and file is not None:
        name = file.suffix.removeprefix(".")
        if name not in ("jsonl", "csv"):
            raise UsageError(f"{file}: its name doesn't say what it holds", hint="add --format jsonl or --format csv")
    match name:
        case "jsonl" | "":
            return "jsonl"
        case "csv":
            return "csv"
    raise UsageError(f"--format {name!r} is neither jsonl nor csv")


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
