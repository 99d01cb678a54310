"""Reads a jobspec file (HCL2 or JSON) with its variables: Nomad's JSON for each region, and one spec hash.

The spec hash covers the source text, the files that it reads by `file()`, and the variables that a person gave
(environment, `-var-file`, `-var`), but not what the renderer or `[regions.NAME.vars]` add: it is the same in all regions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.errors import InvalidSpec
from jobs.frozen import frozen
from jobs.hcl import ParsedJob, VariableSource, environment_variables, load_var_file, parse_job
from jobs.nomad_json.decode import decode_job

SOURCE_BYTES_MAX = 4 * 1024 * 1024


@frozen
class JobSource:
    """One jobspec as written, and the variables given for all regions.

    Precedence, the later wins: the variable's default, `NOMAD_VAR_name`, `[regions.NAME.vars]`, `-var-file` in the order
    given, `-var`.
    """

    path: Path
    text: str
    environment: VariableSource
    flags: tuple[VariableSource, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether the file holds Nomad's JSON instead of HCL."""
        return self.path.suffix == ".json" or self.text.lstrip()[:1] == "{"

    def evaluate(self, region_variables: Mapping[str, object] | None = None, *, region: str = "") -> LoadedJob:
        """The job's JSON with one region's variables. `file()` counts from the working folder, as in `nomad job run`.
        uuidv4() gives values of the spec: the same in all regions, and until the spec changes.

        Raises HclError or InvalidSpec.
        """
        if self.is_json:
            job = decode_job(self.text, self.path.name)
            return LoadedJob(job=job, spec_hash=_spec_hash(self, None))
        sources = [self.environment]
        if region_variables:
            sources.append(VariableSource(f"regions.{region}.vars", dict(region_variables), ignore_undeclared=True))
        sources.extend(self.flags)
        parsed = self._parsed(sources, None)
        spec_hash = _spec_hash(self, parsed)
        if parsed.has_uuids:
            parsed = self._parsed(sources, spec_hash)
        return LoadedJob(job=parsed.job, spec_hash=spec_hash)

    def _parsed(self, sources: Sequence[VariableSource], uuid_seed: str | None) -> ParsedJob:
        return parse_job(self.text, filename=self.path.name, base_dir=Path(), variables=sources, uuid_seed=uuid_seed)


@frozen
class LoadedJob:
    """A job's JSON, not canonicalised and not rendered, and the hash of what it was made from."""

    job: dict[str, Any]
    spec_hash: str


def read_job(
    path: Path,
    *,
    variables: Sequence[str] = (),
    var_files: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
) -> JobSource:
    """Read a jobspec file and the variables of the command line (`name=value` each). Raises InvalidSpec or HclError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidSpec(f"there is no jobspec {path}", hint="name one with --job, or job = … in fedml.toml") from None
    except OSError as error:
        raise InvalidSpec(f"jobspec {path}: {error.strerror}") from error
    if len(data) > SOURCE_BYTES_MAX:
        raise InvalidSpec(f"jobspec {path} has {len(data)} bytes: that is no jobspec")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"jobspec {path} is not UTF-8 text (byte {error.start})") from error
    flags = [load_var_file(file) for file in var_files]
    if variables:
        flags.append(VariableSource("-var", dict(_name_value(item, "-var") for item in variables)))
    return JobSource(path=path, text=text, environment=environment_variables(environ or {}), flags=tuple(flags))


def key_values(items: Sequence[str], flag: str) -> dict[str, str]:
    """`["a=1", …]` as a mapping. Raises InvalidSpec for an item without `=` or a key given twice."""
    values: dict[str, str] = {}
    for item in items:
        name, value = _name_value(item, flag)
        if name in values:
            raise InvalidSpec(f"{flag} {name} is given twice")
        values[name] = value
    return values


def _name_value(item: str, flag: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name.strip():
        raise InvalidSpec(f"{flag} {item!r} is not of the form key=value", hint=f"write  {flag} name=value")
    return name.strip(), value


def _spec_hash(source: JobSource, parsed: ParsedJob | None) -> str:
    digest = hashlib.sha256()

    def add(label: str, data: bytes) -> None:
        digest.update(f"{label} {len(data)}\n".encode())
        digest.update(data)

    add("source", source.text.encode())
    if parsed is not None:
        for file in sorted(set(parsed.files_read)):
            add(f"file {_relative(file, Path())}", file.read_bytes())
        for variables in (source.environment, *source.flags):
            used = {name: variables.values[name] for name in sorted(variables.values) if name in parsed.variable_names}
            add("variables", json.dumps(used, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _relative(file: Path, root: Path) -> str:
    resolved, base = file.resolve(), root.resolve()
    return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else resolved.name
