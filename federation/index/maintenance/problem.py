"""A fault that `verify` finds: its kind, where it is, one sentence about it, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `kind` is a word for scripts, `where` an object's URL, `mend` a command or what to do."""

    kind: str
    where: str
    what: str
    mend: str


KINDS = {
    "format-missing": "the home's format.json is gone though there is (or was) a log",
    "index-lost": "the home holds runs, results or checkpoints and no index",
    "format-torn": "the home's format.json is not what fedml wrote",
    "entry-missing": "a log entry is gone though later ones exist",
    "entry-torn": "a log entry can't be read",
    "entry-stray": "an object lies in the log that is not an entry",
    "chain-forked": "a log entry was not written after the one before it",
    "entry-rewritten": "a log entry is not the one that this machine read before",
    "tail-missing": "entries that this machine read before are gone from the log's end",
    "head-unknown": "no entry has the hash that --head names",
    "change-unreadable": "a change in the log can't be used, and has no effect",
    "second-winner": "an entry gives a key a second winner",
    "entered-twice": "a result was entered twice",
    "manifest-wrong": "a record's files don't have its manifest's hash",
    "store-unreachable": "a store can't be read, so nothing in it was checked",
    "record-missing": "a result's record is gone from its store",
    "record-torn": "a record in a store can't be read",
    "record-differs": "a record in a store is not the one that was committed, or isn't believed",
    "record-misplaced": "a record lies under another key than its own",
    "record-orphan": "a record isn't in the index",
    "artifact-missing": "all files of a result are gone",
    "file-missing": "a file of a result is gone",
    "file-size": "a file of a result has another size",
    "file-changed": "a file of a result has other bytes (--deep)",
    "file-extra": "a file lies in an artifact that its record doesn't name",
    "artifact-orphan": "files lie in a store without a record",
    "object-stray": "an object lies in a store where it can be nothing of fedml's",
    "manifest-missing": "a run's manifest is gone",
    "manifest-torn": "a run's manifest can't be read",
    "manifest-differs": "a run's manifest is of another run, or isn't the one that the index knows",
    "inputs-torn": "what a run's slots differ in is gone or can't be read",
    "run-log-missing": "a run's log is gone",
    "run-log-differs": "a run's log is of another run, or its end is gone",
    "run-unknown": "a run lies in the home and isn't in the index",
    "rebuild-unfinished": "a rebuild was broken off",
    "checkpoint-torn": "a checkpoint can't be read or isn't of this log",
    "signature-missing": "a signature is in the log and not beside its result",
    "signature-wrong": "a signature doesn't belong to the result and key that it names",
}
"""All kinds, as the documentation lists them."""
