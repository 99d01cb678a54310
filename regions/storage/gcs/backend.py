"""Description of Google Cloud Storage."""

from __future__ import annotations

from urllib.parse import quote

from regions.storage.backend import Backend, LocalServer, PolicyForm
from regions.storage.bucket_rules import Kind
from regions.storage.gcs.bucket import split_gcs_bucket
from regions.storage.gcs.policy import policy
from regions.storage.url import joined_url
from regions.store_config import StoreConfig


def artifact_url(config: StoreConfig, key: str) -> str:
    """The URL of an object for Nomad's getter, which asks no other server than Google's."""
    bucket, prefix = split_gcs_bucket(config.url)
    path = quote("/".join(filter(None, (bucket, prefix, key))))
    return "" if config.endpoint else f"gcs::https://www.googleapis.com/storage/v1/{path}"


BACKEND = Backend(
    scheme="gs",
    store="regions.storage.gcs.store:GCSStore",
    title="Google Cloud Storage",
    example="gs://bucket/prefix",
    normalized=lambda url: joined_url(url, *split_gcs_bucket(url)),
    parameters=("endpoint", "anonymous"),
    elsewhere=(
        (r"https://storage\.(?:googleapis|cloud\.google)\.com/([^?#]+)", r"gs://\1"),
        (r"(?:gcs|google)://([^?#]+)", r"gs://\1"),
    ),
    public_endpoint="https://storage.googleapis.com",
    create_right="storage.objects.create",
    read_right="storage.objects.get",
    rule_rights=dict.fromkeys(Kind, "storage.buckets.get"),
    policy=PolicyForm(
        "gcp",
        "bindings to merge into the bucket's IAM policy (gcloud storage buckets get-iam-policy, set-iam-policy)",
        policy,
    ),
    node_packages=("google-cloud-storage",),
    artifact_url=artifact_url,
    needs_cryptography=True,
    local_server=LocalServer("gcs"),
)
