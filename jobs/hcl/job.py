"""Parses the text of a jobspec and its variables to the job in Nomad's API JSON."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import HclError
from jobs.hcl import syntax
from jobs.hcl.dynamic import Found
from jobs.hcl.evaluate import Evaluator, LazyObject
from jobs.hcl.files import Files
from jobs.hcl.functions import FUNCTIONS
from jobs.hcl.mapper import Mapper
from jobs.hcl.parser import parse_body
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.source import Source, did_you_mean
from jobs.hcl.uuids import Uuids
from jobs.hcl.variables import VariableSource, resolve_variables

if TYPE_CHECKING:
    from jobs.hcl.evaluate import Names

_TOP_LEVEL = ("job", "variable", "variables", "locals")


@dataclass(frozen=True)
class ParsedJob:
    """The result of parsing a jobspec.

    `job` is Nomad's API JSON without defaults (what `nomad job run -output` prints under "Job"). `files_read` lists
    what file(), filebase64() and templatefile() read: absolute, in order of first use. `variable_names` are the
    variables that the jobspec declares. `has_uuids` says whether it calls uuidv4().
    """

    job: dict[str, Any]
    files_read: tuple[Path, ...]
    variable_names: frozenset[str]
    has_uuids: bool = False


class _Locals(LazyObject):
    """The root name `local`. Computes each value once, on first use. The last definition of a name in the file counts;
    those before it (`shadowed`) must be right, too."""

    def __init__(self, source: Source, body: syntax.Body) -> None:
        self.source = source
        self.evaluator: Evaluator | None = None
        self.expressions: dict[str, syntax.Attribute] = {}
        self.shadowed: list[syntax.Attribute] = []
        self.values: dict[str, object] = {}
        self.in_progress: list[str] = []
        self.circle: HclError | None = None
        for block in body.blocks:
            if block.type != "locals":
                continue
            for attribute in block.body.attributes.values():
                if attribute.name in self.expressions:
                    self.shadowed.append(self.expressions[attribute.name])
                self.expressions[attribute.name] = attribute

    def attribute(self, name: str) -> object:
        assert self.evaluator is not None
        if name not in self.values:
            attribute = self.expressions[name]
            if name in self.in_progress:
                circle = " → ".join([*self.in_progress[self.in_progress.index(name) :], name])
                self.circle = self.source.error(f"these locals depend on each other: {circle}", attribute.start)
                raise self.circle
            self.in_progress.append(name)
            try:
                self.values[name] = self.evaluator.whole_value(attribute.expression)
            finally:
                self.in_progress.pop()
        return self.values[name]

    def names(self) -> Collection[str]:
        return self.expressions


def parse_job(
    text: str,
    *,
    filename: str = "job.nomad.hcl",
    base_dir: Path | None = None,
    variables: Sequence[VariableSource] = (),
    allow_files: bool = True,
    uuid_seed: str | None = None,
) -> ParsedJob:
    """Parses a jobspec in HCL2 as Nomad 1.6 does.

    Later `variables` override earlier ones. Paths of files that the jobspec reads are relative to `base_dir` (the
    working folder). With `allow_files` false such functions are errors. With a `uuid_seed`, uuidv4() gives the same
    values at each evaluation. Raises only HclError, whatever the text.
    """
    source = Source(text, filename)
    try:
        return _parse(source, Files(base_dir or Path(), allowed=allow_files), variables, Uuids(uuid_seed))
    except RecursionError:
        raise source.error("nested too deeply", 0) from None


def _parse(source: Source, files: Files, variables: Sequence[VariableSource], uuids: Uuids) -> ParsedJob:
    body = parse_body(source)
    block = _only_job(source, body)
    values = resolve_variables(source, body, variables)
    local = _Locals(source, body)
    names: Names = {"var": values, "local": local}
    functions = {**FUNCTIONS, **files.functions(), "uuidv4": uuids.function()}
    evaluator = Evaluator(source, names, functions, keep_unknown=True)
    local.evaluator = evaluator
    local.all()
    for attribute in local.shadowed:
        evaluator.whole_value(attribute.expression)
    if local.circle is not None:
        raise local.circle
    if len(block.labels) != 1:
        raise source.error('"job" takes one label, its ID', block.start, hint='job "name" { … }')
    found = Found("job", [], block.body, None, block.start)
    job = Mapper(evaluator).map_block(BLOCK_TYPES["job"], found)
    for name in ("ID", "Name"):
        if job[name] is None:
            job[name] = block.labels[0][0]
    return ParsedJob(job, tuple(files.read), frozenset(values), uuids.drawn > 0)


def _only_job(source: Source, body: syntax.Body) -> syntax.Block:
    for attribute in body.attributes.values():
        raise source.error(
            f'"{attribute.name}" can\'t stand outside of the job',
            attribute.start,
            hint="Move it into job or locals.",
        )
    job: syntax.Block | None = None
    for block in body.blocks:
        if block.type not in _TOP_LEVEL:
            hint = did_you_mean(block.type, _TOP_LEVEL)
            raise source.error(f'there is no block "{block.type}" at the top level', block.start, hint=hint)
        if block.type in ("locals", "variables"):
            if block.labels:
                raise source.error(f'a "{block.type}" block takes no label', block.labels[0][1])
            for inner in block.body.blocks:
                raise source.error(f'"{block.type}" holds name = value, no blocks', inner.start)
        if block.type == "job":
            if job is not None:
                line, _ = source.position(job.start)
                raise source.error(f"only one job is possible in a file; the first is on line {line}", block.start)
            job = block
    if job is None:
        raise source.error("there is no job here", 0, hint='A jobspec holds one block job "name" { … }.')
    return job
