"""`fedml index gc`, `copy`, `sign`, `export`, `import`: free, copy and sign artifacts; results as a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.cli.index.options import BestOption, JobNameOption
from federation.cli.options.common import AllowStoreOption, ConfigOption, DryRunOption, JsonOption, YesOption, is_dry

if TYPE_CHECKING:
    from federation.index import Row
    from federation.workflows.index_gc import GcReport


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (gc, copy, sign, export):
        app.command()(command)
    app.command("import")(import_results)


def gc(
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Keep last=N versions, age=30d, best=METRIC:K (best=-METRIC:K: the least)."),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="AGE", help="How long a marked result stays before it may be removed.")
    ] = "24h",
    orphans: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="Also delete files without a record, and code that no result names, that are older than this.",
        ),
    ] = "",
    job: Annotated[
        str, typer.Option("--job", metavar="NAME", help="Free only what is of this job (default: all jobs).")
    ] = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Free the bytes of results that no rule keeps. The first gc marks them. A gc after the grace removes them.

    Rules apply per job, and a result is kept if any rule keeps it. best=METRIC:K keeps all results of a job without a
    committed result that has the metric, and is refused if no job has one. Never removed: results that hold or held a tag,
    parents of other results, results of open runs, artifacts that were adopted or published in place. A tag takes the mark
    away. A removed result stays in the index with its record, metrics and history.

    Only files under a result's own prefix are deleted, in the store that fedml.toml has for its region and datacenter and in
    copies in other stores of fedml.toml. A result that lies elsewhere is reported and left alone (exit code 1).

    Examples:

      fedml index gc --keep last=5,age=30d,best=roc_auc:3

      fedml index gc --keep last=5 --keep best=-log_loss:3 --grace 36h --yes

      fedml index gc --job sales --keep last=3 --yes

      fedml index gc --orphans 7d --yes
    """
    from datetime import UTC, datetime

    from federation.cli.session import answer_json, opened
    from federation.workflows import index_gc

    request = index_gc.parse_gc(keep or (), grace, orphans, job)
    with opened(config) as federation:
        report = index_gc.gc(federation, request, datetime.now(UTC), is_dry=is_dry(yes=yes, dry_run=dry_run))
    if as_json:
        answer_json(_gc_json(report))
    else:
        _print_gc(report, grace)
    if report.results.problems:
        raise typer.Exit(1)


def _gc_json(report: GcReport) -> dict[str, Any]:
    from federation.result import store_name

    done, plan = report.results, report.results.plan
    return {
        "is_done": report.is_done,
        "marked": [{"alloc_id": row.alloc_id, "size_bytes": row.size_bytes} for row in plan.doom],
        "spared": plan.spare,
        "waiting": [{"alloc_id": row.alloc_id, "until": until} for row, until in plan.waiting],
        "removed": [{"alloc_id": row.alloc_id, "size_bytes": row.size_bytes} for row in done.removed],
        "orphans": [asdict(orphan) | {"store": store_name(orphan.store)} for orphan in report.orphans],
        "freed_bytes": done.freed_bytes,
        "problems": [asdict(problem) for problem in done.problems],
    }


def _print_gc(report: GcReport, grace: str) -> None:
    from federation.cli.session import answer, note
    from federation.result import store_name
    from federation.text import size_text

    done, plan = report.results, report.results.plan
    would = "" if report.is_done else "would be "

    def tell(row: Row, what: str) -> None:
        answer(f"{row.alloc_id}  version {row.version}, {size_text(row.size_bytes)}: {what}")

    for row in plan.doom:
        tell(row, f"{would}marked")
    for alloc_id in plan.spare:
        answer(f"{alloc_id}  {would}kept after all")
    for row, until in plan.waiting:
        tell(row, f"marked, until {until[:16]}Z")
    for row in done.removed:
        tell(row, f"{would}removed")
    for orphan in report.orphans:
        where = f"{store_name(orphan.store)}/{orphan.prefix}"
        answer(f"{where}  {size_text(orphan.size_bytes)} {orphan.why}: {would}removed")
    for problem in done.problems:
        answer(f"{problem.kind}: {problem.what}", f"  → {problem.mend}")
    if plan.doom and report.is_done:
        note(f"{len(plan.doom)} marked: the same command removes them after {grace}")
    note(f"{size_text(done.freed_bytes)} freed" if report.is_done else _not_done(report))


def _not_done(report: GcReport) -> str:
    plan = report.results.plan
    if plan.doom or plan.spare or report.results.removed or report.orphans:
        return "nothing was written: add --yes to do it"
    return "nothing to do"


def copy(
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="A tag, a version, or the beginning of an allocation id.")
    ],
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="A region, REGION/DATACENTER, a datacenter, or a store's URL.")
    ],
    job: JobNameOption = None,
    sort: BestOption = None,
    allow_store: AllowStoreOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Copy a result into another store of any cloud, verified byte by byte, and record where the copy lies.

    get takes the first copy that is whole. gc removes all copies. A copy into the store where the result was made restores
    what is lost or changed there.

    Examples:

      fedml index copy production eu

      fedml index copy 8f14e45f s3://models-backup/fedml
    """
    from federation.cli.session import answer_json, note, opened
    from federation.text import size_text
    from federation.ui.transfer import transfer
    from federation.workflows.index_copy import copy_target, copy_to

    with opened(config) as federation:
        row = federation.index.result(result, job=job, sort=sort)
        target = copy_target(federation, store)
        with transfer("copying") as progress:
            copied, is_known = copy_to(federation, row, target, allow=allow_store or (), progress=progress)
    if as_json:
        answer_json(asdict(copied))
    else:
        sent = f"{copied.files} files, {size_text(copied.size_bytes)} sent" if copied.files else "all of it was there"
        known = "" if copied.is_new else " (the index knew)"
        note(f"{row.alloc_id[:8]} ({row.job} version {row.version}) lies in {copied.store}{known}: {sent}, verified")
        if not is_known:
            note(
                f"fedml.toml has no such store: to get it from there, add {copied.store} to further_stores under [federation]"
            )


def sign(
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="A tag, a version, or the beginning of an allocation id.")
    ],
    key: Annotated[
        str, typer.Option(metavar="REF", help="Where the private key is: env:NAME, file:PATH or command:WORDS.")
    ] = "env:FEDML_SIGNING_KEY",
    job: JobNameOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Sign a result with an ed25519 key of your own: the names, sizes and sha256 of all its files.

    The signature is written beside the result and into the log. A protected tag may require one. get --signed-by and verify
    --signature check it.

    Examples:

      openssl genpkey -algorithm ed25519 -out release.pem

      fedml index sign production --key file:release.pem

      fedml index sign 8f14e45f --key "command:pass show fedml/release"
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.index.maintenance.signing import key_reference
    from federation.index.maintenance.signing import sign as sign_result

    reference = key_reference(key)
    with opened(config) as federation:
        row = federation.index.result(result, job=job)
        signed = sign_result(federation.index, federation.result_stores().of, row, reference)
    if as_json:
        answer_json(asdict(signed))
    else:
        answer(signed.public_key)
        known = "" if signed.is_new else ", as before"
        note(f"{row.alloc_id[:8]} ({row.job} version {row.version}) is signed by the key with this public key{known}")


def export(
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write, .csv or .jsonl (default: stdout).")
    ] = None,
    as_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl or csv (default: by the name of FILE).")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write every result with its columns and its whole record, as JSON Lines or CSV. Removed results are left out.

    Tags, notes and runs are not exported. Artifacts stay where they lie.

    Examples:

      fedml index export --to results.csv

      fedml index export | jq .metrics.roc_auc
    """
    from federation.cli.session import answer_json, note, opened
    from federation.errors import UsageError
    from federation.output.streams import data_output
    from federation.workflows.index_export import export_to, format_of

    kind = format_of(as_format, to)
    if as_json and to is None:
        raise UsageError("--json tells what was written to a file", hint="name it with --to")
    with opened(config) as federation:
        count = export_to(federation, to, kind, data_output())
    if as_json:
        answer_json({"path": str(to), "format": kind, "results": count})
    else:
        note(f"{count} results" + (f" written to {to}" if to else ""))


def import_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that export wrote: .jsonl or .csv.")],
    as_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl or csv (default: by the name of FILE).")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Enter the results of an exported file into this index. Their artifacts stay where they lie.

    All lines are checked before anything is written. As everywhere, the first result of a key wins.

    Example:

      fedml index import results.jsonl
    """
    from federation.cli.session import answer_json, note, opened
    from federation.workflows.index_export import format_of, import_from

    kind = format_of(as_format, file)
    with opened(config) as federation:
        done = import_from(federation, file, kind)
    counts = {outcome: done.count(outcome) for outcome in ("added", "superseded", "late", "known")}
    if as_json:
        answer_json(counts)
    else:
        note(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
