"""What an error of a store says to do fits its cause."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.azure.errors import store_error as azure_error
from regions.storage.errors import StoreError
from regions.storage.gcs.errors import store_error as gcs_error
from regions.storage.s3.errors import store_error as s3_error

WHERE = {"store": "x://bucket", "operation": "put", "key": "a"}


class ClientError(Exception):
    """As botocore's: with the answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("refused")
        self.response = answer


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}})


def named(name: str, above: str) -> Exception:
    """An error of botocore's by its own name and its ancestor's."""
    return type(name, (type(above, (Exception,), {}),), {})("text")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (refusal("SignatureDoesNotMatch", 403), "the secret key is not that of the access key"),
        (refusal("InvalidAccessKeyId", 403), "does not know this access key"),
        (refusal("ExpiredToken", 400), "have expired: renew them"),
        (refusal("TokenRefreshRequired", 400), "have expired: renew them"),
        (refusal("InvalidToken", 400), "the session token is not valid"),
        (refusal("RequestTimeTooSkewed", 403), "clock is wrong"),
        (refusal("AccessDenied", 403), "may not put there"),
        (refusal("NoSuchBucket", 404), "create the bucket"),
        (refusal("InvalidBucketName", 400), "correct the bucket's name"),
        (refusal("PermanentRedirect", 301), "set location"),
        (refusal("AuthorizationHeaderMalformed", 400), "set location"),
        (refusal("SlowDown", 503), "fewer requests"),
        (named("EndpointConnectionError", "ConnectionError"), "check the endpoint and the network"),
        (named("ProfileNotFound", "BotoCoreError"), "correct profile"),
        (named("PartialCredentialsError", "BotoCoreError"), "set both AWS_ACCESS_KEY_ID"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s3(error: Exception, remedy: str) -> None:
    assert remedy in s3_error(error, **WHERE).hint


class Refused(Exception):
    """An error of an SDK with the answer that it is about."""

    def __init__(self, status: int | None, text: str, code: str = "") -> None:
        super().__init__(text)
        self.message = self.reason = text
        if status is not None:
            self.response = SimpleNamespace(status_code=status, headers={"x-ms-error-code": code})


GoogleAuthError = type("GoogleAuthError", (Refused,), {})


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            GoogleAuthError(None, "('invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes)', {})"),
            "clock is wrong",
        ),
        (GoogleAuthError(None, "('invalid_grant: Invalid JWT Signature.', {})"), "make a new one"),
        (GoogleAuthError(None, "('invalid_grant: Bad Request', {})"), "sign in again"),
        (GoogleAuthError(None, "Reauthentication is needed. Please run `gcloud auth login`"), "sign in again"),
        (GoogleAuthError(None, "File /nonexistent was not found."), "correct the file that GOOGLE_APPLICATION"),
        (GoogleAuthError(None, "Your default credentials were not found."), "set GOOGLE_APPLICATION_CREDENTIALS"),
        (Refused(403, "a@b does not have storage.objects.create access"), "may not put there"),
        (Refused(403, "The billing account for the owning project is disabled"), "enable billing"),
        (Refused(401, "Invalid Credentials"), "set GOOGLE_APPLICATION_CREDENTIALS"),
        (Refused(404, "The specified bucket does not exist."), "create the bucket"),
        (Refused(429, "slow down"), "fewer requests"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_gcs(error: Exception, remedy: str) -> None:
    assert remedy in gcs_error(error, **WHERE).hint


ServiceRequestError = type("ServiceRequestError", (Refused,), {})


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            Refused(
                403, "Server failed to authenticate. The MAC signature found is not the same", "AuthenticationFailed"
            ),
            "is not this account's",
        ),
        (
            Refused(
                403, "Signature not valid in the specified time frame: Start [..] - Expiry", "AuthenticationFailed"
            ),
            "has expired",
        ),
        (Refused(403, "Request date header too old: '…'", "AuthenticationFailed"), "clock is wrong"),
        (Refused(403, "no", "AuthorizationFailure"), "firewall"),
        (Refused(403, "no", "AuthorizationPermissionMismatch"), "Storage Blob Data Contributor"),
        (Refused(403, "no", "KeyBasedAuthenticationNotPermitted"), "takes no keys"),
        (Refused(401, "no", "NoAuthenticationInformation"), "set AZURE_STORAGE_KEY"),
        (Refused(404, "no", "ContainerNotFound"), "create the container"),
        (ServiceRequestError(None, "Failed to resolve 'acc.blob.core.windows.net'"), "correct the account's name"),
        (ServiceRequestError(None, "Connection refused"), "check the endpoint and the network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_azure(error: Exception, remedy: str) -> None:
    assert remedy in azure_error(error, **WHERE).hint


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("gs://bucket?endpoint=https://127.0.0.1:9", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://account/container?endpoint=https://127.0.0.1:9", "REQUESTS_CA_BUNDLE"),
    ],
)
def test_a_file_of_the_environment_that_can_not_be_read(
    url: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    monkeypatch.setenv(variable, str(tmp_path if variable.startswith("GOOGLE") else tmp_path / "gone.pem"))
    with pytest.raises(StoreError) as caught:
        open_store(StoreConfig(*url.split("?endpoint="))).get("a")
    assert str(tmp_path) in caught.value.message
    assert variable in caught.value.hint
