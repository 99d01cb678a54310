"""The archive for nodes: the same bytes each time, and a bare Python is all that it needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from federation.check import Outcome
from federation.errors import FederationError
from federation.publish.bundle import build as building
from federation.publish.bundle.build import Bundle, build, main
from federation.publish.check import from_log
from federation.publish.publish import DISTRIBUTION
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import open_store, store_url
from regions.storage.url import folder_url
from tests.emulators import azurite, moto

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
VERSION = metadata.version(DISTRIBUTION)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("build")
    return {store: build(folder, store) for store in building.SDKS}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.bin").write_bytes(b"weights")
    (tmp_path / "model/metrics.json").write_text('{"auc": 0.71}')
    return tmp_path / "model"


def run(
    bundle: Bundle,
    arguments: Sequence[str | Path],
    tmp_path: Path,
    store: str,
    python: Sequence[str] = (sys.executable, "-I", "-S"),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The archive under a Python without site-packages, without this environment's variables, elsewhere than here."""
    (tmp_path / "task").mkdir(exist_ok=True)
    environ = {
        "PATH": "/usr/bin:/bin",
        "NOMAD_ALLOC_ID": ALLOC,
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_TASK_DIR": str(tmp_path / "task"),
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "NOMAD_META_model_version": "4",
        "FEDML_STORES": json.dumps({"dc1": store}),
        **environment,
    }
    return subprocess.run(
        [*python, str(bundle.path), *map(str, arguments)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_same_installation_gives_the_same_bytes(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    for store, bundle in bundles.items():
        again = build(tmp_path, store)
        assert again.path.read_bytes() == bundle.path.read_bytes()
        assert again.sha256 == bundle.sha256 == hashlib.sha256(bundle.path.read_bytes()).hexdigest()
        assert bundle.path.name == f"fedml-publish-{VERSION}-{store}.pyz"
        assert bundle.path.stat().st_mode & 0o777 == 0o755


def test_nothing_of_this_machine_is_in_it(bundles: dict[str, Bundle]) -> None:
    here = str(Path(building.__file__).parents[3]).encode()
    for bundle in bundles.values():
        with zipfile.ZipFile(bundle.path) as archive:
            assert not any(here in archive.read(name) for name in archive.namelist())
            names = archive.namelist()
        assert not any(name.endswith((".pyc", ".so", "RECORD")) or name.startswith("/") for name in names)
        assert not any(name.startswith(("federation/cli", "federation/index", "nomad/", "typer/")) for name in names)
        assert not any(name.startswith("federation/checks/") for name in names)
        assert "federation/check.py" in names
        assert any(name.endswith(".dist-info/LICENSE") for name in names)


def test_a_bare_python_publishes_into_a_folder(bundles: dict[str, Bundle], model: Path, tmp_path: Path) -> None:
    place = folder_url(tmp_path / "store")
    done = run(bundles["file"], [model, "--metric", "loss=0.2", "--format", "onnx"], tmp_path, place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "Published train version 4, slot 0, allocation 7d1c7a2e"
    store = open_store(StoreConfig(url=place))
    key = next(info.key for info in store.list("results/"))
    record = ResultRecord.from_json(store.get(key))
    assert record.metrics == {"auc": 0.71, "loss": 0.2}
    assert (record.environment["fedml"], record.environment["format"]) == (VERSION, "onnx")
    again = run(bundles["file"], [model, "--json"], tmp_path, place)
    assert json.loads(again.stdout)["was_there"] is True


def test_a_bare_python_publishes_into_s3(
    bundles: dict[str, Bundle], model: Path, tmp_path: Path, s3_config: StoreConfig
) -> None:
    (model / "large.bin").write_bytes(os.urandom(20_000_000))
    done = run(bundles["s3"], [model], tmp_path, store_url(s3_config), **moto.CREDENTIALS)
    assert (done.returncode, done.stderr) == (0, "")
    store = open_store(s3_config)
    record = ResultRecord.from_json(store.get(next(info.key for info in store.list("results/"))))
    assert [file.path for file in record.files] == ["large.bin", "metrics.json", "model.bin"]
    assert store.get(record.artifact_prefix + "large.bin") == (model / "large.bin").read_bytes()
    assert list((tmp_path / "task").iterdir()) == []  # what it unpacked is gone


@pytest.mark.parametrize(("store", "cloud"), [("gs", "gcs_config"), ("az", "azure_config")])
def test_a_bare_python_publishes_into_the_other_clouds(
    bundles: dict[str, Bundle], model: Path, tmp_path: Path, request: pytest.FixtureRequest, store: str, cloud: str
) -> None:
    """Without the compiled libraries that these SDKs name."""
    config: StoreConfig = request.getfixturevalue(cloud)
    (model / "large.bin").write_bytes(os.urandom(17_000_000))
    environment = {"AZURE_STORAGE_KEY": azurite.KEY} if store == "az" else {}
    done = run(bundles[store], [model], tmp_path, store_url(config), **environment)
    assert (done.returncode, done.stderr) == (0, "")
    opened = open_store(config)
    record = ResultRecord.from_json(opened.get(next(info.key for info in opened.list("results/"))))
    assert [file.path for file in record.files] == ["large.bin", "metrics.json", "model.bin"]
    opened.get_file(record.artifact_prefix + "large.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (model / "large.bin").read_bytes()
    assert list((tmp_path / "task").iterdir()) == []


def test_it_checks_from_inside_a_task(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    done = run(bundles["file"], ["--check"], tmp_path, folder_url(tmp_path / "store"))
    checks = from_log(done.stdout)
    assert done.returncode == 0
    assert checks is not None
    assert {check.outcome for check in checks} == {Outcome.OK}
    refused = run(bundles["file"], ["--check"], tmp_path, "s3://bucket/prefix")
    checks = from_log(refused.stdout)
    assert refused.returncode == 1
    assert checks is not None
    assert (checks[-1].name, checks[-1].outcome) == ("store", Outcome.FAILED)


def test_another_kind_of_store_is_one_clear_error(bundles: dict[str, Bundle], model: Path, tmp_path: Path) -> None:
    done = run(bundles["file"], [model], tmp_path, "s3://bucket/prefix")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Error: this archive serves file://, not this store"
    assert "Traceback" not in done.stderr


def test_a_python_that_the_sdk_does_not_allow_is_told(bundles: dict[str, Bundle]) -> None:
    """`__main__.py` is plain enough for any Python 3 to read; here its check is run as an older one would."""

    def check(store: str, version: tuple[int, ...]) -> None:
        with zipfile.ZipFile(bundles[store].path) as archive:
            text = archive.read("__main__.py").decode()

        class Older:
            version_info = version
            executable = "/usr/bin/python3"
            exit = staticmethod(sys.exit)

        exec(text.partition("\n\n")[2].partition("\n\n")[0], {"sys": Older})

    for store, version, needed in (("s3", (3, 9, 18), "3.10"), ("file", (3, 8, 19), "3.9")):
        with pytest.raises(SystemExit) as caught:
            check(store, version)
        found = ".".join(map(str, version[:2]))
        told = f"Error: this fedml-publish needs Python {needed} or newer, this is {found} (/usr/bin/python3)"
        assert caught.value.code == told
    check("file", (3, 9, 18))


_UNION_THAT_RUNS = re.compile(r"isinstance\(.* \| |^[A-Z]\w+ = [\w.\[\], ]+ \| ")
"""Classes joined by `|` where that is evaluated, which vermin doesn't see."""
AS_OLDER = """
import datetime, dataclasses, enum, itertools, runpy, sys
plain = dataclasses.dataclass
def dataclass(cls=None, /, **given):
    assert "slots" not in given
    return plain(cls, **given)
del datetime.UTC, enum.StrEnum, itertools.pairwise
dataclasses.dataclass, sys.version_info = dataclass, (3, 9, 18)
sys.argv = sys.argv[1:]
sys.path[0] = sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_what_a_python_3_9_lacks_is_filled_in(bundles: dict[str, Bundle], model: Path, tmp_path: Path) -> None:
    place = folder_url(tmp_path / "store")
    python = (sys.executable, "-I", "-S", "-c", AS_OLDER)
    done = run(bundles["file"], [model], tmp_path, place, python)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Published train version 4")


def test_its_modules_need_nothing_else_of_a_newer_python_than_what_is_filled_in(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    for bundle in bundles.values():
        with zipfile.ZipFile(bundle.path) as archive:
            ours = [name for name in archive.namelist() if name.startswith((*building.OWN_PACKAGES, "fedml_task"))]
            archive.extractall(tmp_path / "ours", ours)
    filled_in = ("datetime.UTC", "enum.StrEnum", "itertools.pairwise", "dataclasses.dataclass(slots)")
    left_out = [part for name in filled_in for part in ("--exclude", name)]
    command = [
        str(Path(sys.executable).with_name("vermin")),
        "-t=3.9-",
        "--no-eval-annotations",
        "--violations",
        *left_out,
    ]
    done = subprocess.run([*command, str(tmp_path / "ours")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    for path in (tmp_path / "ours").rglob("*.py"):
        unions = [line for line in map(str.strip, path.read_text().splitlines()) if _UNION_THAT_RUNS.search(line)]
        assert unions == [], f"{path}: Union, or isinstance with a tuple"


def test_errors_are_one_sentence(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    place = folder_url(tmp_path / "store")
    for arguments, told in (
        (["nowhere"], "nowhere does not exist"),
        ([], "nothing is named to publish"),
        (["a", "--metric", "auc"], "is not NAME=VALUE"),
    ):
        done = run(bundles["file"], arguments, tmp_path, place)
        assert done.returncode == 1
        assert told in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr


def test_the_build_prints_what_goes_into_the_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "build"), "--store", "file"]) == 0
    path = tmp_path / f"build/fedml-publish-{VERSION}-file.pyz"
    assert capsys.readouterr().out == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n"
    (tmp_path / "blocked").write_text("a file")
    assert main(["--out", str(tmp_path / "blocked"), "--store", "file"]) == 1
    assert capsys.readouterr().err.startswith(f"Error: can't write {tmp_path}/blocked/")


def test_what_cannot_be_vendored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(building.SDKS, "file", ("no-such-distribution",))
    with pytest.raises(FederationError, match="no-such-distribution isn't installed here"):
        build(tmp_path, "file")
    monkeypatch.setitem(building.SDKS, "file", ("pydantic-core",))
    with pytest.raises(FederationError, match="pydantic-core has compiled code"):
        build(tmp_path, "file")
    assert list(tmp_path.iterdir()) == []
