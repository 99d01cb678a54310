"""The job of docs/how-to/publish.md: nothing of fedml on the node, a training task without Python."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from federation.publish.bundle.build import Bundle, build
from tests.scenarios.light_job import light_job
from tests.scenarios.project import Project

PAGE = Path(__file__).parents[2] / "docs/how-to/publish.md"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("build"), "file")


@pytest.fixture(scope="module")
def address(bundle: Bundle) -> Iterator[str]:
    """A web server that serves the archive."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=bundle.path.parent))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{bundle.path.name}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def job(project: Project) -> str:
    """The page's job, under a Python without site-packages; its training task fails where it finds fedml."""
    text = PAGE.read_text(encoding="utf-8").partition("```hcl\n")[2].partition("```")[0]
    assert text.count('["-I",') == 1
    assert text.count('"-c", "mkdir') == 1
    text = text.replace('["-I",', '["-I", "-S",').replace('"-c", "mkdir', '"-c", "! command -v fedml && mkdir')
    return project.write("any-training.nomad.hcl", text)


def test_the_archive_publishes_where_fedml_is_not_installed(
    project: Project, job: str, bundle: Bundle, address: str
) -> None:
    variables = ("-var", f"publish_url={address}", "-var", f"publish_sha256={bundle.sha256}")
    project.ran(
        "dispatch", "--job", job, "--regions", "us,eu", "--version", "4", *variables, "-var", f"python={sys.executable}"
    )
    rows = project.rows("--job", "any-training")
    assert sorted((row["region"], row["version"], row["metrics"]["auc"]) for row in rows) == [
        ("eu", "4", 0.71),
        ("us", "4", 0.71),
    ]
    folder = project.root / "got-any-training"
    project.ran("index", "get", rows[0]["alloc_id"], "--to", str(folder))
    assert (folder / "model.bin").read_text() == "weights\n"


def test_another_file_at_that_address_is_never_run(project: Project, job: str, address: str) -> None:
    variables = ("-var", f"publish_url={address}", "-var", f"publish_sha256={'0' * 64}")
    done = project.fedml(
        "dispatch", "--job", job, "--regions", "eu", "--version", "5", *variables, "-var", f"python={sys.executable}"
    )
    assert done.code == 2, done.err
    children = {one["ID"] for one in project.children("eu", "any-training") if one["Meta"]["model_version"] == "5"}
    stubs = [stub for stub in project.region("eu", "/v1/allocations") if stub["JobID"] in children]
    events = [event["DisplayMessage"] for stub in stubs for event in stub["TaskStates"]["store"]["Events"]]
    assert any("checksum" in message.lower() for message in events), events
    assert project.rows("--job", "any-training", "--version", "5") == []


TRAINING = """\
! command -v fedml && test "$NOMAD_META_epochs" != 0 && mkdir -p $NOMAD_ALLOC_DIR/model &&
echo weights > $NOMAD_ALLOC_DIR/model/model.bin && echo '{"auc": 0.71}' > $NOMAD_ALLOC_DIR/model/metrics.json
"""


def test_the_task_that_publishes_is_added_and_runs_only_after_success(
    project: Project, bundle: Bundle, address: str
) -> None:
    """The job has one task, without Python and without anything of fedml in it."""
    text = light_job("plain-training", TRAINING)
    assert text.count('driver = "raw_exec"') == 1
    job = project.write(
        "plain-training.nomad.hcl",
        text.replace(
            'driver = "raw_exec"', 'driver = "raw_exec"\n\n      env {\n        PATH = "/usr/bin:/bin"\n      }'
        ),
    )
    table = (
        f'[publish]\nadd_task = true\npython = "{sys.executable}"\n\n'
        f'[publish.archives.file]\nurl = "{address}"\nsha256 = "{bundle.sha256}"\n\n[dev.regions.us]\n'
    )
    config = project.variant("adds-a-task", ("[dev.regions.us]\n", table))
    common = ("--config", config, "--job", job, "--regions", "us,eu")
    project.ran("dispatch", *common, "--version", "1", "-meta", "epochs=1")
    rows = project.rows("--job", "plain-training")
    assert sorted((row["region"], row["metrics"]["auc"]) for row in rows) == [("eu", 0.71), ("us", 0.71)]
    failed = project.fedml("dispatch", *common, "-n", "1", "--version", "2", "-meta", "epochs=0")
    assert failed.code == 2
    assert "train" not in failed.out
    assert project.rows("--job", "plain-training", "--version", "2") == []
