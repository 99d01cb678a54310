"""Fixtures of the emulators, for any conftest to import: a moto for the session, credentials for it, a fresh bucket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from regions.model import StoreConfig
from tests.emulators import moto
from tests.emulators.requirements import missing


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    if not moto.is_installed():
        missing("s3", "moto[server] is not installed")
    with moto.moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in moto.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def s3_config(moto_endpoint: str, aws_credentials: None) -> StoreConfig:
    import boto3

    bucket = f"fedml-{secrets.token_hex(6)}"
    boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return StoreConfig(url=f"s3://{bucket}/some/prefix", endpoint=moto_endpoint, location="us-east-1")
