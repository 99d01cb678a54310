"""The emulators that these tests use."""

from tests.emulators.fixtures import (
    aws_credentials,
    azure_config,
    azurite_endpoint,
    file_config,
    gcs_config,
    gcs_endpoint,
    moto_endpoint,
    rclone_config,
    s3_config,
    s3rver_config,
    seaweed_config,
    seaweed_endpoint,
)

__all__ = [
    "aws_credentials",
    "azure_config",
    "azurite_endpoint",
    "file_config",
    "gcs_config",
    "gcs_endpoint",
    "moto_endpoint",
    "rclone_config",
    "s3_config",
    "s3rver_config",
    "seaweed_config",
    "seaweed_endpoint",
]
