"""How nodes get the program that runs the code: four ways, and one clear error where none serves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from federation.errors import UsageError
from federation.task.command_line import Command
from federation.task.node_program import NodeProgram, node_program, put_program
from jobs.store_task import Archive
from regions.model import StoreConfig
from regions.storage.url import folder_url
from tests.federation.task.helpers import PROGRAM, Task
from tests.federation.task.test_run import SCRIPT

FOLDER = StoreConfig("file:///srv/store")
S3 = StoreConfig("s3://bucket/a prefix", location="eu-west-1")
SEAWEED = StoreConfig("s3://bucket", endpoint="http://127.0.0.1:8333/", location="us-east-1")
GCS = StoreConfig("gs://bucket/prefix")
AZURE = StoreConfig("az://account/container")
ARCHIVES = {
    "s3": Archive("https://example.org/s3.pyz", "a" * 64),
    "az": Archive("https://example.org/az.pyz", "b" * 64),
}


def chosen(tmp_path: Path, *stores: StoreConfig, is_dev: bool = False, archives: bool = False) -> NodeProgram:
    given = ARCHIVES if archives else {}
    return node_program("us", stores, is_dev=is_dev, archives=given, cache=tmp_path, python="python3.12")


def test_a_development_region_runs_this_installation(tmp_path: Path) -> None:
    assert chosen(tmp_path, AZURE, S3, is_dev=True) == NodeProgram(PROGRAM)


def test_an_archive_of_the_settings_comes_first(tmp_path: Path) -> None:
    command = ("python3.12", "-I", "${NOMAD_TASK_DIR}/fedml-publish.pyz", "--task")
    assert chosen(tmp_path, S3, FOLDER, archives=True) == NodeProgram(command, "https://example.org/s3.pyz", "a" * 64)
    assert chosen(tmp_path, AZURE, archives=True).url == "https://example.org/az.pyz"
    assert chosen(tmp_path, FOLDER, archives=True).url == "https://example.org/s3.pyz"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (S3, "s3::https://s3-eu-west-1.amazonaws.com/bucket/a%20prefix/code/program-{}.pyz"),
        (StoreConfig("s3://bucket"), "s3::https://s3.amazonaws.com/bucket/code/program-{}.pyz"),
        (SEAWEED, "s3::http://127.0.0.1:8333/bucket/code/program-{}.pyz?region=us-east-1"),
        (GCS, "gcs::https://www.googleapis.com/storage/v1/bucket/prefix/code/program-{}.pyz"),
    ],
)
def test_a_bucket_that_nomad_can_fetch_from_gets_the_archive(tmp_path: Path, store: StoreConfig, url: str) -> None:
    program = chosen(tmp_path, store)
    assert program.url == url.format(program.sha256)
    assert program.archive is not None
    assert program.command[-1] == "--task"
    assert chosen(tmp_path, store).sha256 == program.sha256


@pytest.mark.parametrize("store", [AZURE, StoreConfig("gs://bucket", endpoint="http://127.0.0.1:4443")])
def test_other_buckets_need_a_setting(tmp_path: Path, store: StoreConfig) -> None:
    with pytest.raises(UsageError, match="region us: Nomad can't fetch the program") as caught:
        chosen(tmp_path, store)
    assert "[publish.archives." in caught.value.hint


def test_two_kinds_of_buckets_in_one_region(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no archive serves az:// and s3:// at once"):
        chosen(tmp_path, AZURE, S3)


def test_from_a_folder_the_program_is_verified_and_run(tmp_path: Path) -> None:
    task = Task(tmp_path, {"train.py": SCRIPT}, Command(("python", "train.py")), {"lr": 0.1})
    stores = [StoreConfig(folder_url(tmp_path / "store"))]
    program = node_program("us", stores, is_dev=False, archives={}, cache=tmp_path / "cache", python=sys.executable)
    task.program = program.command
    missing = task.act("fetch")
    assert missing.returncode == 1
    assert missing.stderr.startswith("Error: the program of this task can't be read from the store: ")
    put_program(program, [task.store])
    put_program(program, [task.store])
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert task.record().params == {"lr": "0.1"}
    kept = tmp_path / "store" / program.key
    kept.write_bytes(kept.read_bytes() + b"x")
    refused = task.act("run")
    assert refused.returncode == 1
    assert "has another sha256; it was not run" in refused.stderr
    assert "Traceback" not in missing.stderr + refused.stderr
