"""The pages of jobs: where each is registered, from which spec, how regions differ from the file and from one another."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from starlette.requests import Request

from federation.app import JobRequest
from federation.deploy.job_diff import JobDiff
from federation.errors import ConfigError, UsageError
from federation.index.rows import RunRow
from federation.ui.job_view import file_difference_lines, job_diff_document, region_row
from federation.web.markup import ID_CHARS
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.regions import COST, DIFF_AGE_S, RegionNow, open_clients, regions_now, staleness
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.web.templates import segment
from federation.workflows.job_checks import JobVersion, compared_jobs, compared_registered, job_versions, project_job
from federation.workflows.region_state import ASK_S, LAST_MOMENT_S
from jobs.errors import FedmlError
from regions.model import Region

JOBS_SHOWN = 100
WAIT_S = 3.0
PAUSE_S = 5.0
SPEC_CHARS = 12
VERSION_COLUMNS = (Column("region"), Column("version", "number"), Column("submitted", "time"), Column("spec", "code"))


def jobs(site: Site, request: Request) -> Page:
    """The project's job, those that have runs, and those that fedml registered in a region."""
    own, file, problem = _own(site)
    regions = regions_now(site)
    runs = site.app.index.runs()
    counts, newest = Counter(row.job for row in runs), {row.job: row for row in reversed(runs)}
    registered = [
        job.id for now in regions if now.state for job in now.state.jobs.values() if job.spec_hash and not job.parent
    ]
    names = list(dict.fromkeys([*([own] if own else []), *newest, *registered]))
    columns = [Column("job"), Column("file"), *(Column(now.name, "code") for now in regions)]
    columns += [Column("regions"), Column("runs", "number"), Column("newest run", "id"), Column("opened", "time")]
    rows = [
        _job(name, file if name == own else "", regions, counts[name], newest.get(name)) for name in names[:JOBS_SHOWN]
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


def _own(site: Site) -> tuple[str, str, str]:
    """The project's job, its file, and what is wrong with it."""
    try:
        return *site.shared.get(("project-job",), lambda: project_job(site.app), max_age_s=10.0).value, ""
    except ConfigError:
        return "", "", ""
    except FedmlError as error:
        return "", "", str(error)


def _job(name: str, file: str, regions: list[RegionNow], runs: int, newest: RunRow | None) -> Row:
    specs: list[str | None] = []
    cells = [Cell(name), Cell(file)]
    for now in regions:
        job = now.state.jobs.get(name) if now.state else None
        spec = None if now.state is None else "" if job is None else job.spec_hash or "another's"
        specs.append(spec)
        cells.append(Cell("?" if spec is None else spec[:SPEC_CHARS] or "–", spec or "", title=spec or ""))
    known = {spec for spec in specs if spec}
    same = "not registered" if not known else "differ" if len(known) > 1 or "" in specs else "same"
    cells += [Cell(same), Cell(f"{runs:,}", runs, href=f"/runs?job={segment(name)}" if runs else "")]
    run = newest.run if newest else ""
    cells += [
        Cell(run[:ID_CHARS], run, href=f"/runs/{segment(run)}" if run else ""),
        Cell(newest.opened if newest else ""),
    ]
    return Row(name, cells, href=f"/jobs/{segment(name)}")


def job(site: Site, request: Request) -> Page:
    """One job in all regions."""
    name = request.path_params["job"]
    own, file, problem = _own(site)
    if name != own and not _is_known(site, name):
        raise UsageError(
            f"there is no job {name!r}: fedml.toml and the index don't name it, and fedml registered none of that ID",
            hint="see the jobs that there are: /jobs",
        )
    open_clients(site)

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
        as_of=datetime.fromtimestamp(diff.at, UTC).isoformat() if diff else "",
        problem=str(diff.problem) if diff and diff.problem else "",
    )


def _is_known(site: Site, name: str) -> bool:
    if site.app.index.runs(job=name):
        return True
    return any(now.state and name in now.state.jobs and now.state.jobs[name].spec_hash for now in regions_now(site))


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
