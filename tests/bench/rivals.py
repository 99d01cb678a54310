"""What people use instead of `fedml dispatch`: python-nomad, as its README shows it and with pooled connections.

`python -m tests.bench.rivals pooled|loop SLOTS ADDRESS …` dispatches the job `bench` by turns to these regions, waits until all
children are dead, and prints one JSON object: seconds from its start, and CPU seconds.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import nomad  # noqa: TID253 - it is what is measured
import requests

STARTED_S = time.time()
THREADS = 32
POLL_S = 0.5
JOB = "bench"


class Pooled:
    """A client a thread and region, each with its kept-alive connection."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._own = threading.local()

    def dispatch(self, number: int) -> tuple[str, str]:
        """(address, child)."""
        address = self._addresses[number % len(self._addresses)]
        clients = self._own.__dict__.setdefault("clients", {})
        if address not in clients:
            clients[address] = client(address, requests.Session())
        return address, clients[address].job.dispatch_job(JOB, meta={})["DispatchedJobID"]


def client(address: str, session: requests.Session | None = None) -> nomad.Nomad:
    host, _, port = address.removeprefix("http://").partition(":")
    return nomad.Nomad(host=host, port=int(port), timeout=60, session=session)


def pooled(slots: int, addresses: list[str]) -> list[tuple[str, str]]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(Pooled(addresses).dispatch, range(slots)))


def loop(slots: int, addresses: list[str]) -> list[tuple[str, str]]:
    clients = {address: client(address) for address in addresses}
    turns = [addresses[number % len(addresses)] for number in range(slots)]
    return [(address, clients[address].job.dispatch_job(JOB, meta={})["DispatchedJobID"]) for address in turns]


def wait_until_dead(children: list[tuple[str, str]]) -> None:
    """Asks for the list of jobs, as a script would."""
    left = {address: {child for at, child in children if at == address} for address, _ in children}
    while left:
        for address in list(left):
            stubs = client(address).jobs.get_jobs(prefix=f"{JOB}/dispatch-")
            left[address] -= {stub["ID"] for stub in stubs if stub["Status"] == "dead"}
            if not left[address]:
                del left[address]
        if left:
            time.sleep(POLL_S)


def main() -> None:
    way, slots, addresses = {"pooled": pooled, "loop": loop}[sys.argv[1]], int(sys.argv[2]), sys.argv[3:]
    children = way(slots, addresses)
    dispatched_s = time.time() - STARTED_S
    wait_until_dead(children)
    cpu_s = sum(os.times()[:2])
    print(json.dumps({"dispatched_s": dispatched_s, "over_s": time.time() - STARTED_S, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
