"""Turns an error of botocore into a StoreError, by names and codes only: no SDK is imported.

Every class of `botocore.exceptions` is in `KINDS` itself or by an ancestor (a test looks), so that a new one is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
)
from regions.storage.retry import RequestConflict


def _names(kind: type[StoreError], names: str) -> dict[str, type[StoreError]]:
    return dict.fromkeys(names.split(), kind)


KINDS: Mapping[str, type[StoreError]] = {
    **_names(
        PermissionDenied,
        """NoCredentialsError PartialCredentialsError CredentialRetrievalError NoAuthTokenError TokenRetrievalError
        SSOError LoginError ProfileNotFound UnknownCredentialError RefreshWithMFAUnsupportedError
        UnknownTokenProviderError MetadataRetrievalError InvalidIMDSEndpointError InvalidIMDSEndpointModeError""",
    ),
    **_names(
        Unavailable,
        """ConnectionError HTTPClientError IncompleteReadError CapacityNotAvailableError WaiterError ResponseParserError
        HTTPError AwsChunkedWrapperError UnseekableStreamError PaginationError""",
    ),
    **_names(IntegrityError, "ChecksumError FlexibleChecksumError"),
    **_names(
        InvalidStoreURL,
        """ParamValidationError ValidationError EndpointProviderError BaseEndpointResolverError InvalidDNSNameError
        InvalidHostLabelError InvalidEndpointConfigurationError UnknownRegionError ServiceNotInRegionError
        UnsupportedS3ArnError UnsupportedS3ControlArnError UnsupportedS3AccesspointConfigurationError
        UnsupportedOutpostResourceError MissingParametersError""",
    ),
    **_names(
        StoreError,
        """ApiVersionNotFoundError ConfigNotFound ConfigParseError DataNotFoundError InvalidChecksumConfigError
        InvalidConfigError InvalidDefaultsMode InvalidEndpointDiscoveryConfigurationError InvalidExpressionError
        InvalidProxiesConfigError InvalidRetryConfigurationError InvalidS3AddressingStyleError
        InvalidS3UsEast1RegionalEndpointConfigError InvalidSTSRegionalEndpointsConfigError MD5UnavailableError
        MissingDependencyException OperationNotPageableError StubResponseError UndefinedModelAttributeError
        UnknownClientMethodError UnknownServiceStyle UnknownSignatureVersionError UnsupportedS3ConfigurationError
        UnsupportedS3ControlConfigurationError UnsupportedServiceProtocolsError UnsupportedSignatureVersionError
        WaiterConfigError""",
    ),
}

_KIND_HINTS: Mapping[str, str] = {
    "ProfileNotFound": "correct profile in fedml.toml or AWS_PROFILE: `aws configure list-profiles` shows what there is",
    "PartialCredentialsError": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "TokenRetrievalError": "the credentials have expired: renew them (aws sso login)",
    "SSOError": "the credentials have expired: renew them (aws sso login)",
    "ConfigParseError": "correct the file that AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE names (~/.aws)",
}
_HINTS: Mapping[type[StoreError], str] = {
    PermissionDenied: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or access_key_id/secret_access_key "
    "references in fedml.toml; on a node: its instance role or workload identity; for a public bucket: anonymous",
    Unavailable: "check the endpoint and the network, then try again",
    InvalidStoreURL: "check bucket, location and endpoint of the store",
    StoreError: "check the AWS configuration (environment, ~/.aws/config)",
}

CODES: Mapping[str, type[StoreError]] = {
    **_names(NotFound, "NoSuchKey NoSuchBucket NoSuchUpload NotFound 404"),
    **_names(PreconditionFailed, "PreconditionFailed 412 304"),
    **_names(RequestConflict, "ConditionalRequestConflict OperationAborted 409"),
    **_names(NotSupported, "NotImplemented 501 MethodNotAllowed 405"),
    **_names(InvalidStoreURL, "KeyTooLongError InvalidBucketName InvalidURI"),
    **_names(IntegrityError, "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch"),
    **_names(
        PermissionDenied,
        """AccessDenied AllAccessDisabled AccountProblem InvalidAccessKeyId SignatureDoesNotMatch ExpiredToken
        InvalidToken TokenRefreshRequired InvalidSecurity 401 403""",
    ),
    **_names(
        Unavailable,
        """SlowDown ServiceUnavailable InternalError RequestTimeout Throttling ThrottlingException
        RequestLimitExceeded TooManyRequests 429 500 502 503 504""",
    ),
}

_CODE_HINTS: Mapping[str, str] = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "RequestTimeTooSkewed": CLOCK,
    "RequestExpired": CLOCK,
    "PermanentRedirect": "the bucket is in another region: set location",
    "301": "the bucket is in another region: set location",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set location",
    "NotImplemented": "this server lacks conditional writes; see `fedml stores check`",
    "SlowDown": "the store asks for fewer requests: try again later",
    "InvalidAccessKeyId": "the store does not know this access key: correct access_key_id (AWS_ACCESS_KEY_ID), or the endpoint",
    "SignatureDoesNotMatch": "the secret key is not that of the access key: correct secret_access_key (AWS_SECRET_ACCESS_KEY)",
    "ExpiredToken": "the credentials have expired: renew them (aws sso login)",
    "TokenRefreshRequired": "the credentials have expired: renew them (aws sso login)",
    "InvalidToken": "the session token is not valid: renew it with its keys, or unset AWS_SESSION_TOKEN",
    "AccountProblem": "ask the provider about the account",
    "AllAccessDisabled": "ask the provider about the bucket",
    "InvalidBucketName": "correct the bucket's name in the store's URL",
    "IllegalLocationConstraintException": "the bucket is in another region: set location",
    "400": "a request without an answer's text was refused: the credentials may have expired, or the bucket is elsewhere",
}


def store_error(error: Exception, *, store: str, operation: str, key: str) -> StoreError:
    """What that error of boto3's means. A missing bucket is a NotFound without `key`."""
    answer: Any = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        return _of_answer(answer, store=store, operation=operation, key=key)
    kind = next((KINDS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in KINDS), StoreError)
    reason = " ".join(str(error).split())[:300]
    hint = next(
        (_KIND_HINTS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in _KIND_HINTS), _HINTS.get(kind, "")
    )
    is_passing = True
    if "SSL" in type(error).__name__:
        is_passing, hint = False, "the server's certificate isn't trusted here: set AWS_CA_BUNDLE"
    elif isinstance(getattr(error, "kwargs", {}).get("error"), (FileNotFoundError, PermissionError, IsADirectoryError)):
        is_passing, hint = False, "check the file that AWS_CA_BUNDLE names"
    if type(error).__name__ == "ResponseParserError":
        is_passing, reason = False, "what answers there doesn't speak S3"
    message = f"{operation} of {key or 'the bucket'} failed: {reason}"
    found = kind(message, store=store, operation=operation, key=key, hint=hint)
    if isinstance(found, Unavailable):
        found.is_passing = is_passing
    return found


def _of_answer(answer: Mapping[str, Any], *, store: str, operation: str, key: str) -> StoreError:
    code = str(answer["Error"].get("Code", ""))
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    kind = CODES.get(code) or CODES.get(status, StoreError)
    reason = str(answer["Error"].get("Message") or f"the store answered {status}").rstrip(".")
    message = f"{operation} of {key or 'the bucket'} failed: {reason} ({code or status})"
    hint = _CODE_HINTS.get(code, "")
    if code == "NoSuchBucket":
        message, key = "the bucket does not exist", ""
    elif kind is NotFound:
        message = f"no object {key}"
    elif kind is Unavailable and not hint:
        hint = _HINTS[Unavailable]
    elif kind is PermissionDenied and not hint:
        hint = f"the credentials may not {operation} there: see `fedml doctor`"
    found = kind(message, store=store, operation=operation, key=key, hint=hint)
    if isinstance(found, Unavailable):
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        found.retry_after_s = retry_after_s(headers.get("retry-after"))
    return found
