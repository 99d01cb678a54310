"""Asks one Nomad server for its whole federation and writes a `fedml.toml` from the answers (`fedml init --from ADDRESS`).

Regions are asked in parallel. One that doesn't answer is a value, not an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from federation.errors import FederationError, UsageError
from federation.text import counted
from jobs.errors import FedmlError
from regions.credentials import SecretRef
from regions.errors import RegionError
from regions.model import Region, TLSFiles

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

TIMEOUT_S = 5.0
DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class SurveyedRegion:
    """One region's answers. `problem` is set, and the rest empty, where it gave none."""

    name: str
    version: str = ""
    datacenters: tuple[str, ...] = ()
    nodes: int = 0
    jobs: tuple[str, ...] = ()
    """Registered parameterized batch jobs."""
    problem: str = ""


def survey(address: str, environ: Mapping[str, str]) -> tuple[SurveyedRegion, ...]:
    """Asks the server at `address` for its regions, and each of them for itself.

    The token, TLS files and namespace are those that `environ` names as for `nomad` (NOMAD_TOKEN, NOMAD_CACERT …). Raises
    UsageError for an address that is not valid, RegionError when the server doesn't answer, FederationError when no region
    does.
    """
    checked = _checked(address)
    shown = f"at {checked}"
    asked = _nomad_region(checked, "global", environ, shown_as=shown)
    try:
        names = asked.federation_regions()
    except RegionError as error:
        _, found, problem = error.message.partition(f"regions.{shown}.tls.")
        if not found:
            raise
        key, _, what = problem.partition(": ")  # a file was given by option or variable, not by fedml.toml
        raise UsageError(f"--{key.replace('_', '-')}: {what}", hint=error.hint) from error
    finally:
        asked.close()
    with ThreadPoolExecutor(max_workers=min(16, len(names) or 1)) as pool:
        regions = tuple(pool.map(lambda name: _survey_region(checked, name, environ), names))
    if all(region.problem for region in regions):
        problems = "; ".join(region.problem for region in regions) or "it knows no region"
        raise FederationError(
            f"{checked} answers, but none of its regions could be asked: {problems}",
            hint="" if environ.get("NOMAD_TOKEN") else "if the federation needs a token:  export NOMAD_TOKEN=…",
        )
    return regions


def toml_of(
    name: str,
    address: str,
    regions: tuple[SurveyedRegion, ...],
    *,
    home: str,
    stores: Mapping[str, str],
    environ: Mapping[str, str],
) -> str:
    """Writes the federation's `fedml.toml`. `stores` holds a URL for each region that answered."""
    jobs = sorted({job for region in regions for job in region.jobs})
    lines = [
        f"# Written by `fedml init --from {_checked(address)}`. Relative paths count from this file.",
        "# Every key: docs/reference/configuration.md",
        "",
        "[federation]",
        f"name = {_quoted(name)}",
        f"home = {_quoted(home)}",
    ]
    if len(jobs) == 1:
        lines.append(f"job  = {_quoted(jobs[0])}  # registered there; or a jobspec's path")
    else:
        lines.append(
            '# job = "…"  # a jobspec\'s path, or a registered job: ' + (", ".join(jobs) or "there is none yet")
        )
    for region in regions:
        lines += ["", *_region_lines(_checked(address), region, stores, environ)]
    return "\n".join(lines) + "\n"


def _region_lines(
    address: str, region: SurveyedRegion, stores: Mapping[str, str], environ: Mapping[str, str]
) -> list[str]:
    key = _key(region.name)
    if region.problem:
        return [
            f"# Region {region.name} could not be asked: {region.problem}".replace("\n", " "),
            f"# [regions.{key}]",
            f"# addresses = [{_quoted(address)}]",
        ]
    about = f"Nomad {region.version}, {counted(region.nodes, 'node')}"
    lines = [
        f"[regions.{key}]  # {about}; parameterized jobs: {', '.join(region.jobs) or 'none'}",
        f"addresses = [{_quoted(address)}]  # a server of any region forwards; add the region's own",
    ]
    if environ.get("NOMAD_TOKEN"):
        lines.append('token = { env = "NOMAD_TOKEN" }')
    if environ.get("NOMAD_NAMESPACE"):
        lines.append('namespace = { env = "NOMAD_NAMESPACE" }')
    lines.append(f"store = {_quoted(stores[region.name])}  # of all datacenters that name none of their own")
    tls = {setting: environ[variable] for setting, variable in TLS_VARIABLES.items() if environ.get(variable)}
    if tls:
        lines += ["", f"[regions.{key}.tls]"]
        # A relative path of the shell counts from the working folder, one in fedml.toml from there.
        lines += [
            f"{setting} = {_quoted(value if setting == 'server_name' else str(_file(value)))}"
            for setting, value in tls.items()
        ]
    lines.append("")
    if not region.datacenters:
        lines.append("# no node was seen, so its datacenters are unknown; dc1 is Nomad's default")
    lines += [f"[regions.{key}.datacenters.{_key(datacenter)}]" for datacenter in region.datacenters or ("dc1",)]
    return lines


TLS_VARIABLES = {
    "ca_cert": "NOMAD_CACERT",
    "client_cert": "NOMAD_CLIENT_CERT",
    "client_key": "NOMAD_CLIENT_KEY",
    "server_name": "NOMAD_TLS_SERVER_NAME",
}
"""The variable of Nomad's command line for each key of `[regions.NAME.tls]`."""


def _survey_region(address: str, name: str, environ: Mapping[str, str]) -> SurveyedRegion:
    client = _nomad_region(address, name, environ)
    try:
        nodes = client.nodes()
        jobs = [
            str(stub["ID"]) for stub in client.jobs() if stub.get("ParameterizedJob") and stub.get("Type") != "system"
        ]
        return SurveyedRegion(
            name=name,
            version=client.version(),
            datacenters=tuple(sorted({node.datacenter for node in nodes})),
            nodes=len(nodes),
            jobs=tuple(sorted(jobs)),
        )
    except FedmlError as error:
        return SurveyedRegion(name=name, problem=error.message.removeprefix(f"region {name}: "))
    finally:
        client.close()


def _nomad_region(address: str, nomad_region: str, environ: Mapping[str, str], *, shown_as: str = "") -> NomadRegion:
    from regions.nomad.client import NomadRegion

    def file(variable: str) -> Path | None:
        return _file(environ[variable]) if environ.get(variable) else None

    region = Region(
        name=shown_as or nomad_region,
        addresses=(address,),
        datacenters={},
        nomad_region=nomad_region,
        token=SecretRef(env="NOMAD_TOKEN") if environ.get("NOMAD_TOKEN") else None,
        namespace=environ.get("NOMAD_NAMESPACE") or "default",
        tls=TLSFiles(
            ca_cert=file("NOMAD_CACERT"),
            client_cert=file("NOMAD_CLIENT_CERT"),
            client_key=file("NOMAD_CLIENT_KEY"),
            server_name=environ.get("NOMAD_TLS_SERVER_NAME") or None,
        ),
    )
    return NomadRegion(region, timeout_s=TIMEOUT_S, deadline_s=DEADLINE_S)


def _file(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _checked(address: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path not in ("", "/") or parts.query or parts.username or parts.password:
        raise UsageError(
            f"--from {address!r} is not a valid address", hint="write --from https://host:4646, without user or path"
        )
    return address.rstrip("/")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML basic string: its escapes are those of JSON, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
