"""The errors of the job side, and the root of every error that a person may see.

::

    FedmlError                     (exit code 1; message, hint)
    ├── JobError
    │   ├── HclError               file:line:col and a caret (jobs.hcl)
    │   ├── InvalidSpec            a job that Nomad or fedml can't run, and what to change
    │   └── InvalidMeta            meta or payload of a dispatch that the job doesn't take
    ├── ForeignTextError           JSON that somebody else wrote and that can't be used (jobs.foreign)
    ├── RegionError                regions.errors
    ├── StoreError                 regions.storage.errors
    ├── SecretUnavailable          a token or key that can't be read from where it is (regions.credentials)
    └── FederationError            federation.errors

`str(error)` is one clear sentence: what was wrong and where. `error.hint` says what to do. Neither ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class FedmlError(Exception):
    """Any error that a person sees as one message instead of a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class JobError(FedmlError):
    """A jobspec or a dispatch of it can't be used as it is."""


class InvalidSpec(JobError):
    """The jobspec is well-formed but fedml or Nomad can't run it."""


class InvalidMeta(JobError):
    """The meta or payload of a dispatch doesn't fit the job."""


class ForeignTextError(FedmlError):
    """Text from outside isn't JSON, exceeds a limit, or doesn't hold what it should: what, where, and what to do."""


class HclError(JobError):
    """A jobspec that can't be read: `file:line:col: problem`, the line, and a caret under the place."""

    def __init__(
        self, problem: str, *, file: str, line: int, column: int, source_line: str = "", hint: str = ""
    ) -> None:
        caret = f"\n  {source_line}\n  {' ' * (column - 1)}^" if source_line else ""
        super().__init__(f"{file}:{line}:{column}: {problem}{caret}", hint=hint)
        self.problem = problem
        self.file = file
        self.line = line
        self.column = column
        self.is_final = False
        """Whether `try` and `can` let this error through: Nomad would compute a value here, and fedml refuses to."""
