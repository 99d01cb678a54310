"""The emulators that these tests use."""

from tests.emulators.fixtures import aws_credentials, moto_endpoint, s3_config

__all__ = ["aws_credentials", "moto_endpoint", "s3_config"]
