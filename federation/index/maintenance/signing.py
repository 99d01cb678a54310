"""Sign results with an ed25519 key of one's own, and check signatures: these bytes are that result.

Signed are the allocation, its key, job, version and the manifest's hash, so the name, size and sha256 of every file. The
signature lies beside the record in the result's store and in the log. It protects even against
writers to stores and home, if the public key for the check came another way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.store_listing import SIGNATURE_BYTES_MAX, SIGNATURE_SUFFIX
from federation.index.rows import REMOVED
from federation.index.signatures import is_signed, message, read_private_key, require_cryptography, signer
from federation.index.stores import OpenStore
from federation.log import Change
from federation.result import ResultRecord, store_name
from jobs.errors import FedmlError
from jobs.foreign import parse_json
from regions.credentials import SecretRef
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound, TooLarge
from regions.storage.store import Create, Store

SIGNATURE_FORMAT = 1
DEFAULT_KEY = "env:FEDML_SIGNING_KEY"


@dataclass(frozen=True, slots=True)
class Signed:
    """A result that carries a signature of this public key (raw, base64). `is_new`: it hadn't before."""

    alloc_id: str
    manifest_sha256: str
    public_key: str
    is_new: bool


def key_reference(text: str) -> SecretRef:
    """`env:NAME`, `file:PATH` or `command:WORDS` as a reference to a private key. Raises UsageError."""
    kind, _, rest = text.partition(":")
    if rest and kind == "env":
        return SecretRef(env=rest)
    if rest and kind == "file":
        return SecretRef(file=Path(rest).expanduser())
    if rest and kind == "command":
        try:
            return SecretRef(command=tuple(shlex.split(rest)))
        except ValueError as error:
            raise UsageError(f"--key command: {error}") from error
    raise UsageError(
        "--key says where the key is, and is never the key itself",
        hint="write env:NAME, file:PATH or command:WORDS (openssl genpkey -algorithm ed25519 makes a key)",
    )


def sign(index: Index, open_store: OpenStore, row: Row, key: SecretRef) -> Signed:
    """Sign a result, beside it in its store and in the log. Saying it again changes nothing. Raises UsageError for a result
    that was removed and for something that isn't a key, SecretUnavailable. After a crash it may lie in the store
    only; sign again."""
    private = read_private_key(key)
    public_key = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    record = index.record(row)
    if row.state == REMOVED:
        raise UsageError(f"result {row.alloc_id[:8]} was removed by gc: there is nothing left to sign")
    if not record.has_its_manifest:
        raise IntegrityError(f"the files of result {row.alloc_id} don't have its manifest's hash", operation="sign")
    signature = base64.b64encode(private.sign(message(record))).decode()
    change: Change = {
        "type": "sign",
        "alloc_id": row.alloc_id,
        "manifest_sha256": record.manifest_sha256,
        "public_key": public_key,
        "signature": signature,
    }
    _put_beside(open_store(row.store, row), record, change)
    is_new = False

    def decide(catalog: Catalog) -> list[Change]:
        nonlocal is_new
        known = "SELECT 1 FROM signature WHERE alloc_id = ? AND public_key = ? AND signature = ?"
        is_new = catalog.value(known, row.alloc_id, public_key, signature) is None
        return [change] if is_new else []

    index.change(decide, reason="sign")
    return Signed(row.alloc_id, record.manifest_sha256, public_key, is_new)


def check_signatures(index: Index, open_store: OpenStore, trusted: Collection[str]) -> tuple[int, list[Problem]]:
    """(how many signatures were looked at, what is wrong with them). `trusted` are public keys; when there are any, a
    signature of another one is told. Raises what reading the log raises."""
    require_cryptography()
    problems: list[Problem] = []
    signatures = index.ask(lambda catalog: catalog.table("SELECT * FROM signature ORDER BY number"))
    for alloc_id, public_key, manifest, signature, number in signatures:
        row = index.result(alloc_id)
        if row.state == REMOVED:
            continue
        record = index.record(row)
        change = {"alloc_id": alloc_id, "manifest_sha256": manifest, "public_key": public_key, "signature": signature}
        where = f"{store_name(row.store)}/{_sidecar_key(record, public_key)}"
        name = f"the signature of result {alloc_id} by {public_key}, in revision {number},"
        mend = f"sign it again: fedml index sign {alloc_id}"
        if not is_signed(record, manifest, public_key, signature):
            what = f"{name} doesn't belong to it: the record, the key or the signature was changed"
            problems.append(
                Problem("signature-wrong", where, what, "believe nothing of it; look at who wrote that entry")
            )
        elif trusted and public_key not in trusted:
            what = f"{name} is of a key that you don't trust"
            problems.append(Problem("signature-wrong", where, what, "ask its author, or name the key with --trust"))
        elif problem := _beside_problem(open_store, row, record, change):
            problems.append(Problem("signature-missing", where, f"{name} {problem}", mend))
    return len(signatures), problems


def require_signature(index: Index, row: Row, trusted: Collection[str]) -> str:
    """The trusted public key that signed this result. Raises IntegrityError where none did."""
    record = index.record(row)
    found = index.ask(lambda catalog: catalog.signatures_of(row.alloc_id))
    key = signer(record, found, trusted)
    if key:
        return key
    raise IntegrityError(
        f"result {row.alloc_id} carries no good signature of a key that you trust ({len(found)} of others)",
        operation="get",
        hint="fedml index verify --signature  looks at all of them",
    )


def _sidecar_key(record: ResultRecord, public_key: str) -> str:
    name = hashlib.sha256(public_key.encode()).hexdigest()[:16]
    return record.key.record_key(record.alloc_id).removesuffix(".json") + f".{name}{SIGNATURE_SUFFIX}"


def _sidecar(change: Change) -> dict[str, Any]:
    said = {name: change[name] for name in ("alloc_id", "manifest_sha256", "public_key", "signature")}
    return {"format": SIGNATURE_FORMAT, **said}


def _put_beside(store: Store, record: ResultRecord, change: Change) -> None:
    key = _sidecar_key(record, change["public_key"])
    data = json.dumps(_sidecar(change), sort_keys=True, indent=1).encode()
    try:
        store.put(key, data, Create(), content_type="application/json")
    except AlreadyExists:
        if not _is_there(store, key, data):  # ed25519 signs the same alike: somebody else's
            store.put(key, data, content_type="application/json")


def _is_there(store: Store, key: str, data: bytes) -> bool:
    try:
        return store.get_small(key, limit_bytes=SIGNATURE_BYTES_MAX) == data
    except TooLarge:
        return False


def _beside_problem(open_store: OpenStore, row: Row, record: ResultRecord, change: Change) -> str:
    """Why the signature beside the result isn't the one in the log; empty when it is."""
    try:
        where = _sidecar_key(record, change["public_key"])
        there = parse_json(open_store(row.store, row).get_small(where, limit_bytes=SIGNATURE_BYTES_MAX), source=where)
    except NotFound:
        return "isn't beside its result"
    except (FedmlError, ValueError) as error:
        return f"can't be read beside its result ({error})"
    return "" if there == _sidecar(change) else "is another one beside its result"
