"""Description of folders as stores."""

from __future__ import annotations

from regions.storage.backend import Backend
from regions.storage.url import folder_of, folder_url

BACKEND = Backend(
    scheme="file",
    store="regions.storage.file.store:FileStore",
    title="a folder",
    example="file:///absolute/folder",
    normalized=lambda url: folder_url(folder_of(url)),
    parameters=(),
    place_segments=None,
    is_folder=True,
    node_packages=(),
)
