from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.regions.local.http.served import Api, serve
from tests.regions.local.state.builders import config


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with serve(config(tmp_path)) as served:
        yield served
