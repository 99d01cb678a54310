"""Description of Azure Blob Storage."""

from __future__ import annotations

from regions.storage.azure.account import split_account
from regions.storage.azure.policy import BLOBS, policy
from regions.storage.backend import Backend, LocalServer, PolicyForm
from regions.storage.url import joined_url

BACKEND = Backend(
    scheme="az",
    store="regions.storage.azure.store:AzureStore",
    title="Azure Blob Storage",
    example="az://account/container/prefix",
    normalized=lambda url: joined_url(url, *split_account(url)),
    parameters=("endpoint", "anonymous"),
    place_segments=2,
    elsewhere=(
        (r"https://([a-z0-9]+)\.blob\.core\.windows\.net/([^?#]+)", r"az://\1/\2"),
        (
            r"(?:abfss?|wasbs?)://([a-z0-9-]+)@([a-z0-9]+)\.(?:dfs|blob)\.core\.windows\.net/?([^?#]*)",
            r"az://\2/\1/\3",
        ),
        (r"(?:azure|azblob|abs)://([^?#]+)", r"az://\1"),
    ),
    credential_names=("AZURE_STORAGE_KEY",),
    create_right=f"{BLOBS}/add/action and {BLOBS}/write",
    read_right=f"{BLOBS}/read",
    policy=PolicyForm("azure", "a custom role (az role definition create) and its assignment's condition", policy),
    node_packages=("azure-storage-blob",),
    needs_cryptography=True,
    local_server=LocalServer("azure"),
)
