"""Endpoints that parse and validate jobs, and the check of a job in a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regions.local.http.context import Context
from regions.local.http.messages import Failure, Reply, Request
from regions.local.nomad_version import LIFECYCLE_HOOK, UNDATED
from regions.local.state.snapshot import Record
from regions.local.unsupported import misplaced, unsupported

if TYPE_CHECKING:
    from jobs.nomad_json.validation.problem import Problem


def parse(context: Context, request: Request) -> Reply:
    """/v1/jobs/parse"""
    body, text = request.json(), request.field("JobHCL", str, "")
    if not text:
        raise Failure(400, "Job spec is empty")
    if body.get("HCLv1") or body.get("hclv1"):
        raise Failure(501, "HCL1 is not supported by this development engine")
    if body.get("Canonicalize"):
        raise Failure(
            501, "Canonicalize is not supported by this development engine: registering fills in the defaults"
        )
    from jobs.errors import JobError  # the language is loaded on first use
    from jobs.hcl import parse_job, read_var_file

    try:
        variables = request.field("Variables", str, "")
        sources = [read_var_file(variables, "input.vars")] if variables else []
        parsed = parse_job(text, filename="input.hcl", variables=sources, allow_files=False).job
    except JobError as error:
        raise Failure(400, f"Failed to parse job: {error}") from error
    if context.config.answers_as >= LIFECYCLE_HOOK and (place := _without_hook(text)):
        why = 'Missing required argument; The argument "hook" is required, but no definition was found.'
        raise Failure(400, f"Failed to parse job: input.hcl:{place}: {why}")
    if context.config.answers_as >= UNDATED:
        _add_absent(parsed, "job", context.config.version)
        parsed["VersionTag"] = None
        for name in ("ConsulToken", "Secrets", "VaultToken"):
            if parsed.get(name) is None:
                parsed.pop(name, None)
    return Reply(parsed)


def _add_absent(block: Record, kind: str, version: str) -> None:
    """Adds the fields of later versions that the jobspec doesn't set, as their parser gives them: empty."""
    from jobs.hcl.schema_job import BLOCK_TYPES
    from jobs.hcl.versions import version_key
    from jobs.nomad_json.canonical import inner_blocks

    for field in BLOCK_TYPES[kind].fields:
        if field.since and version_key(field.since) <= version_key(version):
            block.setdefault(field.api, field.kind.absent)
        for inner in inner_blocks(field, block.get(field.api)):
            _add_absent(inner, field.block, version)


def _without_hook(text: str) -> str:
    """Returns the place of the first `lifecycle` block that lacks its `hook`, as Nomad tells it; empty for none."""
    from jobs.hcl.parser import parse_body
    from jobs.hcl.source import Source

    source = Source(text, "input.hcl")
    blocks = parse_body(source).blocks
    while blocks:
        block, *blocks = blocks
        blocks += block.body.blocks
        if block.type == "lifecycle" and "hook" not in block.body.attributes:
            line, column = source.position(text.index("{", block.start))
            return f"{line},{column}-{column}"
    return ""


def validate(context: Context, request: Request) -> Reply:
    """/v1/validate/job"""
    from jobs.nomad_json.validation.problem import joined

    wanted = job_in(context, request, request.json())
    found = _problems(context, wanted)
    return Reply(
        {
            "DriverConfigValidated": True,
            "Error": joined(found) if found else "",
            "ValidationErrors": [problem.message for problem in found] or None,
            "Warnings": "",
        }
    )


def job_in(
    context: Context, request: Request, body: Record, job_id: str = "", *, mismatch: str = "", no_id: str = ""
) -> Record:
    """Returns the canonical job of a request's body. Raises Failure."""
    from jobs.nomad_json.canonical import WrongType, canonical_job

    raw = body.get("Job")
    if raw is None:
        raise Failure(400, "Job must be specified")
    if not isinstance(raw, dict) or raw.get("ID") is None:
        raise Failure(400, no_id or "Job ID hasn't been provided")
    try:
        wanted = canonical_job(raw, context.config.region, context.config.version)
    except WrongType as error:
        raise Failure(400, str(error)) from error
    # The request's region and namespace override the job's. A request for another region was forwarded before.
    wanted["Region"] = context.config.region
    if request.get("namespace"):
        wanted["Namespace"] = request.get("namespace")
    if job_id and wanted["ID"] != job_id:
        raise Failure(400, mismatch)
    return wanted


def _problems(context: Context, wanted: Record) -> list[Problem]:
    from jobs.nomad_json.problems import problems
    from jobs.nomad_json.validation.problem import Problem

    config = context.config
    lacking = misplaced(wanted, config.namespaces, config.pools, config.answers_as)
    return problems(wanted, config.version, [Problem(text) for text in lacking])


def checked_job(context: Context, wanted: Record) -> Record:
    """Returns the job. Raises Failure for one that is wrong, or that this engine doesn't run."""
    from jobs.nomad_json.validation.problem import joined

    found = _problems(context, wanted)
    if found:
        raise Failure(500, joined(found))
    if feature := unsupported(wanted):
        raise Failure(501, f"{feature}: not supported by this development engine, which runs batch jobs only")
    return wanted
