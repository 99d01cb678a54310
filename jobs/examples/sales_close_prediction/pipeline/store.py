"""Stage 6: publishes the artifact folder and its record into this datacenter's store, with `fedml publish`."""

import os
import shutil
import subprocess
from pathlib import Path

from pipeline.parameters import Parameters, PipelineError


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Publish. Raises PipelineError if fedml isn't installed or refuses (its own message is on the lines above)."""
    command = os.environ.get("FEDML_COMMAND", "fedml")
    if not (artifact / "metrics.json").exists():
        raise PipelineError(f"{artifact} holds no metrics.json: nothing was tested, so nothing is published")
    program = shutil.which(command)
    if program is None:
        raise PipelineError(
            f"the command {command!r} isn't on this node's PATH: install fedml from its checkout there, or set var.fedml"
        )
    code = subprocess.run([program, "publish", str(artifact)], check=False).returncode
    if code != 0:
        raise PipelineError(f"`{command} publish` ended with exit code {code}")
    return f"version {parameters.model_version} published"
