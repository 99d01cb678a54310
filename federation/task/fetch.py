"""Brings the code of a dispatch from the datacenter's own store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from federation.code.unpack import fetch_code
from federation.errors import CodeError
from federation.publish.task_identity import allocation_of
from federation.task.task_environment import meta, needed
from jobs.code_run import CODE_FOLDER, CODE_KEY
from regions.storage import open_store, parse_store_url


def fetch(environ: Mapping[str, str]) -> int:
    """Unpacks the verified code into the folder `code` of the allocation and returns the exit code 0.

    Raises FedmlError if it can't be had, isn't what its hash says, or would leave its folder. Then there is no code folder.
    """
    sha256 = meta(environ, CODE_KEY)
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise CodeError(f"meta {CODE_KEY} is {sha256[:80]!a}, not a sha256", hint="dispatch it with `fedml run`")
    folder = Path(needed(environ, "NOMAD_ALLOC_DIR")) / CODE_FOLDER
    allocation = allocation_of(environ, node=os.uname().nodename)
    fetch_code(open_store(parse_store_url(allocation.store_url)), sha256, folder)
    return 0
