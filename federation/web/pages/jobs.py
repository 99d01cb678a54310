"""The pages of jobs: where each is registered, from which spec, how regions differ from the file and from one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from federation.app import JobRequest
from federation.deploy.job_diff import JobDiff
from federation.deploy.prepare import ISOLATED_HASH_CHARS
from federation.errors import ConfigError, UnknownName
from federation.index.rows import RunRow
from federation.index.short_ids import short_runs
from federation.ui.job_view import file_difference_lines, job_diff_document, region_row
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.regions import COST, DIFF_AGE_S, RegionNow, regions_now, staleness
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.web.templates import segment
from federation.workflows.job_checks import JobVersion, compared_jobs, compared_registered, job_versions, project_job
from federation.workflows.region_state import ASK_S, LAST_MOMENT_S, LiveJob
from jobs.errors import FedmlError
from regions.model import Region

JOBS_SHOWN = 100
WAIT_S = 3.0
PAUSE_S = 5.0
RUNS_AGE_S = 5.0
SPEC_CHARS = 12
VERSION_COLUMNS = (Column("region"), Column("version", "number"), Column("submitted", "time"), Column("spec", "code"))


def jobs(site: Site, request: Request) -> Page:
    """The project's job, those that have runs, and those that fedml registered in a region."""
    own, file, problem = _own(site)
    regions = regions_now(site)
    counts, newest = site.shared.get(("job-runs",), lambda: _runs(site), max_age_s=RUNS_AGE_S).value
    registered = [job.id for job in _registered(regions)]
    variants = _variants(regions, newest)
    shown = [name for name in newest if name == own or name not in variants.values()]
    names = list(dict.fromkeys([*([own] if own else []), *shown, *registered]))
    columns = [Column("job"), Column("file"), *(Column(now.name, "code") for now in regions)]
    columns += [Column("regions"), Column("runs", "number"), Column("newest run", "id"), Column("opened", "time")]
    rows = [
        _job(name, file if name == own else "", regions, counts[base], newest.get(base))
        for name in names[:JOBS_SHOWN]
        for base in [variants.get(name, name)]
    ]
    table = Table(columns, rows, len(names), name="jobs", empty="No jobs yet.", empty_command="fedml deploy")
    as_of, stale = staleness(regions)
    silent = [now for now in regions if now.state is None]
    return Page(
        "jobs.html",
        "Jobs",
        {"own_problem": problem, "silent_regions": silent},
        section="Jobs",
        table=table,
        command="fedml job diff",
        live=Live((tuple(map(repr, rows)), problem, tuple(now.version for now in silent)), PAUSE_S, COST),
        as_of=as_of,
        problem=stale,
    )


def _runs(site: Site) -> tuple[Counter[str], dict[str, RunRow]]:
    """Of each job how many runs it has, and the newest one; in the order of the newest ones."""
    runs = site.app.index.runs()
    newest: dict[str, RunRow] = {}
    for row in runs:
        newest.setdefault(row.job, row)
    return Counter(row.job for row in runs), newest


def _variants(regions: list[RegionNow], known: Container[str]) -> dict[str, str]:
    """Registered ID → the job of its results, for jobs that have an ID of their own beside that (`fedml run`, `--isolated`)."""
    ends = {job.id: f"-{job.spec_hash[:ISOLATED_HASH_CHARS]}" for job in _registered(regions)}
    return {id_: base for id_, end in ends.items() if id_.endswith(end) and (base := id_.removesuffix(end)) in known}


def _own(site: Site) -> tuple[str, str, str]:
    """The project's job, its file, and what is wrong with it."""
    try:
        return *site.shared.get(("project-job",), lambda: project_job(site.app), max_age_s=10.0).value, ""
    except ConfigError:
        return "", "", ""
    except FedmlError as error:
        return "", "", str(error)


def _registered(regions: Sequence[RegionNow]) -> Iterator[LiveJob]:
    """The jobs that fedml registered, in the namespaces that fedml.toml names."""
    for now in regions:
        for job in now.state.jobs.values() if now.state else ():
            if job.spec_hash and not job.parent and job.namespace == now.region.namespace:
                yield job


def _of(now: RegionNow, name: str) -> LiveJob | None:
    """The region's job of this ID, in the namespace that fedml.toml names."""
    return now.state.jobs.get((now.region.namespace, name)) if now.state else None


def _job(name: str, file: str, regions: list[RegionNow], runs: int, newest: RunRow | None) -> Row:
    specs: list[str | None] = []
    cells = [Cell(name), Cell(file)]
    for now in regions:
        job = _of(now, name)
        spec = None if now.state is None else "" if job is None else job.spec_hash or "another's"
        specs.append(spec)
        cells.append(Cell("?" if spec is None else spec[:SPEC_CHARS] or "–", spec or "", title=spec or ""))
    known = {spec for spec in specs if spec}
    there, asked = sum(map(bool, specs)), sum(spec is not None for spec in specs)
    same = "same" if there == asked else f"in {there} of {asked}"
    same = "not registered" if not known else "differ" if len(known) > 1 else same
    cells += [Cell(same), Cell(f"{runs:,}", runs, href=f"/runs?job={segment(newest.job)}" if newest else "")]
    run = newest.run if newest else ""
    cells += [
        Cell(short_runs((run,), ())[run], run, href=f"/runs/{segment(run)}" if run else ""),
        Cell(newest.opened if newest else ""),
    ]
    return Row(name, cells, href=f"/jobs/{segment(name)}")


def job(site: Site, request: Request) -> Page:
    """One job in all regions."""
    name = request.path_params["job"]
    own, file, problem = _own(site)
    if name != own and not _is_known(site, name):
        raise UnknownName(
            f"there is no job {name!r}: fedml.toml and the index don't name it, and fedml registered none of that ID",
            hint="see the jobs that there are: /jobs",
        )

    def compare() -> JobDiff:
        if name == own:
            return compared_jobs(site.app, JobRequest(), within_s=ASK_S)
        return compared_registered(site.app, name, within_s=ASK_S)

    def versions() -> tuple[JobVersion, ...]:
        return job_versions(site.app, name, within_s=ASK_S)

    key = ("job-diff", "" if name == own else name)
    diff = site.shared.soon(key, compare, max_age_s=DIFF_AGE_S, wait_s=WAIT_S)
    kept = site.shared.soon(("job-versions", name), versions, max_age_s=DIFF_AGE_S, wait_s=WAIT_S)
    table = _regions(diff.value, list(site.app.config.regions.values())) if diff else None
    command = "fedml job diff" if name == own else f"fedml job diff --job {name}"
    return Page(
        "job.html",
        f"Job {name}",
        {
            "file": file if name == own else "",
            "name": name,
            "diff": diff.value if diff else None,
            "own_problem": problem,
            "sections": _sections(diff.value) if diff else [],
            "versions": _versions(kept.value if kept else ()),
        },
        section="Jobs",
        crumbs=(Link("Jobs", "/jobs"),),
        document=(lambda: job_diff_document(diff.value)) if diff else None,
        table=table,
        command=command,
        live=Live((diff, kept), PAUSE_S, f"asks each region 3 questions every {DIFF_AGE_S:g} s, however many look"),
        as_of=diff.at if diff else 0.0,
        problem=str(diff.problem) if diff and diff.problem else "",
    )


def _is_known(site: Site, name: str) -> bool:
    if site.app.index.runs(job=name):
        return True
    return any(job.spec_hash for now in regions_now(site) if (job := _of(now, name)) is not None)


def _regions(diff: JobDiff, regions: list[Region]) -> Table:
    columns = (
        Column("region"),
        Column("version", "number"),
        Column("spec", "code"),
        Column("job"),
        Column("against the file" if diff.spec_hash else "problem"),
    )
    rows = []
    for one in diff.regions:
        name, *others = map(str, region_row(one, diff))
        rows.append(Row(name, (Cell(name), *map(Cell, others)), href=f"/regions/{segment(name)}"))
    return Table(columns, rows, name="regions")


def _sections(diff: JobDiff) -> list[tuple[str, list[str]]]:
    """Heading and lines of each region that differs."""
    found = [(f"{one.region}: registered => file", file_difference_lines(one)) for one in diff.regions]
    found += [(f"{diff.first} => {name}", [*map(str, lines)]) for name, lines in diff.between.items()]
    return [(heading, lines) for heading, lines in found if lines]


def _versions(versions: tuple[JobVersion, ...]) -> Table:
    rows = [
        Row(
            f"{one.region}-{one.version}",
            (
                Cell(one.region),
                Cell(str(one.version), one.version),
                Cell(datetime.fromtimestamp(min(max(one.submitted_s, 0), LAST_MOMENT_S), UTC).isoformat()),
                Cell(one.spec_hash[:SPEC_CHARS] or "none", one.spec_hash, title=one.spec_hash),
            ),
        )
        for one in versions
    ]
    return Table(VERSION_COLUMNS, rows, name="versions", empty="No region keeps a version of it.")


ROUTES = (PageRoute("/jobs", jobs), PageRoute("/jobs/{job}", job))
