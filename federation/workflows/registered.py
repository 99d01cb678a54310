"""Takes a job as it stands in the regions, in a project that registers nothing itself."""

from __future__ import annotations

from federation.app import App, PreparedJob
from federation.errors import JobDrifted
from jobs.errors import FedmlError, InvalidSpec
from jobs.nomad_json.drift import file_differences


def not_registering(app: App) -> str:
    """Why this project registers nothing; empty where it does."""
    if app.config.deploy == "never":
        return 'fedml.toml says deploy = "never"'
    return 'fedml.toml says results = "adopt"' if app.config.results == "adopt" else ""


def as_registered(app: App, prepared: PreparedJob, why: str, *, allow_drift: bool) -> PreparedJob:
    """The job as it stands in the regions, if that is what the file says. Raises JobDrifted, and InvalidSpec where no region
    has it."""
    job_id, file = prepared.shape.id, prepared.file.name
    regions = list(prepared.rendered)
    nowhere = InvalidSpec(
        f"the job {job_id} of {file} isn't registered in {', '.join(regions)}, and {why}: a dispatch registers nothing",
        hint="have it registered by what owns it (Terraform, a CI, nomad job run), or once by:  fedml deploy",
    )
    found = app.prepare_registered(job_id, regions, allow_drift=allow_drift, nowhere=nowhere)
    if allow_drift:
        return found
    for name, there in found.rendered.items():
        wanted = prepared.rendered[name]
        if isinstance(there, FedmlError) or isinstance(wanted, FedmlError):
            continue
        differing = file_differences(wanted, there)
        if differing or (found.spec_hash and found.spec_hash != prepared.spec_hash):
            difference = "; ".join(map(str, differing[:3])) or f"made from spec {found.spec_hash[:12]}"
            raise JobDrifted(
                f"region {name}: the job {job_id} isn't what {file} says ({difference}), and {why}",
                hint="see: fedml job diff; --allow-drift dispatches what is registered",
            )
    return found
