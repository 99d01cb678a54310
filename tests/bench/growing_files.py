"""A stand-in region whose allocations' files grow by 20 lines between two reads. One process, as `slow_regions`."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from tests.bench.json_server import JsonHandler, serve

LINES = 20
PIECE = "".join(
    f'{{"step": {step}, "loss": 0.{step:04d}, "accuracy": 0.75, "lr": 0.001}}\n' for step in range(LINES)
).encode()
_sizes: Counter[str] = Counter()


class Handler(JsonHandler):
    """`stat` and `readat` of any allocation."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        alloc_id = parts.path.rpartition("/")[2]
        if "/stat/" in parts.path:
            _sizes[alloc_id] += len(PIECE)
            body = json.dumps({"Name": "metrics.jsonl", "IsDir": False, "Size": _sizes[alloc_id]}).encode()
        else:
            body = PIECE[: int(parse_qs(parts.query)["limit"][0])]
        self.reply(200, body)


if __name__ == "__main__":
    serve(Handler)
