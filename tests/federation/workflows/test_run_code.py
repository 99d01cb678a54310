"""Settings of `fedml run` and what they become: the job, the request, the meta."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.app import App
from federation.code.pack import PackedCode
from federation.config.load import load
from federation.deploy.prepare import JobRequest
from federation.errors import ConfigError, UsageError
from federation.manifest import Manifest
from federation.run.user_limits import Patience
from federation.workflows.request import RunRequest
from federation.workflows.run_code import CodeAsk, CodeRun, code_run, write_jobspec
from jobs.code_run import CODE_KEY, COMMAND_KEY
from jobs.errors import FedmlError
from tests.federation.test_manifest import MANIFEST

DEV = "[dev.regions.us]\nnodes = [{ cpu_mhz = 1, memory_mb = 1 }]\n"


def made(root: Path, *words: str, run: str = "", dev: str = DEV, folder: Path | None = None, **options: Any) -> CodeRun:
    """What these words become in a project with that `[run]`."""
    app = project(root, run=run, dev=dev)
    return code_run(app, CodeAsk(words or ("train.py",), folder, options), print)


def project(root: Path, *, run: str = "", dev: str = DEV) -> App:
    (root / "fedml.toml").write_text(
        f'[federation]\nhome = "file://./home"\n[regions.us]\naddresses = ["http://127.0.0.1:1"]\n'
        f'[regions.us.datacenters.dc1]\nstore = "file://./us"\n[run]\n{run}\n{dev}'
    )
    return App(load(root))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a script."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print()\n")
    return tmp_path


def packed(root: Path, run: CodeRun) -> PackedCode:
    return run.packed(root / "cache", print)


def test_without_settings_there_are_sensible_ones_and_they_are_said(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = made(root)
    packed(root, found)
    assert (found.job.driver, found.job.cpu_mhz, found.job.memory_mb, found.job.name) == (
        "raw_exec",
        1000,
        1024,
        "train",
    )
    assert "1000 MHz, 1024 MB a slot" in capsys.readouterr().out
    assert made(root, dev="").job.driver == "exec"
    assert made(root, dev="", image="me/it").job.driver == "docker"
    assert "uv" in made(root, driver="podman").job.image


def test_a_command_with_a_secret_is_refused(root: Path) -> None:
    token = "ghp_" + "a1" * 18
    with pytest.raises(UsageError, match="the command seems to hold a GitHub token") as caught:
        made(root, "train.py", f"--hub-token={token}")
    assert token not in str(caught.value) + caught.value.hint
    with pytest.raises(UsageError, match="seems to hold"):
        made(root, "python", "train.py", token, folder=root)


def test_the_option_goes_before_the_script_before_pyproject_before_fedml_toml(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.fedml]\ncpu = 3\nmemory = 3\ngpu = 3\n")
    (root / "train.py").write_text("# /// script\n# [tool.fedml]\n# cpu = 2\n# memory = 2\n# ///\n")
    job = made(root, run='cpu = 4\nmemory = 4\ngpu = 4\nkill_timeout = "4s"', cpu=1).job
    assert (job.cpu_mhz, job.memory_mb, job.devices, job.kill_timeout) == (1, 2, (("nvidia/gpu", 3),), "4s")


def test_settings_of_limits_hold_where_the_command_line_sets_none(root: Path) -> None:
    found = made(root, run='slot_timeout = "2h"\nretries = 1\nregions = ["us"]')
    request = found.request(packed(root, found), RunRequest(JobRequest()))
    assert (request.patience.slot_timeout_s, request.patience.max_attempts) == (7200, 2)
    assert request.job.regions == ("us",)
    request = found.request(packed(root, found), RunRequest(JobRequest(), patience=Patience(slot_timeout_s=5)))
    assert request.patience.slot_timeout_s == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"driver": "exec", "image": "me/it"}, "driver exec runs no image"),
        ({"memory": 10, "memory_max": 9}, "memory_max is 9 MB"),
        ({"name": "my job"}, "'my job' is not a valid name"),
        ({"regions": ["mars"]}, "there is no region 'mars'"),
    ],
)
def test_settings_that_do_not_fit(root: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(root, **given)


@pytest.mark.parametrize("text", ['uv = "https://example.com/uv"', 'driver = "exec"\nimage = "x"', "cpus = 3"])
def test_run_in_fedml_toml_is_checked(root: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="run"):
        made(root, run=text)


def test_the_jobspec_holds_no_code_and_gives_the_same_job_again(root: Path) -> None:
    found = made(root)
    before = found.request(packed(root, found), RunRequest(JobRequest()))
    (root / "train.py").write_text("print(2)\n")
    after = made(root).request(packed(root, made(root)), RunRequest(JobRequest()))
    assert before.code is not None
    assert after.code is not None
    assert before.job == after.job
    assert before.code.meta[CODE_KEY] != after.code.meta[CODE_KEY]

    app = project(root)
    prepared = app.prepare(before.job)
    assert prepared.parent == f"train-{prepared.spec_hash[:8]}"
    manifest = Manifest.from_json(_manifest(before), source="x")
    assert manifest.code == before.code.kept
    again = app.prepare_from_file(JobRequest("train", text=manifest.code.jobspec))
    assert again.rendered == prepared.rendered
    assert made(root, cpu=500).text() != found.text()


def _manifest(request: RunRequest) -> bytes:
    assert request.code is not None
    return replace(MANIFEST, code=request.code.kept).to_json()


def test_the_meta_leaves_nothing_for_nomad_to_replace(root: Path) -> None:
    found = made(root, "train.py", "${HOME}", "{lr}")
    meta = found.meta(packed(root, found))
    assert "${" not in meta[COMMAND_KEY]
    assert json.loads(meta[COMMAND_KEY])["argv"] == ["python", "train.py", "${HOME}", "{lr}"]


def test_a_dirty_tree_is_in_the_manifest(root: Path) -> None:
    for command in (
        ["init", "-q"],
        ["add", "train.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "train.py").write_text("print(3)\n")
    found = made(root, "python", "train.py", folder=Path())
    request = found.request(packed(root, found), RunRequest(JobRequest()))
    assert request.code is not None
    assert (len(request.code.kept.git_commit), request.code.kept.git_dirty) == (40, True)


def test_a_jobspec_is_written_once_and_can_be_dispatched(root: Path) -> None:
    app, found = project(root), made(root)
    file = root / "train.nomad.hcl"
    write_jobspec(app, found, file, (), print)
    assert [path.name for path in (root / "us" / "code").glob("*.tar.gz")] == [f"{packed(root, found).sha256}.tar.gz"]
    prepared = app.prepare(JobRequest(str(file)))
    rendered = prepared.rendered["us"]
    assert not isinstance(rendered, FedmlError)
    assert rendered["Meta"][CODE_KEY] == packed(root, found).sha256
    assert (prepared.parent, prepared.shape.meta_required) == ("", ())
    with pytest.raises(UsageError, match="is there already"):
        write_jobspec(app, found, file, (), print)
    with pytest.raises(UsageError, match="another suffix"):
        write_jobspec(app, found, root / "job.txt", (), print)


def test_a_project_that_registers_nothing_is_told_so(root: Path) -> None:
    project(root)
    file = root / "fedml.toml"
    file.write_text(file.read_text().replace("[federation]", '[federation]\ndeploy = "never"'))
    app = App(load(root))
    with pytest.raises(UsageError, match=r'deploy = "never"'):
        code_run(app, CodeAsk(("train.py",)), print)
