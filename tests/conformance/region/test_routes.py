"""Every route of Nomad's API with every method, and requests about files: status and text are those that real Nomad gave.

What real Nomad said is recorded beside this file. The embedded region may instead refuse by name what its table of refused
paths has. To record anew: FEDML_RECORD=1 with the real binaries in NOMAD_BIN.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from regions.local.http.refused import NOT_SUPPORTED
from tests.conformance.conftest import Federation, Guarded
from tests.conformance.region.recorded import FOLDER, IS_RECORDING, plain, shape

NOBODY = "11111111-1111-1111-1111-111111111111"
REFUSED = "is not supported by this development engine"
PATHS = (FOLDER / "paths.txt").read_text().split()
METHODS: tuple[tuple[str, Any], ...] = (
    ("GET", None), ("PUT", None), ("PUT", {}), ("POST", {}), ("DELETE", None), ("PATCH", {}),
)  # fmt: skip
SHAPED = ("/v1/nodes", "/v1/node/pool", "/v1/evaluations/count", "/v1/job/routes/services", "/v1/allocation/ALLOC/")
"""Paths whose fields are recorded as well. Other tests compare the rest."""
SCRIPT = r"""
echo out; echo err >&2; cd $NOMAD_TASK_DIR
printf 'abc\000\377' > binary; printf 0123456789 > digits; : > empty; printf '<html>' > page.html; printf '{}' > a.json
mkdir -p folder/inner; ln -s digits link; ln -s link/x broken; ln -s loop loop
"""
JOB: dict[str, Any] = {
    "ID": "routes",
    "Name": "routes",
    "Type": "batch",
    "Datacenters": ["us-east-1"],
    "TaskGroups": [
        {
            "Name": "g",
            "RestartPolicy": {"Attempts": 0},
            "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
            "EphemeralDisk": {"SizeMB": 10},
            "Tasks": [
                {
                    "Name": "main",
                    "Driver": "raw_exec",
                    "Config": {"command": "/bin/sh", "args": ["-c", SCRIPT]},
                    "Resources": {"CPU": 20, "MemoryMB": 10},
                    "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1},
                }
            ],
        }
    ],
}


def _renamed(name: str, **fields: Any) -> dict[str, Any]:
    return {**deepcopy(JOB), "ID": name, "Name": name, **fields}


def _waiting() -> dict[str, Any]:
    """A job whose prestart task runs, so that its main task hasn't begun."""
    made = _renamed("waiting")
    (main,) = made["TaskGroups"][0]["Tasks"]
    main["Config"]["args"] = ["-c", "echo begun; exec sleep 600"]
    made["TaskGroups"][0]["Tasks"] = [
        {**deepcopy(main), "Name": "before", "Lifecycle": {"Hook": "prestart", "Sidecar": False}},
        main,
    ]
    return made


@pytest.fixture(scope="module")
def scene(guarded: Guarded) -> tuple[Federation, dict[str, str]]:
    """The region with a job that ended, one that waits and a parent, and the IDs that paths name by a word."""
    asked = Federation("", {}, {"us": guarded.address}, guarded.token)
    asked.wait("/v1/nodes", lambda found: [one["Status"] for one in found] == ["ready"])
    for job in (JOB, _waiting(), _renamed("parent", ParameterizedJob={"Payload": "optional"})):
        assert asked.raw("PUT", "/v1/jobs", body={"Job": job})[0] == 200
    (ended,) = asked.wait_for_allocations(
        "routes", lambda found: found and {one["ClientStatus"] for one in found} == {"complete"}
    )
    (waits,) = asked.wait_for_allocations(
        "waiting",
        lambda found: found and ((found[0]["TaskStates"] or {}).get("before") or {}).get("State") == "running",
    )
    return asked, {"ALLOC": ended["ID"], "EVAL": ended["EvalID"], "NODE": ended["NodeID"], "WAITER": waits["ID"]}


def _routes() -> Iterator[tuple[str, str, Any]]:
    named = {path.replace("*", NOBODY) for path in NOT_SUPPORTED} - {"/v1/operator/snapshot", "/v1/acl/bootstrap"}
    paths = [path.replace("NOBODY", NOBODY) for path in PATHS]
    for method, body in METHODS:
        for path in (*paths, *sorted(named - set(paths))):
            is_kept = "WAITER" in path or path.startswith("/v1/node/NODE")
            is_changed = method == "DELETE" and path.startswith(("/v1/job/routes", "/v1/job/waiting"))
            is_left_out = path.startswith(
                ("/v1/agent/monitor", "/v1/agent/pprof", "/v1/agent/host", "/v1/acl/token/onetime")
            )
            if not (is_changed or is_left_out or (is_kept and method != "GET") or path == "/v1/client/gc"):
                yield method, path, body


def _files() -> Iterator[tuple[str, str, Any]]:
    places = (
        "/", "", "main/local", "main/local/digits", "main/local/binary", "main/local/empty", "main/local/folder",
        "main/local/link", "main/local/broken", "main/local/loop", "main/local/page.html", "main/local/a.json", "nothing",
        "../..", "../../../etc/passwd", "/etc/passwd", "main/secrets/x", "main/private/x", "main/local/digits/x", "a\0b",
        "./main//local/./digits", "x" * 300, "é", "alloc/data",
    )  # fmt: skip
    for alloc in ("ALLOC", NOBODY, "x", ""):
        for verb in ("ls", "stat", "cat", "readat", "stream", "logs", "nope"):
            yield "GET", f"{verb}/{alloc}", None
    for place in places:
        for verb, more in (
            ("ls", ""),
            ("stat", ""),
            ("cat", ""),
            ("readat", "&offset=0&limit=5"),
            ("stream", "&follow=false"),
        ):
            yield "GET", f"{verb}/ALLOC?path={quote(place)}{more}", None
    for offset in ("", "0", "3", "10", "11", "-1", "x", "1.5", "9" * 30, "%2B1", "0x1", "1_0"):
        for limit in ("", "0", "3", "100", "-1", "x", "9" * 30):
            yield "GET", f"readat/ALLOC?path=main/local/digits&offset={offset}&limit={limit}", None
        for origin in ("", "start", "end", "middle"):
            yield "GET", f"stream/ALLOC?path=main/local/digits&offset={offset}&origin={origin}&follow=false", None
            for flag in ("", "true"):
                yield "GET", f"logs/ALLOC?task=main&type=stdout&offset={offset}&origin={origin}&plain={flag}", None
    for query in (
        "task=main", "task=main&type=x", "task=&type=stdout", "task=nobody&type=stdout", "task=main&type=stdout&follow=x",
        "task=main&type=stdout&plain=x", "task=../main&type=stdout", "task=main&type=stdout&origin=x&offset=x",
        "task=main&origin=x", "task=nobody&type=x",
    ):  # fmt: skip
        for alloc in ("ALLOC", "WAITER", NOBODY):
            yield "GET", f"logs/{alloc}?{query}", None
    yield "GET", "logs/ALLOC?task=main&type=stderr&plain=true", None
    yield "GET", "logs/WAITER?task=main&type=stdout", None
    for query in ("follow=x", "offset=x&follow=x", "origin=x&offset=x", "follow=f"):
        yield "GET", f"stream/ALLOC?path=main/local/digits&{query}", None
    for verb in ("ls", "stat", "cat", "readat", "stream", "logs"):
        for method in ("PUT", "POST", "DELETE"):
            query = "path=main/local/digits&offset=0&limit=3&follow=false&task=main&type=stdout"
            yield method, f"{verb}/ALLOC?{query}", None


def _answer(asked: Federation, names: dict[str, str], method: str, path: str, body: Any) -> tuple[int, str, str]:
    """Status, type and text. Redirections aren't followed."""
    for word, name in names.items():
        path = path.replace(word, name)
    place = urlsplit(asked.addresses["us"])
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"X-Nomad-Token": asked.token})
    response = connection.getresponse()
    text = response.read().decode(errors="backslashreplace")
    connection.close()
    for word, name in names.items():
        text = text.replace(name, word)
    return response.status, response.headers.get("Content-Type", ""), re.sub(r"/[^ :]*?/(?=ALLOC)", "<folder>/", text)


def _keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_keys(value[0])] if value else []
    return sorted(value) if isinstance(value, dict) else value


def _told(path: str, status: int, kind: str, text: str) -> Any:
    """What is recorded of an answer: its text, or of JSON its kind or its fields."""
    if status != 200 or not kind.startswith("application/json") or text[:1] not in ("{", "[", "n"):
        return plain(text)
    try:
        value = json.loads(text)
    except ValueError:
        return plain(text)
    if path.startswith("/v1/client/fs/"):
        return shape(value)
    return _keys(value) if path.startswith(SHAPED) else type(value).__name__


def _hold(scene: tuple[Federation, dict[str, str]], name: str, requests: Iterator[tuple[str, str, Any]]) -> None:
    asked, names = scene
    version = asked.get("/v1/agent/self")["config"]["Version"]
    recording = FOLDER / f"{name}-{version['Version']}.json"
    said: dict[str, Any] = {}
    for method, path, body in requests:
        status, kind, text = _answer(asked, names, method, path, body)
        said[f"{method} {path}{'' if body is None else ' {}'}"] = [status, _told(path, status, kind, text)]
    if IS_RECORDING and version["VersionMetadata"] != "embedded":
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items())
        recording.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    if not recording.exists():
        pytest.skip(f"nothing is recorded of {version['Version']}")
    real = json.loads(recording.read_text())
    assert list(real) == list(said)
    different = [
        f"{key}\n  real {real[key]}\n  here {here}" for key, here in said.items() if not _is_like(real[key], here)
    ]
    assert not different, "\n".join(different)


def _is_like(real: list[Any], here: list[Any]) -> bool:
    """Whether the answers agree, or this engine refuses by name what Nomad has."""
    is_refusal = here[0] == 501 and str(here[1]).endswith(REFUSED)
    return real == here or (is_refusal and real[0] != 405 and real != [404, ""])


def test_every_route_with_every_method(scene: tuple[Federation, dict[str, str]]) -> None:
    _hold(scene, "routes", _routes())


def test_files_of_an_allocation_and_parameters_that_mean_nothing(scene: tuple[Federation, dict[str, str]]) -> None:
    _hold(scene, "files", ((method, f"/v1/client/fs/{rest}", body) for method, rest, body in _files()))
