"""`fedml init` enters, a project folder leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from federation.project.from_federation import SurveyedRegion


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="init")(init)


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="The project's folder; made if need be.")] = Path(),
    stores: Annotated[
        Literal["folder", "cloud"],
        typer.Option(help="Where results go: folders, or S3 (us), GCS (eu) and a folder (needs the extra `demo`)."),
    ] = "folder",
    from_address: Annotated[
        str | None,
        typer.Option("--from", metavar="ADDRESS", help="Write fedml.toml from the real federation that answers there."),
    ] = None,
    store: Annotated[
        list[str] | None, typer.Option(metavar="REGION=URL", help="With --from: a region's store. May be repeated.")
    ] = None,
    home: Annotated[
        str | None, typer.Option(metavar="URL", help="With --from: the store that holds the index and the runs.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
) -> None:
    """Make a project folder: fedml.toml, an example job with its pipeline and data, a README.

    With --from, only fedml.toml and .gitignore, written from what a real federation says of itself.

    Examples:

      fedml init sales

      fedml init sales --stores cloud

      fedml init sales --from https://nomad.example.com:4646 --home s3://ml-home --store us=s3://ml-us
    """
    from federation.errors import UsageError

    folder = directory.absolute()
    name = folder.resolve().name or "fedml"
    if from_address is not None:
        if stores != "folder":
            raise UsageError("--stores is for the example and --from for a real federation", hint="leave out one")
        _from_federation(folder, name, from_address, stores=store or [], home=home, overwrite=force)
        return
    if store or home:
        raise UsageError("--store and --home need --from ADDRESS", hint="the example's stores stand in its fedml.toml")
    _from_example(folder, name, stores, overwrite=force)


def _from_example(folder: Path, name: str, stores: Literal["folder", "cloud"], *, overwrite: bool) -> None:
    from federation.cli.session import answer, note
    from federation.project import write

    write.check_extra(stores)
    files = write.example_files(name, stores)
    write.write(folder, files, overwrite=overwrite)
    answer(f"Made the project {name} in {folder}", "")
    answer("  fedml.toml                        three regions (us, eu, onprem) and their stores")
    answer("  sales-close-prediction.nomad.hcl  the job")
    answer("  pipeline/                         its six stages, and data of 5,822 customers")
    answer("  README.md                         one screen: read this first", "")
    if missing := write.missing_for_training():
        note(
            f"The job's tasks need {' and '.join(missing)}, which this Python ({sys.executable}) lacks: install the extra,"
        )
        note(
            "as in `uv tool install '.[demo]'` in fedml's checkout, before `fedml dev up`, or set the variable `python`."
        )
        note("")
    answer("Next:", "")
    if folder != Path.cwd():
        answer(f"  cd {_relative(folder)}")
    answer("  fedml dev up")
    answer("  fedml plan")
    answer("  fedml dispatch --regions us,eu --version 4")
    answer("  fedml index list")


def _from_federation(
    folder: Path, name: str, address: str, *, stores: list[str], home: str | None, overwrite: bool
) -> None:
    from pathlib import PurePosixPath

    from federation.cli.session import answer, note
    from federation.project import write
    from federation.project.from_federation import survey, toml_of
    from federation.project.templates import GITIGNORE

    toml, ignore = PurePosixPath("fedml.toml"), PurePosixPath(".gitignore")
    write.refuse_collisions(folder, {toml: b""}, overwrite=overwrite)  # before anybody is asked
    regions = survey(address, os.environ)
    for region in regions:
        told = f"  {region.name:<16} {region.problem or _told(region)}"
        if region.problem:
            note(told)
        else:
            answer(told)
    home, chosen = _chosen_stores([region.name for region in regions if not region.problem], stores, home)
    text = toml_of(name, address, regions, home=home, stores=chosen, environ=os.environ)
    files = {toml: text.encode()}
    if overwrite or not (folder / ignore).exists():
        files[ignore] = GITIGNORE.encode()
    write.write(folder, files, overwrite=overwrite)
    answer("", f"Wrote {folder / toml}", "", "Next:", "")
    if folder != Path.cwd():
        answer(f"  cd {_relative(folder)}")
    answer("  fedml doctor              whether regions, permissions and stores are as they must be")
    answer("  fedml plan --job JOBSPEC  where there is room, and what would change")


def _told(region: SurveyedRegion) -> str:
    datacenters = ", ".join(region.datacenters) or "no node"
    return f"Nomad {region.version}, {datacenters}; parameterized jobs: {', '.join(region.jobs) or 'none'}"


def _chosen_stores(regions: list[str], given: list[str], home: str | None) -> tuple[str, dict[str, str]]:
    """Home and the regions' store URLs, from the options; what they leave out is asked for on a terminal."""
    from federation.errors import UsageError
    from federation.visible import visible_line

    stores: dict[str, str] = {}
    for each in given:
        region, equals, url = each.partition("=")
        if not equals or not url or region not in regions:
            known = ", ".join(regions)
            raise UsageError(
                f"--store {each!r}: REGION=URL is needed, with a region that answered", hint=f"known: {known}"
            )
        stores[region] = _checked_url(url)
    missing = [region for region in regions if region not in stores]
    if (missing or not home) and not (sys.stdin.isatty() and sys.stdout.isatty()):
        options = [f"--store {region}=URL" for region in missing] + ([] if home else ["--home URL"])
        raise UsageError(
            "no terminal to ask on, and no store is known for "
            + ", ".join([*missing, *([] if home else ["the index"])]),
            hint="add " + " ".join(options) + ", with s3://…, gs://…, az://… or file://…",
        )
    for region in missing:
        stores[region] = typer.prompt(
            f"Store of region {visible_line(region)} (s3://…, gs://…, az://…, file://…)", value_proc=_asked_url
        )
    if not home:
        first = next(iter(stores.values())).rstrip("/")
        home = typer.prompt("Store of the index (home)", default=f"{first}/home", value_proc=_asked_url)
    return _checked_url(str(home)), stores


def _checked_url(url: str) -> str:
    from regions.storage import parse_store_url

    if not url.startswith("file://./"):  # counts from fedml.toml
        parse_store_url(url)
    return url


def _asked_url(url: str) -> str:
    from federation.visible import visible_line
    from jobs.errors import FedmlError

    try:
        return _checked_url(url)
    except FedmlError as error:
        raise typer.BadParameter(visible_line(f"{error.message}. {error.hint}".rstrip())) from error


def _relative(folder: Path) -> str:
    import shlex

    try:
        return shlex.quote(str(folder.relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(folder))
