"""Options of `fedml run`: the code, what a slot of it needs, its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from federation.cli.options import common
from federation.cli.options.planning import ParameterOptions
from jobs.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.app import JobRequest
    from federation.workflows.request import Placing, RunRequest
    from federation.workflows.run_code import CodeAsk


@frozen
class CodeOptions:
    """Options that say which code runs."""

    HEADING: ClassVar[str] = "Code"

    code: Annotated[
        Path | None,
        typer.Option(
            "--code",
            metavar="DIR",
            help="Pack this folder, and run the command that stands after --. Default: pack the script alone.",
        ),
    ] = None
    job: Annotated[
        str,
        typer.Option(
            "--job",
            metavar="NAME",
            help="Name the job, under which results are in the index. Default: the script's name.",
        ),
    ] = ""
    passes: Annotated[
        Literal["args", "env"] | None,
        typer.Option(
            "--pass",
            metavar="HOW",
            help="Pass parameters as arguments (args: --lr 0.1) or as variables (env: FEDML_PARAM_LR=0.1). {lr} in the "
            "command is replaced in both cases. Default: args.",
        ),
    ] = None
    large: Annotated[
        bool,
        typer.Option("--large", help="Pack more than 100 MB, or more than 4,096 files. Default: stop with an error."),
    ] = False
    allow_secret_file: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-secret-file",
            metavar="PATH",
            help="Pack this file although it looks like a credential. A path in the folder. Repeatable.",
        ),
    ] = None
    show: Annotated[
        bool, typer.Option("--show", help="Print the jobspec that fedml makes of these settings. Send nothing.")
    ] = False
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Write the jobspec with this code into a file (NAME.nomad.hcl), for `fedml dispatch --job FILE`. Put the "
            "code into the stores, and run nothing.",
        ),
    ] = None


@frozen
class NeedsOptions:
    """Options that say what a slot needs."""

    HEADING: ClassVar[str] = "Resources"

    cpu: Annotated[int | None, typer.Option("--cpu", metavar="MHZ", min=1, help="Ask for this CPU. Default: 1000.")] = (
        None
    )
    memory: Annotated[
        int | None, typer.Option("--memory", metavar="MB", min=1, help="Ask for this memory. Default: 1024.")
    ] = None
    memory_max: Annotated[
        int | None,
        typer.Option(
            "--memory-max", metavar="MB", min=1, help="Allow this memory where the node has it. Default: as --memory."
        ),
    ] = None
    gpu: Annotated[
        int | None, typer.Option("--gpu", metavar="N", min=0, help="Ask for N NVIDIA GPUs. Default: none.")
    ] = None
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", metavar="VENDOR/TYPE=N", help="Ask for N devices of this kind (amd/gpu=1). Repeatable."
        ),
    ] = None
    driver: Annotated[
        Literal["raw_exec", "exec", "docker", "podman"] | None,
        typer.Option(
            "--driver",
            metavar="NAME",
            help="Run it with raw_exec, exec, docker or podman. Default: docker with --image, raw_exec in regions of "
            "`fedml dev up`, else exec.",
        ),
    ] = None
    image: Annotated[
        str, typer.Option("--image", metavar="NAME", help="Run it in this container image, which has Python.")
    ] = ""
    kill_timeout: Annotated[
        str,
        typer.Option(
            "--kill-timeout", metavar="TIME", help="Kill a command this long after the signal to end. Default: 30s."
        ),
    ] = ""
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            help="Try a failed slot again so often. Default: max_attempts in fedml.toml, less one.",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The settings that were given. Raises UsageError."""
        from federation.text import duration_s

        if self.kill_timeout:
            duration_s(self.kill_timeout, "--kill-timeout")
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "memory_max": self.memory_max,
            "gpu": self.gpu,
            "device": _devices(self.device or ()) or None,
            "driver": self.driver,
            "image": self.image or None,
            "kill_timeout": self.kill_timeout or None,
            "retries": self.retries,
        }


@frozen
class CodeRegionOptions:
    """Options that say where it runs."""

    HEADING: ClassVar[str] = "Job and regions"

    regions: common.RegionsOption = ""
    skip_unreachable: common.SkipUnreachableOption = False
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Replace changes that somebody made to the job in Nomad directly.")
    ] = False
    dry_run: common.DryRunOption = False


@frozen
class CodeSlotOptions(ParameterOptions):
    """Options for slots and their parameters, which may have any name."""

    param: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter of every slot. Repeatable."),
    ] = None
    allow_secret_param: Annotated[
        bool,
        typer.Option("--allow-secret-param", help="Allow parameters whose names look like credentials."),
    ] = False

    def request(self, job: JobRequest, placing: Placing, **further: Any) -> RunRequest:
        """The requested run. Raises InvalidMeta and UsageError."""
        from jobs.load import key_values

        return ParameterOptions.request(
            self,
            job,
            placing,
            meta=key_values(self.param or (), "-p"),
            allow_secret_meta=self.allow_secret_param,
            **further,
        )


def code_ask(words: Sequence[str], code: CodeOptions, needs: NeedsOptions) -> CodeAsk:
    """What the command line wants to run. Raises UsageError."""
    from federation.workflows.run_code import CodeAsk

    options = {**needs.settings(), "passes": code.passes, "name": code.job or None}
    return CodeAsk(tuple(words), code.code, options, code.large, tuple(code.allow_secret_file or ()))


def _devices(items: Sequence[str]) -> dict[str, int]:
    """Parses `["amd/gpu=1"]`. Raises UsageError."""
    from federation.errors import UsageError

    found: dict[str, int] = {}
    for item in items:
        name, _, number = item.partition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"--device {item!r} is not of the form vendor/type=N", hint="write  --device amd/gpu=1")
        found[name] = int(number)
    return found
