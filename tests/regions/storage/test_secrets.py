"""A planted secret in each path by which a store's credentials come in, and everything that a store says when it fails."""

from __future__ import annotations

import json
import logging
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url, store_url
from regions.storage.bucket import BucketStore
from regions.storage.errors import InvalidStoreURL, StoreError
from regions.storage.retry import Patience
from regions.storage.store import Create
from tests.emulators.fault_proxy import Answer, FaultProxy, Refused, Request, fault_proxy
from tests.regions.storage.gcs.test_store import service_account

S3 = StoreConfig("s3://bucket", location="us-east-1")
GS = StoreConfig("gs://bucket")
AZ = StoreConfig("az://account1/models")


@dataclass
class Planting:
    """Where a secret can be planted."""

    secret: str
    folder: Path
    environ: Callable[[str, str], None]
    address: str

    def file(self, text: str) -> Path:
        path = self.folder / "planted"
        path.write_text(text)
        return path


def s3_references(reference: Callable[[Planting], SecretRef]) -> Callable[[Planting], StoreConfig]:
    return lambda at: replace(S3, access_key_id=reference(at), secret_access_key=reference(at))


def by_variable(at: Planting) -> SecretRef:
    at.environ("PLANTED", at.secret)
    return SecretRef(env="PLANTED")


def s3_environment(at: Planting) -> StoreConfig:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        at.environ(name, at.secret)
    return S3


def s3_profile(at: Planting) -> StoreConfig:
    keys = f"aws_access_key_id = {at.secret}\naws_secret_access_key = {at.secret}\n"
    at.environ("AWS_CONFIG_FILE", str(at.file(f"[profile shop]\n{keys}")))
    return replace(S3, profile="shop")


def gs_garbage(at: Planting) -> StoreConfig:
    return replace(GS, secret_access_key=by_variable(at))


def gs_half_a_key(at: Planting) -> StoreConfig:
    at.environ("PLANTED", json.dumps({"type": "service_account", "private_key": at.secret}))
    return replace(GS, secret_access_key=SecretRef(env="PLANTED"))


def gs_token(at: Planting) -> StoreConfig:
    at.environ("GOOGLE_APPLICATION_CREDENTIALS", str(at.file(service_account(f"{at.address}/token"))))
    return GS


def az_key(at: Planting) -> StoreConfig:
    at.environ("AZURE_STORAGE_KEY", b64encode(at.secret.encode()).decode())
    return AZ


def az_no_key(at: Planting) -> StoreConfig:
    return replace(AZ, secret_access_key=by_variable(at))


def az_sas(at: Planting) -> StoreConfig:
    at.environ("AZURE_STORAGE_SAS_TOKEN", f"?sv=2024-01-01&sr=c&sp=r&sig={at.secret}")
    return AZ


PATHS: dict[str, Callable[[Planting], StoreConfig]] = {
    "s3 by variable": s3_references(by_variable),
    "s3 by file": s3_references(lambda at: SecretRef(file=at.file(at.secret))),
    "s3 by command": s3_references(lambda at: SecretRef(command=("cat", str(at.file(at.secret))))),
    "s3 environment": s3_environment,
    "s3 profile": s3_profile,
    "gs no key": gs_garbage,
    "gs half a key": gs_half_a_key,
    "gs token": gs_token,
    "az key": az_key,
    "az no key": az_no_key,
    "az sas": az_sas,
}


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with fault_proxy("http://127.0.0.1:1") as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", [Answer(403), Answer(200), Refused()], ids=str)
def test_no_secret_is_in_what_a_store_says(
    path: str,
    fault: Answer | Refused,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    secret = f"planted{secrets.token_hex(12)}"
    encoded = b64encode(secret.encode()).decode()

    def answer(request: Request) -> Answer | None:
        if request.path == "/token":
            token = json.dumps({"access_token": secret, "expires_in": 3600, "token_type": "Bearer"})
            return Answer(200, {"Content-Type": "application/json"}, token.encode())
        return fault if isinstance(fault, Answer) else None

    proxy.instead = answer
    proxy.suffer(*[Refused()] * 100)
    config = replace(PATHS[path](Planting(secret, tmp_path, monkeypatch.setenv, proxy.address)), endpoint=proxy.address)
    said = [repr(config), str(config), store_url(config)]
    store = open_store(config)
    assert isinstance(store, BucketStore)
    store.patience = Patience(tries=2, first_wait_s=0.001)
    said += [repr(store), str(store), store.url, store.url_of("key")]
    uses: list[Callable[[], object]] = [
        lambda: store.put("key", b"x", Create()),
        lambda: store.get("key"),
        lambda: list(store.list()),
        lambda: store.delete("key"),
    ]
    failures = 0
    with caplog.at_level(logging.INFO):
        for use in uses:
            try:
                use()
            except StoreError as error:
                failures += 1
                said += [str(error), repr(error), error.message, error.hint, repr(vars(error))]
    assert failures
    written = capfd.readouterr()
    said += [caplog.text, written.out, written.err]
    assert [text for text in said if secret in text or encoded in text] == []


@pytest.mark.parametrize(
    "url",
    [
        "s3://me:{}@bucket/x",
        "s3://{}@bucket",
        "s3://bucket?secret_access_key={}",
        "s3://bucket?endpoint=http://me:{}@127.0.0.1:9",
        "az://account1/models?sig={}",
        "gs://bucket?anonymous={}",
    ],
)
def test_no_secret_of_a_url_is_repeated(url: str) -> None:
    secret = f"planted{secrets.token_hex(12)}"
    with pytest.raises(InvalidStoreURL) as caught:
        parse_store_url(url.format(secret))
    assert secret not in str(caught.value) + caught.value.hint + repr(vars(caught.value))
