"""A store backend that is installed beside fedml, as one folder and one entry point, is accepted wherever stores are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOY = '''
"""toy://SHELF/BOX[/PREFIX]: a folder below $TOY_ROOT."""

import os
from dataclasses import replace
from pathlib import Path

from regions.storage.backend import Backend, PolicyForm
from regions.storage.bucket_rules import Kind
from regions.storage.errors import InvalidStoreURL, PermissionDenied
from regions.storage.file.store import FileStore
from regions.storage.url import folder_url


def normalized(url):
    parts = [part for part in url.removeprefix("toy://").split("/") if part]
    if len(parts) < 2:
        raise InvalidStoreURL(f"{url!r} names no box", hint="write toy://shelf/box/prefix")
    return "toy://" + "/".join(parts)


class ToyStore(FileStore):
    def __init__(self, config):
        place = Path(os.environ["TOY_ROOT"], config.url.removeprefix("toy://"))
        super().__init__(replace(config, url=folder_url(place)))
        self.url = config.url

    def put(self, *given, **named):
        if os.environ.get("TOY_LOCKED"):
            raise PermissionDenied(os.environ["TOY_LOCKED"], store=self.url, hint="your key may not do that")
        return super().put(*given, **named)

    def rules(self, kind):
        raise PermissionDenied("no", store=self.url)


BACKEND = Backend(
    scheme="toy",
    store="toy_store:ToyStore",
    title="Toy",
    example="toy://shelf/box/prefix",
    normalized=normalized,
    parameters=("endpoint",),
    place_segments=2,
    credential_names=("TOY_KEY",),
    create_right="toy.create",
    read_right="toy.read",
    objects_below="{place}/artifacts",
    rule_rights={Kind.LIFECYCLE: "toy.look"},
    policy=PolicyForm(
        "toy",
        "a note for the keeper of the toys",
        lambda store, grants: {"of": [store.url], "reads": list(grants.reads)},
        lambda policies: {"of": [url for policy in policies for url in policy["of"]]},
    ),
    node_packages=("toy-store",),
)
'''
CONFIG = """
[federation]
home = "toy://shelf/box//home/"
adopt = "toy://shelf/other/{save_path}_{alloc_id}.json"

[regions.us]
addresses = ["http://127.0.0.1:9"]
datacenters.dc1.store = "toy://shelf/box/us"

[publish]
add_task = true
[publish.archives.toy]
url = "https://files/toy.pyz"
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
"""
ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
TASK = {
    "NOMAD_ALLOC_ID": ALLOC,
    "NOMAD_ALLOC_INDEX": "0",
    "NOMAD_GROUP_NAME": "train",
    "NOMAD_JOB_ID": "train/dispatch-1-a",
    "NOMAD_DC": "dc1",
    "NOMAD_REGION": "us",
    "FEDML_STORES": json.dumps({"dc1": "toy://shelf/box/us"}),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project whose stores are all of the toy backend, which is installed in the folder `site`."""
    info = tmp_path / "site/toy_store-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site/toy_store.py").write_text(TOY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-store\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[fedml.stores]\ntoy = toy_store:BACKEND\n")
    (info / "RECORD").write_text(
        "".join(f"{name},,\n" for name in ("toy_store.py", f"{info.name}/METADATA", f"{info.name}/entry_points.txt"))
    )
    (tmp_path / "fedml.toml").write_text(CONFIG)
    return tmp_path


def run(place: Path, *arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, in which the backend is installed: `fedml ARGUMENTS`, or the code."""
    paths = os.pathsep.join([str(place / "site"), *filter(None, sys.path)])
    given = {**os.environ, "PYTHONPATH": paths, "TOY_ROOT": str(place / "toys"), **environment}
    script = code or f"import sys; from federation.cli import run; sys.exit(run({list(arguments)!r}))"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, cwd=place, env=given, check=False)


def test_its_urls_are_read_from_fedml_toml(place: Path) -> None:
    done = run(place, "stores", "list", "--json")
    assert [one["store"] for one in json.loads(done.stdout)["stores"]] == ["toy://shelf/box/home", "toy://shelf/box/us"]
    (place / "fedml.toml").write_text(CONFIG.replace("toy://shelf/box/us", "toy://shelf"))
    done = run(place, "stores", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "regions.us.datacenters.dc1.store: 'toy://shelf' names no box" in done.stderr
    assert "write toy://shelf/box/prefix" in done.stderr
    (place / "fedml.toml").write_text(CONFIG.replace("toy://shelf/box/us", "toy://shelf/box?profile=me"))
    assert "toy:// takes no profile" in run(place, "stores", "list").stderr
    (place / "fedml.toml").write_text(CONFIG.replace("publish.archives.toy", "publish.archives.ball"))
    done = run(place, "stores", "list")
    assert "publish.archives: serves ball://, and no such kind of store is installed here" in done.stderr
    assert "known: az, file, gs, s3, toy" in done.stderr


def test_its_promises_are_checked_and_its_settings_named_in_its_own_words(place: Path) -> None:
    done = run(place, "stores", "check", "us", "--json")
    assert done.returncode == 0, done.stderr
    (checked,) = json.loads(done.stdout)["stores"]
    by_name = {check["name"]: check for check in checked["checks"]}
    assert by_name["create-if-absent, 16 writers racing"]["outcome"] == "ok"
    assert by_name["lifecycle rules"]["remedy"] == "allow toy.look, or look as an administrator"


def test_its_least_rights_are_printed(place: Path) -> None:
    policies = json.loads(run(place, "stores", "check", "--policy", "--json").stdout)["policies"]
    node = next(one for one in policies if (one["role"], one["store"]) == ("node", "toy://shelf/box/us"))
    assert (node["kind"], node["policy"]["reads"]) == ("toy", ["results/", "artifacts/", "code/"])
    assert "a note for the keeper of the toys" in run(place, "stores", "check", "--policy").stdout
    doctor = run(place, "doctor", "--policy").stdout
    assert "# Toy policy for nodes that publish to toy://shelf/box/us" in doctor
    assert "# Toy policy for all Toy stores" in doctor


def test_the_doctor_examines_its_stores(place: Path) -> None:
    done = run(place, "doctor", "--json")
    checks = json.loads(done.stdout)["checks"]
    stores = [check for check in checks if "toy://shelf/box/us" in check["subject"]]
    assert stores
    assert {check["outcome"] for check in stores} == {"ok"}


def test_a_node_names_the_right_and_the_credentials_that_it_lacks(place: Path) -> None:
    assert run(place, "publish", "--check", **TASK).returncode == 0
    done = run(place, "publish", "--check", TOY_LOCKED="locked away", **TASK)
    assert done.returncode == 1
    assert "it lacks toy.create on shelf/box/us/artifacts" in done.stdout
    job = {
        "ID": "train",
        "Region": "us",
        "TaskGroups": [{"Tasks": [{"Env": {"FEDML_STORES": TASK["FEDML_STORES"]}}]}],
    }
    code = (
        "from federation.check import Check, Outcome\n"
        "from federation.checks.doctor.nodes import _explained\n"
        f"print(_explained(Check('node', 'credentials', Outcome.FAILED), {job!r}, 'dc1').remedy)"
    )
    assert "TOY_KEY=" in run(place, code=code).stdout


def test_the_archive_for_nodes_has_it(place: Path) -> None:
    build = "import sys; from federation.publish.bundle.build import main; sys.exit(main(['--store', 'toy']))"
    done = run(place, code=build)
    assert done.returncode == 0, done.stderr
    archive = place / done.stdout.split()[1]
    task = {**TASK, "TOY_ROOT": str(place / "toys"), "PATH": os.environ["PATH"]}
    checked = subprocess.run(
        [sys.executable, "-I", str(archive), "--check"], capture_output=True, text=True, env=task, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "an archive for file:// and toy://" in checked.stdout
    assert "toy://shelf/box/us by datacenter dc1" in checked.stdout


def test_what_jobs_wrote_themselves_is_found_in_it(place: Path) -> None:
    written = place / f"toys/shelf/other/models/close_{ALLOC}.json"
    written.parent.mkdir(parents=True)
    written.write_text("{}")
    code = (
        "from pathlib import Path\n"
        "from federation.config.adopted_places import adopted_places\n"
        "from federation.config.load import load\n"
        "from federation.workflows.adopt import find\n"
        "from regions.storage import open_store\n"
        "config = load(Path())\n"
        "(place,) = adopted_places(config, 'us')\n"
        f"values = {{'alloc_id': '{ALLOC}', 'save_path': 'models/close'}}\n"
        "found = find(place, values, open_store)\n"
        "print(found.config.url, found.prefix, [info.key for info in found.infos])"
    )
    done = run(place, code=code)
    assert done.stdout.split(maxsplit=2)[:2] == ["toy://shelf/other", "models/"], done.stderr
    assert f"models/close_{ALLOC}.json" in done.stdout


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("toy_stor:BACKEND", "can't be loaded: No module named 'toy_stor'"),
        ("toy_store:BACKENDS", "can't be loaded: module 'toy_store' has no attribute 'BACKENDS'"),
    ],
)
def test_one_that_is_installed_badly_is_one_clear_error(place: Path, value: str, told: str) -> None:
    (place / "site/toy_store-1.dist-info/entry_points.txt").write_text(f"[fedml.stores]\ntoy = {value}\n")
    done = run(place, "stores", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the backend of toy:// {told}" in done.stderr
    assert f"it is installed as {value}" in done.stderr
    assert "Traceback" not in done.stderr
