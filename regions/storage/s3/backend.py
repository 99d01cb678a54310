"""Description of S3, and of servers that speak it."""

from __future__ import annotations

from urllib.parse import quote

from regions.storage.backend import Backend, LocalServer, PolicyForm
from regions.storage.bucket_rules import Kind
from regions.storage.s3.policy import joined_policy, policy
from regions.storage.url import split_bucket
from regions.store_config import StoreConfig


def artifact_url(config: StoreConfig, key: str) -> str:
    """The URL of an object for Nomad's getter: by path, since it reads the region from the server's name."""
    bucket, prefix = split_bucket(config.url)
    path = quote("/".join(filter(None, (bucket, prefix, key))))
    if config.endpoint:
        return f"s3::{config.endpoint.rstrip('/')}/{path}" + (f"?region={config.location}" if config.location else "")
    return f"s3::https://s3{f'-{config.location}' if config.location else ''}.amazonaws.com/{path}"


BACKEND = Backend(
    scheme="s3",
    store="regions.storage.s3.store:S3Store",
    title="S3",
    example="s3://bucket/prefix",
    elsewhere=(
        (r"https://([A-Za-z0-9.-]+)\.s3[.-][a-z0-9.-]*amazonaws\.com/?([^?#]*)", r"s3://\1/\2"),
        (r"s3[an]://([^?#]+)", r"s3://\1"),
    ),
    credential_names=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    create_right="s3:PutObject",
    read_right="s3:GetObject",
    objects_below="arn:aws:s3:::{place}/artifacts/* and …/results/*",
    rule_rights={
        Kind.LIFECYCLE: "s3:GetLifecycleConfiguration",
        Kind.LOCK: "s3:GetBucketObjectLockConfiguration",
        Kind.VERSIONS: "s3:GetBucketVersioning",
    },
    policy=PolicyForm("aws", "an IAM policy for the role's identity", policy, joined_policy),
    node_packages=("botocore",),
    artifact_url=artifact_url,
    local_server=LocalServer("s3", location="us-east-1"),
)
