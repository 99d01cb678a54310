"""`fedml init`: makes a project folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from federation.project.from_federation import SurveyedRegion


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(name="init")(init)


def init(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="[DIR]",
            help="The project's folder, which is made if needed. Default: the current folder.",
            show_default=False,
        ),
    ] = Path(),
    stores: Annotated[
        Literal["folder", "cloud"],
        typer.Option(
            help="Store the example's results in folders, or in local servers of S3 (us) and GCS (eu) and a folder "
            "(needs the extra `demo`).",
        ),
    ] = "folder",
    bare: Annotated[
        bool, typer.Option("--bare", help="Write fedml.toml alone, for code of your own. Other files stay as they are.")
    ] = False,
    from_address: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ADDRESS", help="Write fedml.toml for the federation of the Nomad server at this address."
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION=URL",
            help="With --from: store this region's results at this URL. Repeatable. Default: ask on the terminal.",
        ),
    ] = None,
    home: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --from: store the index and the runs at this URL. Default: ask on the terminal."
        ),
    ] = None,
    ca_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --from: trust servers by this CA (PEM). Default: NOMAD_CACERT, else the system's.",
        ),
    ] = None,
    client_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --from: show this client certificate (PEM). Default: NOMAD_CLIENT_CERT."
        ),
    ] = None,
    client_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --from: its key (PEM). Default: NOMAD_CLIENT_KEY."),
    ] = None,
    tls_server_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --from: expect this name in the server's certificate. Default: NOMAD_TLS_SERVER_NAME, else the "
            "address's host.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files. Default: stop with an error.")
    ] = False,
) -> None:
    """Make a project folder with an example job.

    Writes fedml.toml, an example job with its pipeline and data, and a README. With --bare, writes only fedml.toml, with
    two regions on this machine: `fedml run` needs no more. With --from, writes only fedml.toml and
    .gitignore, for a real federation. The ACL token for --from is read from NOMAD_TOKEN, and the namespace from
    NOMAD_NAMESPACE.

    Examples:

      fedml init sales

      fedml init --bare

      fedml init sales --stores cloud

      fedml init sales --from https://nomad.example.com:4646 --home s3://ml-home --store us=s3://ml-us

      fedml init sales --from https://nomad.example.com:4646 --ca-cert ca.pem --client-cert me.pem --client-key me-key.pem
    """
    from federation.errors import UsageError
    from federation.project.from_federation import TLS_VARIABLES

    folder = directory.absolute()
    name = folder.resolve().name or "fedml"
    tls = {"ca_cert": ca_cert, "client_cert": client_cert, "client_key": client_key, "server_name": tls_server_name}
    given = {TLS_VARIABLES[setting]: str(value) for setting, value in tls.items() if value is not None}
    if bare and (from_address is not None or stores != "folder"):
        raise UsageError("--bare goes with neither --from nor --stores", hint="leave out one of them")
    if from_address is not None:
        if stores != "folder":
            raise UsageError("--stores is for the example and --from for a real federation", hint="leave out one")
        environ = {**os.environ, **given}
        _from_federation(folder, name, from_address, stores=store or [], home=home, environ=environ, overwrite=force)
        return
    if store or home:
        raise UsageError("--store and --home need --from ADDRESS", hint="the example's stores are in its fedml.toml")
    if given:
        raise UsageError("options for TLS need --from ADDRESS", hint="the example's regions have no TLS")
    if bare:
        _bare(folder, name, overwrite=force)
    else:
        _from_example(folder, name, stores, overwrite=force)


def _bare(folder: Path, name: str, *, overwrite: bool) -> None:
    from federation.cli.session import answer
    from federation.workflows.init_project import write_bare

    write_bare(folder, name, overwrite=overwrite)
    answer(f"Wrote {folder / 'fedml.toml'}: two regions on this machine, us and eu", "")
    _next(folder, "fedml dev up", "fedml run train.py")


def _from_example(folder: Path, name: str, stores: Literal["folder", "cloud"], *, overwrite: bool) -> None:
    from federation.cli.session import answer, note
    from federation.project.write import missing_for_training
    from federation.text import install_extra
    from federation.workflows.init_project import write_example

    write_example(folder, name, stores, overwrite=overwrite)
    answer(f"Made the project {name} in {folder}", "")
    answer("  fedml.toml                        three regions (us, eu, onprem) and their stores")
    answer("  sales-close-prediction.nomad.hcl  the job")
    answer("  pipeline/                         its six stages, and data of 5,822 customers")
    answer("  README.md                         one screen: read this first", "")
    if missing := missing_for_training():
        note(f"The job's tasks need {' and '.join(missing)}, which this Python ({sys.executable}) lacks.")
        note(f"Before `fedml dev up`, {install_extra('demo')}")
        note("Or set the job's variable `python`.")
        note("")
    _next(folder, "fedml dev up", "fedml plan", "fedml dispatch --regions us,eu --version 4", "fedml index list")


def _from_federation(
    folder: Path,
    name: str,
    address: str,
    *,
    stores: list[str],
    home: str | None,
    environ: Mapping[str, str],
    overwrite: bool,
) -> None:
    from federation.cli.session import answer
    from federation.workflows.init_project import write_from_federation

    written = write_from_federation(
        folder,
        name,
        address,
        stores=stores,
        home=home,
        environ=environ,
        overwrite=overwrite,
        show=_show_region,
        ask=_ask_url if sys.stdin.isatty() and sys.stdout.isatty() else None,
    )
    answer("", f"Wrote {written}", "")
    _next(
        folder,
        "fedml doctor              check regions, permissions and stores",
        "fedml plan --job JOBSPEC  show where there is room, and what would change",
    )


def _next(folder: Path, *commands: str) -> None:
    import shlex

    from federation.cli.session import answer

    answer("Next:", "")
    if folder != Path.cwd():
        inside = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        answer(f"  cd {shlex.quote(str(inside))}")
    for command in commands:
        answer(f"  {command}")


def _show_region(region: SurveyedRegion) -> None:
    from federation.cli.session import answer, note

    if region.problem:
        note(f"  {region.name:<16} {region.problem}")
        return
    datacenters, jobs = ", ".join(region.datacenters) or "no node", ", ".join(region.jobs) or "none"
    answer(f"  {region.name:<16} Nomad {region.version}, {datacenters}; parameterized jobs: {jobs}")


def _ask_url(question: str, default: str | None) -> str:
    from federation.output.visible import visible_line

    return str(typer.prompt(visible_line(question), default=default, value_proc=_valid_url))


def _valid_url(url: str) -> str:
    from federation.output.visible import visible_line
    from federation.workflows.init_project import checked_url
    from jobs.errors import FedmlError

    try:
        return checked_url(url)
    except FedmlError as error:
        raise typer.BadParameter(visible_line(f"{error.message}. {error.hint}".rstrip())) from error
