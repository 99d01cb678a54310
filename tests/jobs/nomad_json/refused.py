"""Jobs that a server refuses, and neighbours that it accepts, with what each reference version answered.

`record` asks the real servers: `NOMAD_BIN=/path/to/nomad .venv/bin/python -m tests.jobs.nomad_json.refused`. It starts one
server for each binary and writes `refused.json`: name → version → the errors of `/v1/validate/job`, none for a job that is
accepted. Registering must give the same answer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.jobs.nomad_json.refused_case import Case
from tests.jobs.nomad_json.refused_groups import groups, networks
from tests.jobs.nomad_json.refused_jobs import comparisons, golden, job_fields, periodics
from tests.jobs.nomad_json.refused_services import services
from tests.jobs.nomad_json.refused_tasks import tasks

RECORDED = Path(__file__).with_name("refused.json")


CASES = {
    case.name: case
    for kind in (job_fields, comparisons, groups, networks, tasks, services, periodics, golden)
    for case in kind()
}


def comparable(errors: list[str] | str) -> list[str]:
    """The errors without the order of a Go map, which differs from call to call. A text is that of a mutator, which
    stops before the other rules are looked at."""
    if isinstance(errors, str):
        return [errors.partition("connect: ")[2]]
    return [re.sub(r"\[(\w+ )+\w+\]", lambda names: str(sorted(names[0][1:-1].split())), error) for error in errors]


@contextmanager
def server(binary: str) -> Iterator[str]:
    """Starts one server and yields its address."""
    ports = []
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "agent.json")
        agent = {"data_dir": folder, "bind_addr": "127.0.0.1", "disable_update_check": True, "log_level": "ERROR"}
        listening = dict(zip(("http", "rpc", "serf"), ports, strict=True))
        agent |= {"ports": listening, "advertise": {name: f"127.0.0.1:{port}" for name, port in listening.items()}}
        config.write_text(json.dumps(agent | {"server": {"enabled": True, "bootstrap_expect": 1}}), encoding="utf-8")
        process = subprocess.Popen([binary, "agent", f"-config={config}"], stdout=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{ports[0]}"
            while not asked(f"{address}/v1/status/leader", None)[1]:
                assert process.poll() is None, f"{binary} ended"
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def asked(address: str, body: object, method: str = "PUT") -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, method="GET" if body is None else method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, ValueError):
        return 0, ""


def answers(address: str, case: Case) -> list[str] | str:
    """Asks a server to validate and to register the job. Returns the errors, or the text of one that stops it."""
    job = case.job | {"Region": None}
    status, reply = asked(f"{address}/v1/validate/job", {"Job": job})
    errors = reply if status != 200 else reply["ValidationErrors"] or []
    registered, text = asked(f"{address}/v1/jobs", {"Job": job})
    if (registered == 200) != (errors == []):
        print(f"{case.name}: validated {errors!r}, registered {registered} {text!r}", file=sys.stderr)
    asked(f"{address}/v1/job/{quote(case.job['ID'], safe='')}?purge=true", {}, "DELETE")
    return errors


def answers_of(binary: str) -> tuple[str, dict[str, list[str] | str]]:
    """Returns the version of a binary and what its server answers to each case."""
    version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.split()[1][1:]
    with server(binary) as address:
        return version, {name: answers(address, case) for name, case in CASES.items()}


def record(binaries: list[str]) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    recorded = {name: recorded.get(name, {}) for name in CASES}
    for version, of_version in map(answers_of, binaries):
        for name, answer in of_version.items():
            recorded[name][version] = answer
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(os.environ["NOMAD_BIN"].split(os.pathsep))
