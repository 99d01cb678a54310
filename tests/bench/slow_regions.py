"""Regions that are far away, for measuring: one HTTP server, which answers for region `rN` as Nomad would, after its delay.

Run as a process of its own, so that its work isn't that of the program that is measured. Prints its port, and ends when its
standard input does.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.bench.json_server import JsonHandler, serve

DELAY_MIN_S = 0.04
DELAY_STEP_S = 0.002

NODE = {
    "ID": "11111111-0000-4000-8000-000000000000",
    "Name": "n1",
    "Datacenter": "dc1",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Drivers": {"raw_exec": {"Detected": True, "Healthy": True}},
    "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 8192}},
}


def answer(path: str, region: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and JSON."""
    if path.endswith("/agent/members"):
        tags = {"region": region, "build": "1.6.3", "role": "nomad"}
        return 200, {"Members": [{"Name": f"s.{region}", "Status": "alive", "Tags": tags}]}
    if path.endswith("/nodes"):
        return 200, [NODE]
    if path.endswith("/evaluations"):
        return 200, []
    if path.endswith("/plan"):
        if body.get("Diff"):
            return 200, {"JobModifyIndex": 0, "Diff": {"Type": "Added"}, "FailedTGAllocs": None}
        group, asked = body["Job"]["TaskGroups"][0]["Name"], body["Job"]["TaskGroups"][0]["Count"]
        failed = {group: {"CoalescedFailures": asked - 9, "NodesEvaluated": 1, "NodesExhausted": 1}}
        return 200, {"JobModifyIndex": 0, "FailedTGAllocs": failed}
    return 404, "job not found"


class Handler(JsonHandler):
    """Each region answers after its own delay."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        region = parse_qs(parts.query).get("region", ["r0"])[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        status, told = answer(parts.path, region, body)
        text = told.encode() if isinstance(told, str) else json.dumps(told).encode()
        time.sleep(DELAY_MIN_S + int(region[1:]) * DELAY_STEP_S)
        self.reply(status, text, X_Nomad_Index="1")

    do_PUT = do_POST = do_GET


if __name__ == "__main__":
    serve(Handler)
