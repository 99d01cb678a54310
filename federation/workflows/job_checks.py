"""Checks a jobspec: renders it for each region, finds what Nomad would refuse, compares it with the registered jobs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.app import App, JobRequest, PreparedJob
from federation.deploy.job_diff import JobDiff, diff_of, diff_registered
from jobs.errors import FedmlError, InvalidSpec
from jobs.frozen import frozen
from jobs.hcl.positions import Positions
from jobs.load import read_job
from jobs.nomad_json.canonical import canonical_job
from jobs.nomad_json.drift import spec_of, version_of
from jobs.nomad_json.problems import NEWEST, OLDEST, impossible_names, problems
from jobs.nomad_json.validation.problem import Problem, place_text

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion


@frozen
class ValidatedJob:
    """A job that no region is known to refuse. `notes`: what a Nomad version refuses that a region might run."""

    prepared: PreparedJob
    jobs: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]


def rendered_jobs(app: App, request: JobRequest) -> tuple[PreparedJob, Mapping[str, Mapping[str, Any]]]:
    """The job with its JSON for each chosen region. Raises the first region's error when it can't be rendered."""
    prepared = app.prepare_from_file(request)
    jobs: dict[str, Mapping[str, Any]] = {}
    for region, rendered in prepared.rendered.items():
        if isinstance(rendered, FedmlError):
            raise rendered
        jobs[region] = rendered
    return prepared, jobs


def validated_job(app: App, request: JobRequest) -> ValidatedJob:
    """The same, checked by the rules of Nomad's servers. Raises InvalidSpec with everything that they would refuse, also
    where fedml itself can't dispatch or place the job.

    A development region has the rules of its version. The version of any other region isn't known without asking it:
    what only one of the reference versions refuses is a note.
    """
    file = app.job_file(request.job)
    jobs: Mapping[str, Mapping[str, Any]]
    try:
        prepared, jobs = rendered_jobs(app, request)
        own: InvalidSpec | None = None
    except InvalidSpec as error:
        own, jobs = error, _evaluated_jobs(app, request, file)
    versions = {name: each.version for name, each in app.config.dev.regions.items()} if app.config.dev else {}
    refused: dict[str, dict[str, None]] = {}
    notes: dict[str, dict[str, None]] = {}
    lines = _Lines(file)
    for region, job in jobs.items():
        by_version = {
            version: _problems(job, region, version)
            for version in ([versions[region]] if region in versions else [OLDEST, NEWEST])
        }
        where = refused if all(by_version.values()) else notes
        for line in lines.of(by_version):
            where.setdefault(line, {})[region] = None
    if refused:
        raise _refused(file.name, _with_regions(refused, jobs), own)
    if own is not None:
        raise own
    return ValidatedJob(prepared, jobs, tuple(_with_regions(notes, jobs)))


def _refused(file: str, lines: Sequence[str], own: InvalidSpec | None) -> InvalidSpec:
    hint = "change it in the jobspec (the lines above are the messages of Nomad's servers)"
    if own is None:
        return InvalidSpec("\n  ".join([f"{file} would be refused by Nomad:", *lines]), hint=hint)
    listed = "\n    ".join(lines)
    return InvalidSpec(
        f"{own}\n  It would be refused by Nomad, too:\n    {listed}", hint=f"{own.hint}; {hint}" if own.hint else hint
    )


def _evaluated_jobs(app: App, request: JobRequest, file: Path) -> dict[str, Mapping[str, Any]]:
    """The job's JSON for each chosen region where it can be evaluated, not rendered."""
    source = read_job(file, variables=request.variables, var_files=request.var_files, environ=os.environ)
    jobs: dict[str, Mapping[str, Any]] = {}
    for region in app.chosen_regions(request.regions):
        try:
            jobs[region.name] = {**source.evaluate(region.variables, region=region.name).job, "Multiregion": None}
        except FedmlError:
            continue
    return jobs


def _problems(job: Mapping[str, Any], region: str, version: str) -> list[Problem]:
    canonical = canonical_job(dict(job), region, version)
    found = [*impossible_names(canonical), *problems(canonical, version)]
    return [sentence for problem in found for sentence in problem.sentences()]


def _with_regions(lines: Mapping[str, Collection[str]], jobs: Mapping[str, object]) -> list[str]:
    """Names the regions of a line that isn't about all of them."""
    return [
        line if len(regions) == len(jobs) else f"{line} (in {', '.join(regions)})" for line, regions in lines.items()
    ]


class _Lines:
    """Writes problems for people, with their places in the file."""

    def __init__(self, file: Path) -> None:
        source = read_job(file)
        self._name = file.name
        self._positions = None if source.is_json else Positions(source.text, self._name)

    def of(self, by_version: Mapping[str, list[Problem]]) -> list[str]:
        """Returns one line for each problem. One that only one of several versions has names that version."""
        lines: list[str] = []
        for version, found in reversed([*by_version.items()]):
            others = {problem.place for other, each in by_version.items() if other != version for problem in each}
            is_newest = version == [*by_version][-1]
            for problem in found:
                if problem.place not in others:
                    only = f" (Nomad {version})" if len(by_version) > 1 else ""
                    lines.append(self._line(problem) + only)
                elif is_newest:
                    lines.append(self._line(problem))
        return lines

    def _line(self, problem: Problem) -> str:
        line = f":{self._positions.line(problem.place)}" if self._positions else ""
        place = f"{place_text(problem.place)}: " if problem.place else ""
        return f"{self._name}{line}: {place}{problem.text}"


def compared_jobs(app: App, request: JobRequest, *, within_s: float | None = None) -> JobDiff:
    """The differences between the registered jobs and the file, and between the regions. Asks the regions; `within_s` limits
    each question."""
    if job_id := app.registered_request(request):
        return compared_registered(app, job_id, request.regions, within_s=within_s)
    prepared = app.prepare_from_file(request)
    return diff_of(prepared, [_client(app, name, within_s) for name in prepared.rendered])


def compared_registered(
    app: App, job_id: str, regions: Sequence[str] = (), *, within_s: float | None = None
) -> JobDiff:
    """The differences between the regions of the job that is registered under this ID."""
    return diff_registered(
        job_id, [_client(app, region.name, within_s) for region in app.chosen_regions(regions)]
    )  # fmt: skip


def _client(app: App, name: str, within_s: float | None) -> NomadRegion:
    client = app.client(name)
    return client if within_s is None else client.within(within_s, rounds=1)


@frozen
class JobVersion:
    """One version of a registered job that a region still keeps."""

    region: str
    version: int
    submitted_s: float
    spec_hash: str


def job_versions(app: App, job_id: str, *, within_s: float | None = None) -> tuple[JobVersion, ...]:
    """The versions of the job that the regions keep, newest first in each. Regions that don't have it, or don't say, are
    left out."""

    def ask(region: str) -> list[JobVersion]:
        try:
            found = _client(app, region, within_s).job_versions(job_id)
        except FedmlError:
            return []
        return [JobVersion(region, version_of(one), (one.get("SubmitTime") or 0) / 1e9, spec_of(one)) for one in found]

    with ThreadPoolExecutor(max_workers=max(1, len(app.config.regions))) as pool:
        return tuple(version for found in pool.map(ask, app.config.regions) for version in found)


def project_job(app: App) -> tuple[str, str]:
    """The ID of the project's job, and its file's name ("" for one that is registered by others). Raises what is wrong with
    it, and ConfigError where there is none."""
    if job_id := app.registered_job():
        return job_id, ""
    prepared = app.prepare_from_file(JobRequest())
    return prepared.shape.id, prepared.file.name
