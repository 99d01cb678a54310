"""Payload, templates, artifacts and environment, as a task finds them."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

RETRY_ONCE = {"Attempts": 1, "Interval": 60_000_000_000, "Delay": 1_000_000, "Mode": "fail"}


def read(bench: Any, update: dict[str, Any], path: str) -> str:
    return str((bench.client.alloc_dir(update["ID"]) / path).read_text())


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append((self.path, self.headers.get("X-Token", "")))
        found = self.path.startswith("/tool")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"tool\n" if found else b"no")

    def log_message(self, *_: Any) -> None:
        pass


asked: list[tuple[str, str]] = []


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_environment_is_nomads(bench: Any) -> None:
    task = bench.shell(
        "a", "env", Meta={"task-key": "t"}, Env={"A": "${NOMAD_META_group}/${meta.rack}/${nope}", "COLOUR": "red"}
    )
    job = bench.job(
        task,
        Name="nice name",
        ParentID="parent",
        Dispatched=True,
        ParameterizedJob={"MetaOptional": ["opt"]},
        Meta={"group": "job's"},
        group={"Meta": {"group": "group's"}},
    )
    update = bench.run(job)
    log = read(bench, update, "alloc/logs/a.stdout.0").splitlines()
    env = dict(line.partition("=")[::2] for line in log)
    folder = bench.client.alloc_dir(update["ID"])
    assert {k: v for k, v in env.items() if k.startswith("NOMAD_")} == {
        "NOMAD_ALLOC_DIR": f"{folder}/alloc",
        "NOMAD_ALLOC_ID": update["ID"],
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_ALLOC_NAME": "job.g[0]",
        "NOMAD_CPU_LIMIT": "100",
        "NOMAD_DC": "us-east-1",
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_JOB_ID": "job",
        "NOMAD_JOB_NAME": "nice name",
        "NOMAD_JOB_PARENT_ID": "parent",
        "NOMAD_MEMORY_LIMIT": "64",
        "NOMAD_META_GROUP": "group's",
        "NOMAD_META_group": "group's",
        "NOMAD_META_OPT": "",
        "NOMAD_META_opt": "",
        "NOMAD_META_TASK_KEY": "t",
        "NOMAD_META_task_key": "t",
        "NOMAD_NAMESPACE": "default",
        "NOMAD_REGION": "us",
        "NOMAD_SECRETS_DIR": f"{folder}/a/secrets",
        "NOMAD_SHORT_ALLOC_ID": update["ID"][:8],
        "NOMAD_TASK_DIR": f"{folder}/a/local",
        "NOMAD_TASK_NAME": "a",
    }
    assert env["A"] == "group's/r1/${nope}"
    assert env["COLOUR"] == "red"
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_the_config_is_interpolated(bench: Any) -> None:
    args = [
        "-c",
        'echo "$@"',
        "x",
        '${env["A"]}',
        "${node.unique.name}",
        "${attr.kernel.name}",
        "${node.meta.rack}",
        "$${x}",
    ]
    task = bench.shell(
        "a", "", Config={"command": '${env["SHELL_NAME"]}', "args": args}, Env={"A": "a", "SHELL_NAME": "sh"}
    )
    update = bench.run(bench.job(task))
    assert read(bench, update, "alloc/logs/a.stdout.0") == "a us-1 linux r1 ${x}\n"


def test_the_payload_is_a_file_of_the_task(bench: Any) -> None:
    payload = base64.b64encode(b"\x00input").decode()
    task = bench.shell("a", "cat $NOMAD_TASK_DIR/in/data.bin", DispatchPayload={"File": "in/data.bin"})
    update = bench.run(bench.job(task, Payload=payload))
    assert read(bench, update, "alloc/logs/a.stdout.0") == "\x00input"


def test_templates_render_to_files_and_environment(bench: Any) -> None:
    templates = [
        {
            "EmbeddedTmpl": 'x {{y}} [[env "NOMAD_JOB_ID"]] [[- " q" ]] [[env "NOPE"]]|[[ env "WORD" | toUpper ]]\n',
            "DestPath": "local/deep/file",
            "LeftDelim": "[[",
            "RightDelim": "]]",
            "Perms": "600",
        },
        {"EmbeddedTmpl": "K1=v1\nK2=\"a b\"\n# no\nexport K3='x'\n", "DestPath": "secrets/env", "Envvars": True},
        {"EmbeddedTmpl": "shared", "DestPath": "${NOMAD_ALLOC_DIR}/data/shared"},
    ]
    task = bench.shell("a", 'echo "$K1,$K2,$K3"; stat -c %a local/deep/file', Templates=templates, Env={"WORD": "loud"})
    update = bench.run(bench.job(task))
    assert read(bench, update, "a/local/deep/file") == "x {{y}} job q |LOUD\n"
    assert read(bench, update, "alloc/data/shared") == "shared"
    assert read(bench, update, "alloc/logs/a.stdout.0") == "v1,a b,x\n600\n"


@pytest.mark.parametrize(
    ("template", "kind", "words"),
    [
        (
            {"EmbeddedTmpl": "\n{{ nofn }}", "DestPath": "local/f"},
            "Killing",
            'Template failed: (dynamic): parse: template: :2: function "nofn" not defined',
        ),
        (
            {"EmbeddedTmpl": "KEY\n", "DestPath": "local/f", "Envvars": True},
            "Killing",
            (
                "Template failed to read environment variables: error parsing env template"
                ' "FOLDER/a/local/f": error on line 1: missing ='
            ),
        ),
        (
            {"EmbeddedTmpl": "x", "DestPath": "../../../../etc/f"},
            "Task hook failed",
            "template: template destination path escapes alloc directory",
        ),
    ],
)
def test_a_template_that_fails_fails_the_task(bench: Any, template: dict[str, Any], kind: str, words: str) -> None:
    update = bench.run(bench.job(bench.shell("a", "true", Templates=[template])))
    folder = str(bench.client.alloc_dir(update["ID"]))
    assert update["ClientStatus"] == "failed"
    assert bench.kinds(update, "a")[2] == kind
    assert bench.words(update, "a")[2].replace(folder, "FOLDER") == words


def test_a_link_cannot_lead_a_template_out(bench: Any) -> None:
    outside = bench.data_dir / "outside"
    outside.mkdir()
    job = bench.job(
        bench.shell("first", f"ln -s {outside} $NOMAD_ALLOC_DIR/data/link", Lifecycle={"Hook": "prestart"}),
        bench.shell("a", "true", Templates=[{"EmbeddedTmpl": "x", "DestPath": "${NOMAD_ALLOC_DIR}/data/link/f"}]),
    )
    update = bench.run(job)
    assert update["ClientStatus"] == "failed"
    assert list(outside.iterdir()) == []


def test_an_artifact_is_fetched_and_checked(bench: Any, url: str) -> None:
    digest = hashlib.sha256(b"tool\n").hexdigest()
    artifacts = [
        {
            "GetterSource": f"{url}/tool.bin?a=1",
            "GetterOptions": {"checksum": f"sha256:{digest}"},
            "GetterHeaders": {"X-Token": "${NOMAD_TASK_NAME}"},
            "RelativeDest": "local/",
        },
        {"GetterSource": f"{url}/tool", "GetterMode": "file", "RelativeDest": "${NOMAD_ALLOC_DIR}/data/named"},
    ]
    update = bench.run(bench.job(bench.shell("a", "cat local/tool.bin", Artifacts=artifacts)))
    assert bench.kinds(update, "a") == ["Received", "Task Setup", "Downloading Artifacts", "Started", "Terminated"]
    assert read(bench, update, "alloc/logs/a.stdout.0") == "tool\n"
    assert read(bench, update, "alloc/data/named") == "tool\n"
    assert ("/tool.bin?a=1", "a") in asked


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        ({"GetterSource": "URL/none"}, "bad response code: 404"),
        ({"GetterSource": "URL/tool", "GetterOptions": {"checksum": "md5:" + "0" * 32}}, "Checksums did not match for"),
        ({"GetterSource": "URL/tool.tar.gz"}, "does not unpack archives"),
        ({"GetterSource": "s3::https://bucket/x"}, "by http and https only"),
        (
            {"GetterSource": "URL/tool", "RelativeDest": "../../../x"},
            "artifact destination path escapes alloc directory",
        ),
    ],
)
def test_an_artifact_that_cannot_be_had_follows_the_restart_policy(
    bench: Any, url: str, artifact: dict[str, Any], words: str
) -> None:
    wanted = artifact | {"GetterSource": artifact["GetterSource"].replace("URL", url)}
    update = bench.run(bench.job(bench.shell("a", "true", Artifacts=[wanted], RestartPolicy=RETRY_ONCE)))
    assert update["ClientStatus"] == "failed"
    failed = [e for e in update["TaskStates"]["a"]["Events"] if e["Type"] == "Failed Artifact Download"]
    assert len(failed) == 2
    assert failed[0]["DisplayMessage"].startswith(f'failed to download artifact "{wanted["GetterSource"]}": ')
    assert words in failed[0]["DisplayMessage"]
    assert not list(bench.client.alloc_dir(update["ID"]).rglob("*.part"))


def test_an_archive_that_shall_stay_packed_is_a_file(bench: Any, url: str) -> None:
    wanted = {"GetterSource": f"{url}/tool.tar.gz", "GetterOptions": {"archive": "false"}, "RelativeDest": "local/"}
    update = bench.run(bench.job(bench.shell("a", "cat local/tool.tar.gz", Artifacts=[wanted])))
    assert read(bench, update, "alloc/logs/a.stdout.0") == "tool\n"
