"""The page of the index over a large catalog: 100 rows with a filter, against the same query by the library in one process.
By default over 100,000 entries, with SOAK=1 over 1,000,000. Each page asks the home once, as each query does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlencode

from federation.index import Index
from tests.bench.index import BUCKET, SIZES, Home
from tests.bench.measure import Figure, at_most, ratio_of
from tests.emulators import moto
from tests.federation.web.client import Client
from tests.federation.web.served import served

ROWS = 100
BYTES_MAX = 200_000
RUNS = 15
WHERES = {
    "that few meet": "metrics.roc_auc > 0.99 and params.learning_rate in (0.1, 0.01) and region != 'us'",
    "that many meet": "metrics.roc_auc > 0.705 and params.learning_rate in (0.1, 0.01) and region != 'us'",
}


def figures(folder: Path) -> Iterator[Figure]:
    """Time and size of the page."""
    with patch.dict(os.environ, moto.CREDENTIALS), moto.moto_server() as endpoint:
        from botocore.session import Session

        Session().create_client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
        home = Home(folder, endpoint, SIZES[-1])
        index = Index(home.store, cache_dir=home.cache)
        with served(home.folder / "fedml.toml") as pages:
            client = Client(pages)
            for name, where in WHERES.items():
                address = f"/index?{urlencode({'where': where})}"

                def ours(address: str = address) -> float:
                    pages.site.shared.renew("index")
                    start_s = time.perf_counter()
                    assert client.get(address).status == 200
                    return time.perf_counter() - start_s

                def theirs(where: str = where) -> float:
                    start_s = time.perf_counter()
                    index.query(where=where, limit=ROWS)
                    return time.perf_counter() - start_s

                value, ratio = ratio_of(ours, theirs, runs=RUNS)
                rows = len(index.query(where=where, limit=ROWS))
                what = f"index page with a filter {name} ({rows} rows), {home.count:,} entries"
                yield at_most(what, value, f"Index.query(where=…, limit={ROWS})", ratio, 2)
            size = len(client.get(address).content)
            yield Figure(
                f"HTML of that page, {rows} rows", size, "B", "the goal", round(size / BYTES_MAX, 3), f"≤ {BYTES_MAX} B",
                size <= BYTES_MAX,
            )  # fmt: skip
        index.close()
