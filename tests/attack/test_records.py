"""Records, as a node writes them, and what every command of the index makes of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.result import ResultFile, manifest_sha256
from tests.attack.honeypot import Honeypot
from tests.attack.scene import DONE_RUN, NODE_ALLOC, Scene, record_of
from tests.attack.shapes import BYTES, attacked, json_bytes, spoilt

READS = (
    ("index", "list"),
    ("index", "list", "--json"),
    ("index", "list", "--where", "metrics.auc > 0.5", "--sort", "metrics.auc:desc"),
    ("index", "show", NODE_ALLOC),
    ("index", "show", NODE_ALLOC, "--json"),
    ("index", "compare", NODE_ALLOC, "production-us"),
    ("index", "lineage", NODE_ALLOC),
    ("index", "log"),
    ("index", "log", "--json"),
    ("index", "watch", "--once", "--after", "0"),
    ("index", "diff", "1"),
    ("index", "export"),
    ("index", "export", "--to", "out.csv"),
    ("runs", "list"),
    ("runs", "show", DONE_RUN),
)
ACTS = (
    ("index", "get", NODE_ALLOC, "--to", "got/node", "--force"),
    ("index", "verify", "--deep"),
    ("index", "copy", NODE_ALLOC, "eu"),
    ("index", "tag", "candidate", NODE_ALLOC),
    ("index", "sync"),
    ("index", "rebuild"),
)
FREES = (
    ("index", "gc", "--keep", "last=1", "--grace", "0h", "--yes"),
    ("index", "gc", "--keep", "last=1", "--grace", "0h", "--yes"),
)
WITH_AN_ERROR = {("runs", "show"): 1, ("index", "verify"): 1, ("index", "rebuild"): 1}
"""No manifest is there, an object is nobody's, the log isn't lost."""
SOME = st.tuples(st.sampled_from(READS), st.sampled_from(READS), st.sampled_from(ACTS))


def record(scene: Scene, **given: Any) -> dict[str, Any]:
    """A right record of the node's in us."""
    return record_of(scene.us.url, **given).to_dict()


@st.composite
def claims(draw: st.DrawFn, scene: Scene, honeypot: Honeypot) -> Any:
    """A record: wrong somewhere, or right in form and claiming what isn't the node's."""
    document = record(scene)
    stores = [
        scene.us.url,
        scene.eu.url,
        scene.home.url,
        scene.root.as_uri(),
        f"s3://bucket?endpoint=http://{honeypot.address}",
    ]
    claimed = {
        "store": st.sampled_from(stores),
        "prefix": st.sampled_from(["artifacts/", "models/", "", "results/", "index/", "../", "artifacts/../", "/"]),
        "region": st.sampled_from(["eu", "us", "nowhere"]),
        "version": st.sampled_from(["1", "99", "9" * 19, "production-us", "-1", "4\n"]),
        "job": st.sampled_from(["sales", "another", "../sales", "index"]),
        "files": st.sampled_from(
            [
                [{"path": path, "size_bytes": size, "sha256": "0" * 64}]
                for path in ("../../escaped", "/tmp/escaped", "a/../../b", "model.bin", ".", "")
                for size in (0, 2**53 - 1)
            ]
        ),
    }
    if draw(st.booleans()):
        for name in draw(st.lists(st.sampled_from(sorted(claimed)), min_size=1, max_size=3, unique=True)):
            document[name] = draw(claimed[name])
        if draw(st.booleans()):  # whatever lies there is claimed to be the node's, so that its record is whole
            folder, place = document.get("prefix", "artifacts/"), draw(st.sampled_from(["us", "eu"]))
            files = scene.files_below(place, folder) if not folder.startswith(("/", ".")) else ()
            document |= {"files": [asdict(file) for file in files], "store": getattr(scene, place).url}
        files = [ResultFile(file["path"], file["size_bytes"], file["sha256"]) for file in document["files"]]
        return document | {"manifest_sha256": manifest_sha256(files)}
    return draw(spoilt(document))


def assert_safe(scene: Scene, honeypot: Honeypot) -> None:
    """Whatever was attacked, this holds."""
    scene.assert_nothing_lost()
    scene.assert_nothing_escaped()
    assert honeypot.requests == []
    scene.assert_index_goes_on()


@attacked
@given(st.data())
def test_a_record_in_its_store_is_read_by_sync(scene: Scene, honeypot: Honeypot, data: st.DataObject) -> None:
    scene.reset()
    honeypot.requests.clear()
    scene.put_record(json_bytes(data.draw(claims(scene, honeypot))))
    scene.put_artifact()
    scene.attack([("index", "sync", "--yes"), *data.draw(SOME)])
    scene.supersede_version()
    scene.attack(FREES)
    assert_safe(scene, honeypot)


@attacked
@given(st.data())
def test_an_object_that_is_no_record(scene: Scene, honeypot: Honeypot, data: st.DataObject) -> None:
    scene.reset()
    scene.put_record(data.draw(BYTES))
    scene.attack([("index", "sync", "--yes"), ("index", "verify"), ("index", "rebuild")])
    assert_safe(scene, honeypot)


@attacked
@given(st.data())
def test_a_record_that_is_in_the_index_already(scene: Scene, honeypot: Honeypot, data: st.DataObject) -> None:
    scene.reset()
    honeypot.requests.clear()
    scene.append([{"type": "add", "record": data.draw(claims(scene, honeypot))}])
    scene.supersede_version()
    scene.attack([*data.draw(SOME), *FREES])
    assert_safe(scene, honeypot)


@attacked
@given(st.data())
def test_an_imported_record(scene: Scene, honeypot: Honeypot, data: st.DataObject) -> None:
    scene.reset()
    honeypot.requests.clear()
    line = {"record": data.draw(claims(scene, honeypot))}
    (scene.root / "got").mkdir()
    (scene.root / "got/given.jsonl").write_bytes(json_bytes(line) + b"\n")
    scene.attack([("index", "import", "got/given.jsonl"), data.draw(st.sampled_from(READS)), *FREES])
    assert_safe(scene, honeypot)


@pytest.mark.parametrize("command", [*READS, *ACTS, *FREES[:1]], ids=" ".join)
def test_every_command_here_takes_a_right_record(scene: Scene, honeypot: Honeypot, command: tuple[str, ...]) -> None:
    scene.put_artifact()
    scene.put_record(record_of(scene.us.url).to_json())
    assert scene.run("index", "sync", "--yes").code == 0
    (done,) = scene.attack([command])
    assert done.code == WITH_AN_ERROR.get(command[:2], 0), done.err + done.out
    assert_safe(scene, honeypot)
