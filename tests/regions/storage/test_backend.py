"""Descriptions of backends: found by their folders, complete, and light to load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from regions.storage import open_store, parse_store_url
from regions.storage.backend import Backend, backend_of, backends, is_folder, own_backends


@pytest.mark.parametrize("backend", own_backends().values(), ids=own_backends())
def test_its_example_is_a_url_of_it(backend: Backend) -> None:
    config = parse_store_url(backend.example)
    assert config.url == backend.example
    assert backend_of(config.url) is backend
    assert type(open_store(config)).__module__ == backend.module


@pytest.mark.parametrize("backend", own_backends().values(), ids=own_backends())
def test_what_a_bucket_needs_is_said(backend: Backend) -> None:
    """A folder has neither rights of its own nor settings; every bucket has both."""
    assert backend.is_folder is is_folder(backend.example)
    assert (backend.policy is None) is backend.is_folder
    assert bool(backend.create_right and backend.read_right) is not backend.is_folder
    assert backend.node_packages is not None
    assert backend.title


def test_a_scheme_without_a_backend_counts_as_a_bucket_that_cannot_be_opened() -> None:
    backend = backend_of("elsewhere://bucket/x")
    assert (backend.store, backend.place_segments, backend.policy) == ("", 1, None)
    assert backend not in backends()
    assert parse_store_url("elsewhere://bucket/x/").url == "elsewhere://bucket/x"


def test_descriptions_load_neither_stores_nor_sdks() -> None:
    script = (
        "import json, sys\n"
        "from regions.storage import parse_store_url\n"
        "from regions.storage.backend import backends\n"
        "[parse_store_url(backend.example) for backend in backends()]\n"
        "heavy = ('botocore', 'boto3', 'google', 'azure', 'requests', 'urllib3')\n"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in heavy or m.endswith('.store')]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["regions.storage.store"]
