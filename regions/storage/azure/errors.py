"""Turns an error of Azure's libraries into a StoreError, by names and codes only: no SDK is imported.

Every exception class of azure-core and azure-storage-blob is in `KINDS` itself or by an ancestor, or carries an answer (a
test looks), so that a new one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from regions.retry_after import retry_after_s
from regions.storage.errors import (
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

KINDS: Mapping[str, type[StoreError]] = {
    # Without an answer: the connection, the body, the way there
    "ServiceRequestError": Unavailable,
    "ServiceResponseError": Unavailable,
    "DecodeError": Unavailable,
    "TooManyRedirectsError": Unavailable,
    "StreamConsumedError": Unavailable,
    "StreamClosedError": Unavailable,
    "ResponseNotReadError": Unavailable,
    "ClientAuthenticationError": PermissionDenied,
    "CredentialUnavailableError": PermissionDenied,
    "HttpResponseError": Unavailable,
    "AzureError": StoreError,
    "SerializationError": StoreError,
    "DeserializationError": Unavailable,
    # requests and urllib3, where the SDK lets them through
    "RequestException": Unavailable,
    "HTTPError": Unavailable,
}


def _names(kind: type[StoreError], names: str) -> dict[str, type[StoreError]]:
    return dict.fromkeys(names.split(), kind)


EXPIRED = "the SAS token has expired (make a new one), or this machine's clock is wrong (set it by NTP)"

CODES: Mapping[str, type[StoreError]] = {
    **_names(NotFound, "BlobNotFound ContainerNotFound ResourceNotFound"),
    **_names(PreconditionFailed, "ConditionNotMet BlobAlreadyExists TargetConditionNotMet ResourceAlreadyExists"),
    **_names(
        PermissionDenied,
        """AuthenticationFailed AuthorizationFailure AuthorizationPermissionMismatch InsufficientAccountPermissions
        AccountIsDisabled NoAuthenticationInformation PublicAccessNotPermitted InvalidAuthenticationInfo
        KeyBasedAuthenticationNotPermitted BlobImmutableDueToPolicy LeaseIdMissing""",
    ),
    **_names(IntegrityError, "Md5Mismatch Crc64Mismatch InvalidMd5 BlobHashMismatch"),
    **_names(InvalidStoreURL, "InvalidResourceName InvalidUri OutOfRangeInput"),
    **_names(NotSupported, "UnsupportedHeader FeatureVersionMismatch BlobArchived InvalidBlobType"),
    # Another upload of the same key was finished meanwhile, and took the blocks of this one with it.
    **_names(Unavailable, "InvalidBlockList ServerBusy InternalError OperationTimedOut ContainerBeingDeleted"),
}

STATUSES: Mapping[int, type[StoreError]] = {
    304: PreconditionFailed,
    401: PermissionDenied,
    403: PermissionDenied,
    404: NotFound,
    408: Unavailable,
    412: PreconditionFailed,
    429: Unavailable,
    501: NotSupported,
}
"""All others from 500 on are Unavailable."""

CREDENTIALS = (
    "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, refer to one of them with secret_access_key in fedml.toml, or "
    "install azure-identity (az login, managed identity, workload identity); for a public container: anonymous"
)


_CODE_HINTS: Mapping[str, str] = {
    "AuthorizationFailure": "the account's firewall shuts this network out, or the identity has no role on the container",
    "AuthorizationPermissionMismatch": "give the identity the role Storage Blob Data Contributor, or the SAS its permissions",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys: install azure-identity (az login, managed identity)",
    "AccountIsDisabled": "enable the storage account",
    "NoAuthenticationInformation": CREDENTIALS,
    "PublicAccessNotPermitted": "the container is not public: give credentials instead of anonymous",
    "BlobImmutableDueToPolicy": "a policy of the container keeps the object: nothing can replace it until it expires",
}
_REMEDIES = (
    (re.compile(r"(?i)date header|not valid in the specified time frame|lifetime validation|expired"), EXPIRED),
    (
        re.compile(r"(?i)mac signature|signature did not match|signature fields|base64"),
        "the key or SAS token is not this account's: correct AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or secret_access_key",
    ),
    (
        re.compile(r"(?i)resolve|name or service not known"),
        "correct the account's name in the store's URL, or the endpoint",
    ),
)
"""What to do about what Azure's libraries and servers say."""


def store_error(error: Any, *, store: str, operation: str, key: str) -> StoreError:
    """What that error means. A missing container is a NotFound without `key`."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", None)
    if isinstance(status, int) and status >= 300:
        return _of_answer(error, status, answer, store=store, operation=operation, key=key)
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = next((KINDS[name] for name in names if name in KINDS), StoreError)
    reason = " ".join(str(getattr(error, "message", None) or error).split())[:300]
    hint = remedy_for(reason, _REMEDIES) or {
        PermissionDenied: CREDENTIALS,
        Unavailable: "check the endpoint and the network, then try again",
    }.get(kind, "")
    is_passing = True
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        is_passing, hint = False, "the server's certificate isn't trusted here: set REQUESTS_CA_BUNDLE"
    found = kind(
        f"{operation} of {key or 'the container'} failed: {reason}",
        store=store,
        operation=operation,
        key=key,
        hint=hint,
    )
    if isinstance(found, Unavailable):
        found.is_passing = is_passing
    return found


def _of_answer(error: Any, status: int, answer: Any, *, store: str, operation: str, key: str) -> StoreError:
    code = getattr(error, "error_code", None) or answer.headers.get("x-ms-error-code") or ""
    code = str(getattr(code, "value", code))
    kind = CODES.get(code) or STATUSES.get(status, Unavailable if status >= 500 else StoreError)
    reason = (str(getattr(error, "reason", "") or "") or str(error)).strip().partition("\n")[0][:300].rstrip(".")
    message = f"{operation} of {key or 'the container'} failed: {reason} ({code or status})"
    hint = ""
    if code == "ContainerNotFound":
        message, key, hint = "the container does not exist", "", "create the container, or correct its name"
    elif kind is NotFound:
        message = f"no object {key}"
    elif kind is PermissionDenied:
        denied = CREDENTIALS if status == 401 else f"the credentials may not {operation} there: see `fedml doctor`"
        hint = _CODE_HINTS.get(code) or remedy_for(str(error), _REMEDIES) or denied
    elif kind is Unavailable:
        hint = "the store asks for fewer requests: try again later" if status in (429, 503) else "try again later"
    found = kind(message, store=store, operation=operation, key=key, hint=hint)
    if isinstance(found, Unavailable):
        found.retry_after_s = retry_after_s(answer.headers.get("Retry-After"))
    return found
