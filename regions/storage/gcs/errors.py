"""Turns an error of Google's libraries into a StoreError, by names and statuses only: no SDK is imported.

Every exception class of google-cloud-storage, google-auth, google-api-core, google-resumable-media and requests is in
`KINDS` itself or by an ancestor, or carries the status of an answer (a test looks), so that a new one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_object
from regions.retry_after import retry_after_s
from regions.storage.errors import (
    CLOCK,
    IntegrityError,
    InvalidStoreURL,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
    remedy_for,
)
from regions.storage.retry import RequestConflict

KINDS: Mapping[str, type[StoreError]] = {
    # google.auth; its TransportError and TimeoutError mean that no answer came, all else is about credentials
    "TransportError": Unavailable,
    "TimeoutError": Unavailable,
    "GoogleAuthError": PermissionDenied,
    # google.api_core; those of an answer go by its status
    "RetryError": Unavailable,
    "ResumableTransferError": Unavailable,
    "GoogleAPIError": StoreError,
    "AsyncRestUnsupportedParameterError": StoreError,
    # google.cloud.storage and google.resumable_media
    "DataCorruption": IntegrityError,
    "InvalidResponse": Unavailable,
    "InvalidPathError": InvalidStoreURL,
    # requests and urllib3
    "InvalidURL": InvalidStoreURL,
    "MissingSchema": InvalidStoreURL,
    "InvalidSchema": InvalidStoreURL,
    "RequestException": Unavailable,
    "HTTPError": Unavailable,
}

STATUSES: Mapping[int, type[StoreError]] = {
    304: PreconditionFailed,
    400: StoreError,
    401: PermissionDenied,
    403: PermissionDenied,
    404: NotFound,
    405: NotSupported,
    408: Unavailable,
    409: RequestConflict,
    412: PreconditionFailed,
    429: Unavailable,
    501: NotSupported,
}
"""All others from 500 on are Unavailable."""

_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")

CREDENTIALS = (
    "set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or refer to a service account's key "
    "with secret_access_key in fedml.toml; on a node: its service account or workload identity; "
    "for a public bucket: anonymous"
)


_REMEDIES = (
    (re.compile(r"(?i)invalid jwt: token must be a short-lived|iat and exp|clock skew"), CLOCK),
    (
        re.compile(r"(?i)invalid jwt signature|account not found|account has been (?:disabled|deleted)"),
        "the service account's key is not valid any more: make a new one",
    ),
    (
        re.compile(r"(?i)reauth|invalid_grant|token has been expired"),
        "sign in again: gcloud auth application-default login",
    ),
    (re.compile(r"(?i)billing"), "enable billing for the bucket's project"),
    (
        re.compile(r"(?i)not a valid json file|was not found\.$|does not have a valid type|missing fields"),
        "correct the file that GOOGLE_APPLICATION_CREDENTIALS names: a service account's key in JSON",
    ),
)
"""What to do about what Google's libraries and servers say of credentials."""


def store_error(error: Any, *, store: str, operation: str, key: str) -> StoreError:
    """What that error means. A missing bucket is a NotFound without `key`."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", None) or _status(error)
    if isinstance(status, int) and status >= 300:
        return _of_answer(error, status, answer, store=store, operation=operation, key=key)
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = next((KINDS[name] for name in names if name in KINDS), StoreError)
    reason = " ".join(str(error).split())[:300]
    hint = {
        PermissionDenied: remedy_for(reason, _REMEDIES) or CREDENTIALS,
        Unavailable: "check the endpoint and the network, then try again",
    }.get(kind, "")
    is_passing = True
    if "SSLError" in names or "CERTIFICATE_VERIFY_FAILED" in reason:
        is_passing, hint = False, "the server's certificate isn't trusted here: set REQUESTS_CA_BUNDLE"
    found = kind(
        f"{operation} of {key or 'the bucket'} failed: {reason}", store=store, operation=operation, key=key, hint=hint
    )
    if isinstance(found, Unavailable):
        found.is_passing = is_passing
    return found


def _reason(text: str) -> str:
    """The server's own words, without the request and the JSON around them."""
    text = _REQUEST.sub("", " ".join(text.split()))
    with suppress(ForeignTextError):
        said = Members(parse_object(text, source="the answer"), source="the answer")
        text = said.members("error").text("message")
    return text[:300].rstrip(".")


def _status(error: Any) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def _of_answer(error: Any, status: int, answer: Any, *, store: str, operation: str, key: str) -> StoreError:
    kind = STATUSES.get(status, Unavailable if status >= 500 else StoreError)
    reason = _reason(str(getattr(error, "message", None) or error))
    message = f"{operation} of {key or 'the bucket'} failed: {reason} ({status})"
    hint = ""
    if kind is NotFound and (
        operation == "put" or "bucket does not exist" in reason.lower() or "NoSuchBucket" in reason
    ):
        message, key, hint = "the bucket does not exist", "", "create the bucket, or correct its name"
    elif kind is NotFound:
        message = f"no object {key}" if key else "the bucket does not exist"
    elif kind is PermissionDenied:
        hint = remedy_for(reason, _REMEDIES) or (
            CREDENTIALS if status == 401 else f"the credentials may not {operation} there: see `fedml doctor`"
        )
    elif issubclass(kind, Unavailable):
        hint = "the store asks for fewer requests: try again later" if status == 429 else "try again later"
    elif status == 400 and ("checksum" in reason.lower() or "hash" in reason.lower() or "md5" in reason.lower()):
        kind = IntegrityError
    found = kind(message, store=store, operation=operation, key=key, hint=hint)
    if isinstance(found, Unavailable):
        found.retry_after_s = retry_after_s((getattr(answer, "headers", None) or {}).get("Retry-After"))
    return found
