"""Errors of the federation itself; the tree above them is drawn in `jobs.errors`. A test compares both with the classes.

::

    FederationError(FedmlError)
    ├── ConfigError                fedml.toml: file, key and what to write instead
    ├── UsageError                 arguments that are not valid
    │   ├── WhereError             a condition, order or column that the index can't be asked for
    │   ├── UnknownName            a run, result, tag, region or job that doesn't exist
    │   ├── TagMoved               the tag points elsewhere than the caller expected
    │   └── TagRefused             the tag's rule does not allow the change
    ├── RegionNotAllowed           a region that the job's limit leaves out
    ├── PlanMoved                  a saved plan that is out of date, or was edited
    ├── NoPlace                    no region can take the job (exit code 2)
    ├── JobDrifted                 somebody else changed the registered job
    ├── RunInTheWay                a deployment would change the job of a run that still has open slots
    ├── IndexCorrupt               a log entry that is missing, forged or torn
    ├── IndexLost                  the home store lacks an index that was there
    ├── FormatTooNew               written by a newer fedml
    ├── LogConflict                an entry was not written: its number is taken, or the change no longer holds
    ├── StoreRefused               a result's store that fedml.toml doesn't have for its region
    ├── PublishError               the artifact can't be published as it is, or a record can't be used
    │   ├── RecordTooNew           a record of a newer format; a FormatTooNew too
    │   └── Unpublishable          what a task wrote can't be published, on any node
    ├── CodeError                  code that can't be packed, or a pack that can't be unpacked
    ├── DevError                   the development federation
    ├── OutputLost                 standard output can't be written
    ├── RunIsDriven                another coordinator drives the run
    ├── RunNotOver                 a run that goes on after the time that somebody waited for it (a TimeoutError too)
    └── Interrupted                Ctrl-C: state is kept (exit code 130)
"""

from __future__ import annotations

from typing import ClassVar

from jobs.errors import FedmlError


class FederationError(FedmlError):
    """Something about the federation."""


class ConfigError(FederationError):
    """`fedml.toml` can't be used: file, key, and a suggestion."""


class UsageError(FederationError):
    """Arguments that are not valid, or contradict each other or the project."""


class UnknownName(UsageError):
    """A name that no run, result, tag, region or job has. Pages answer 404."""


class RegionNotAllowed(FederationError):
    """The job may not run in that region (`allowed_regions`)."""


class PlanMoved(FederationError):
    """Something that a saved plan depends on has changed, or the file was edited."""


class NoPlace(FederationError):
    """No region can take the job: none has a node that fits."""

    exit_code: ClassVar[int] = 2


class JobDrifted(FederationError):
    """Somebody else changed a registered job. That is undone only where it is allowed."""


class RunInTheWay(FederationError):
    """A deployment would change the job of a run that still has open slots."""


class IndexCorrupt(FederationError):
    """An entry of a log is missing, forged or torn."""


class IndexLost(FederationError):
    """The home store lacks an index that this machine knew, or that other objects there tell of."""


class FormatTooNew(FederationError):
    """A manifest, entry or record has a newer format than this program knows."""


class LogConflict(FederationError):
    """Other writers were first in every attempt to append."""


class StoreRefused(FederationError):
    """A record or the index names a store that `fedml.toml` doesn't have there. Nothing was sent to it."""


class PublishError(FederationError):
    """An artifact can't be published as it is, or a record can't be used."""


class RecordTooNew(PublishError, FormatTooNew):
    """A record has a newer format: a node runs a newer fedml, or claims to."""


class Unpublishable(PublishError):
    """What a task wrote can't be published, on any node."""


class CodeError(FederationError):
    """Code that can't or mustn't be packed, or a pack that can't be unpacked."""


class DevError(FederationError):
    """The development federation can't do what was asked."""


class OutputLost(FederationError):
    """Standard output can't be written: the disk is full, or the terminal is gone."""


class RunIsDriven(FederationError):
    """Another coordinator drives the run and is active."""


class RunNotOver(FederationError, TimeoutError):
    """The run goes on after the time that somebody waited for its end."""


class Interrupted(FederationError):
    """A person stopped it. All state is kept, and the message names the command that goes on."""

    exit_code: ClassVar[int] = 130
