"""Writes a project folder: the bundled example, or the fedml.toml of a federation that exists (`fedml init`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from federation.errors import UsageError
from federation.project import write
from federation.project.from_federation import SurveyedRegion, survey, toml_of
from federation.project.templates import BARE_TOML, GITIGNORE
from regions.storage import parse_store_url

Ask = Callable[[str, str | None], str]
"""Asks a person for a store URL, with a default."""
_TOML, _IGNORE = PurePosixPath("fedml.toml"), PurePosixPath(".gitignore")


def write_example(folder: Path, name: str, stores: Literal["folder", "cloud"], *, overwrite: bool) -> None:
    """Writes the example project. Raises UsageError and FederationError."""
    write.check_extra(stores)
    write.write(folder, write.example_files(name, stores), overwrite=overwrite)


def write_bare(folder: Path, name: str, *, overwrite: bool) -> None:
    """Writes fedml.toml alone, for a folder that has code of its own. Raises UsageError and FederationError."""
    write.write(folder, {_TOML: BARE_TOML.substitute(name=name).encode()}, overwrite=overwrite)


def write_from_federation(
    folder: Path,
    name: str,
    address: str,
    *,
    stores: Sequence[str],
    home: str | None,
    environ: Mapping[str, str],
    overwrite: bool,
    show: Callable[[SurveyedRegion], None],
    ask: Ask | None,
) -> Path:
    """Writes fedml.toml and .gitignore from what the federation at `address` says, and returns the path of fedml.toml.
    Missing store URLs come from `ask` (None: there is nobody to ask). Raises UsageError and FederationError."""
    write.refuse_collisions(folder, {_TOML: b""}, overwrite=overwrite)  # before a region or a person is asked
    regions = survey(address, environ)
    for region in regions:
        show(region)
    home, urls = _chosen_stores([region.name for region in regions if not region.problem], stores, home, ask)
    files = {_TOML: toml_of(name, address, regions, home=home, stores=urls, environ=environ).encode()}
    if overwrite or not (folder / _IGNORE).exists():
        files[_IGNORE] = GITIGNORE.encode()
    write.write(folder, files, overwrite=overwrite)
    return folder / _TOML


def checked_url(url: str) -> str:
    """The URL. Raises InvalidStoreURL. `file://./` is relative to fedml.toml."""
    if not url.startswith("file://./"):
        parse_store_url(url)
    return url


def _chosen_stores(
    regions: Sequence[str], given: Sequence[str], home: str | None, ask: Ask | None
) -> tuple[str, dict[str, str]]:
    """The URLs of the home store and of each region's store, from the options or by asking for them."""
    stores: dict[str, str] = {}
    for text in given:
        region, equals, url = text.partition("=")
        if not equals or not url or region not in regions:
            raise UsageError(
                f"--store {text!r} is not REGION=URL with a region that answered", hint=f"known: {', '.join(regions)}"
            )
        stores[region] = checked_url(url)
    missing = [region for region in regions if region not in stores]
    if ask is None and (missing or not home):
        options = [f"--store {region}=URL" for region in missing] + ([] if home else ["--home URL"])
        raise UsageError(
            "no terminal to ask on, and no store is known for "
            + ", ".join([*missing, *([] if home else ["the index"])]),
            hint="add " + " ".join(options) + ", with s3://…, gs://…, az://… or file://…",
        )
    if ask is not None:
        for region in missing:
            stores[region] = ask(f"Store of region {region} (s3://…, gs://…, az://…, file://…)", None)
        home = home or ask("Store of the index (home)", next(iter(stores.values())).rstrip("/") + "/home")
    return checked_url(str(home)), stores
