"""`fedml index verify` and its like: what a person sees, and what a script gets."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.federation.cli.index.helpers import ALLOCATION, Cli, Project


def test_verify_says_that_all_is_well_and_which_head_to_keep(filled: Project, cli: Cli) -> None:
    code, out, err = cli("verify")

    assert (code, out) == (0, "")
    assert err.startswith(
        "all is well (artifacts by size: --deep reads them): revision 4, 2 results in 2 stores; head "
    )
    head = err.split()[-1]
    assert cli("verify", "--deep", "--head", head[:12])[0] == 0


def test_verify_names_what_is_wrong_and_what_mends_it(filled: Project, cli: Cli) -> None:
    store = filled.store("eu")
    store.delete(next(iter(store.list("results/"))).key)

    code, out, err = cli("verify")

    assert code == 1
    assert out.startswith(f"record-missing: the record of result {ALLOCATION.format('b')} is gone")
    assert "  → fedml index sync" in out
    assert err == "1 thing is wrong (revision 4, 2 results in 2 stores)\n"


def test_verify_as_json_is_one_object(filled: Project, cli: Cli) -> None:
    store = filled.store("eu")
    store.delete(next(iter(store.list("artifacts/"))).key)

    code, out, err = cli("verify", "--json", "--deep")

    document = json.loads(out)
    assert (code, err) == (1, "")
    assert set(document) == {
        *(
            "schema_version",
            "revision",
            "head",
            "results",
            "stores",
            "in_flight",
            "given_up",
            "read_bytes",
            "problems",
            "signatures",
            "is_whole",
        )
    }
    assert not document["is_whole"]
    (problem,) = document["problems"]
    assert set(problem) == {"kind", "where", "what", "mend"}
    assert problem["kind"] == "file-missing"


def test_verify_still_answers_when_the_home_is_torn(filled: Project, cli: Cli) -> None:
    (filled.root / "home" / "format.json").write_bytes(b'{"for')

    code, out, _ = cli("verify")

    assert code == 1
    assert out.startswith("format-torn:")


def test_verify_sees_what_this_machine_read_before(filled: Project, cli: Cli) -> None:
    assert cli("list")[0] == 0
    last = f"index/log/{4:020d}.json"
    document = json.loads(filled.home.get(last)) | {"author": "mallory"}
    filled.home.put(last, json.dumps(document).encode())

    code, out, _ = cli("verify")

    assert code == 1
    assert out.startswith("entry-rewritten: log entry 4 by 'mallory' is not the one that this machine read before")


def test_sync_tells_first_and_writes_when_told_to(filled: Project, cli: Cli) -> None:
    assert cli("sync") == (0, "", "nothing to do: the index and the stores agree\n")
    late = filled.publish("c", region="eu", slot=1, commit=False)
    first, second = (filled.publish(name, slot=2, commit=False) for name in "de")

    code, out, err = cli("sync")

    assert (code, out.splitlines()) == (
        0,
        [
            f"{late}  sales version 4, run-1/000000001/train/0: would be superseded",
            f"{first}  sales version 4, run-1/000000002/train/0: would be committed",
            f"{second}  sales version 4, run-1/000000002/train/0: would be superseded",
        ],
    )
    assert err == "3 to do; nothing was written:  fedml index sync --yes\n"
    assert len(json.loads(cli("list", "--json")[1])["results"]) == 2
    told, document = (json.loads(cli("sync", *flags, "--json")[1]) for flags in ([], ["--yes"]))
    assert (told["is_done"], document["is_done"]) == (False, True)
    assert told["commit"] == document["commit"]
    assert [one["outcome"] for one in document["commit"]] == ["superseded", "added", "superseded"]
    assert len(json.loads(cli("list", "--json")[1])["results"]) == 5


def test_sync_ends_with_1_when_a_result_cannot_be_taken(filled: Project, cli: Cli) -> None:
    alloc_id = filled.publish("c", slot=1, commit=False)
    store = filled.store("us")
    store.delete(next(info.key for info in store.list("artifacts/") if alloc_id in info.key))

    code, out, _ = cli("sync", "--yes")

    assert code == 1
    assert f"result {alloc_id} isn't whole" in out


def test_rebuild_tells_first_and_brings_the_results_back(filled: Project, cli: Cli) -> None:
    code, _, err = cli("rebuild")
    assert code == 1
    assert err.startswith("Error: the index isn't lost: its log is whole, up to revision 4")
    before = json.loads(cli("list", "--json")[1])["results"]
    for info in list(filled.home.list("index/")):
        filled.home.delete(info.key)

    code, out, err = cli("rebuild")

    assert code == 0
    assert out.startswith("results  2 in 4 entries, from the catalog ")
    assert err == "nothing was written:  fedml index rebuild --yes\n"
    document = json.loads(cli("rebuild", "--yes", "--json")[1])
    assert (document["is_done"], document["results"], document["lost"], document["unknown"]) == (True, 2, [], [])
    after = json.loads(cli("list", "--json")[1])["results"]
    assert [entry | {"committed": ""} for entry in after] == [entry | {"committed": ""} for entry in before]
    assert cli("verify", "--deep")[0] == 0


def test_a_damaged_log_names_the_way_out(filled: Project, cli: Cli) -> None:
    filled.home.delete(f"index/log/{2:020d}.json")

    code, _, err = cli("rebuild")
    assert code == 1
    assert "fedml index rebuild --salvage" in err
    code, out, _ = cli("rebuild", "--salvage", "--yes")
    assert code == 0
    assert out.startswith("results  2 in ")
    assert cli("verify")[0] == 0


def test_gc_marks_then_removes_and_says_how_many_bytes(filled: Project, cli: Cli) -> None:
    first, second = (ALLOCATION.format(name) for name in "ab")

    code, out, err = cli("gc", "--keep", "best=auc:1", "--grace", "0m", "--dry-run")
    assert (code, out) == (0, f"{first}  version 4, 812 B: would be marked\n")
    assert err == "nothing was written: add --yes to do it\n"
    assert cli("gc", "--keep", "best=auc:1", "--grace", "0m") == (code, out, err), "without --yes nothing is done"
    assert cli("gc", "--keep", "best=auc:1", "--grace", "0m", "--yes")[2] == (
        "1 marked: the same command removes them after 0m\n0 B freed\n"
    )
    document = json.loads(cli("gc", "--keep", "best=auc:1", "--json", "--yes")[1])

    assert document["is_done"]
    assert [one["alloc_id"] for one in document["removed"]] == [first]
    assert document["freed_bytes"] > 812
    assert [entry["alloc_id"] for entry in json.loads(cli("list", "--json")[1])["results"]] == [second]
    assert cli("verify", "--deep")[0] == 0
    assert cli("get", first)[0] == 1


def test_gc_wants_to_be_told_what_to_do(filled: Project, cli: Cli) -> None:
    assert cli("gc")[2].startswith("Error: neither --keep nor --orphans says what to do")
    assert "--keep 'newest=3' isn't last=N" in cli("gc", "--keep", "newest=3", "--yes")[2]
    assert "--grace 'soon' is not a duration" in cli("gc", "--keep", "last=1", "--grace", "soon", "--yes")[2]


def test_gc_removes_what_a_broken_publish_left(filled: Project, cli: Cli) -> None:
    filled.store("us").put(f"artifacts/run-0/{0:09d}/train/0/a1/{'f' * 64}/model.bin", b"12345")
    assert "; 1 on their way" in cli("verify")[2]
    assert cli("gc", "--orphans", "7d", "--yes")[2] == "0 B freed\n"

    code, out, err = cli("gc", "--orphans", "0m", "--yes")

    assert (code, err) == (0, "5 B freed\n")
    assert out.endswith(f"/a1/{'f' * 64}/  5 B without a record: removed\n")
    assert "on their way" not in cli("verify")[2]


def test_copy_names_the_store_and_get_uses_it(filled: Project, cli: Cli) -> None:
    alloc_id = ALLOCATION.format("a")

    code, out, err = cli("copy", "a000", "eu")

    assert (code, out) == (0, "")
    assert err == f"a0000000 (sales version 4) lies in {filled.root.as_uri()}/eu: 2 files, 812 B sent, verified\n"
    document = json.loads(cli("copy", "a000", "eu/eu-west-1", "--json")[1])
    assert (document["files"], document["is_new"]) == (0, False)
    for info in list(filled.store("us").list("artifacts/")):
        filled.store("us").delete(info.key)
    assert "/eu, verified" in cli("get", alloc_id)[2]
    assert f"fedml index copy a0000000 {filled.root.as_uri()}/us" in cli("verify")[1]
    assert cli("copy", "a000", "us")[0] == 0
    assert cli("verify", "--deep")[0] == 0


def test_copy_into_a_store_that_the_federation_does_not_have(filled: Project, cli: Cli) -> None:
    backup = (filled.root / "backup").as_uri()

    code, _, err = cli("copy", "a000", backup)
    assert code == 0
    assert f"add {backup} to further_stores under [federation]" in err
    assert "there is no store 'nowhere'" in cli("copy", "a000", "nowhere")[2]
    code, out, err = cli("verify", "--deep")
    assert code == 1
    assert out.startswith(f"store-refused: the index names a copy in {backup!r}, and fedml.toml has no such store")
    assert "1 thing is wrong" in err
    code, out, err = cli("verify", "--deep", "--allow-store", backup)
    assert (code, out) == (0, "")
    assert "2 results in 3 stores" in err
    config = filled.root / "fedml.toml"
    config.write_text(config.read_text().replace("[federation]", f'[federation]\nfurther_stores = ["{backup}"]'))

    code, out, err = cli("verify", "--deep")

    assert (code, out) == (0, "")
    assert "2 results in 3 stores" in err


def test_export_and_import(filled: Project, cli: Cli) -> None:
    code, out, err = cli("export")
    assert (code, err) == (0, "2 results\n")
    assert [json.loads(line)["alloc_id"][0] for line in out.splitlines()] == ["a", "b"]
    document = json.loads(cli("export", "--to", "results.csv", "--json")[1])
    assert document == {"schema_version": 1, "path": "results.csv", "format": "csv", "results": 2}
    path = filled.root / "fedml.toml"
    path.write_text(path.read_text().replace("/home", "/new-home").replace('name = "test"', 'name = "another"'))

    assert cli("import", "results.csv")[2] == "2 added, 0 superseded, 0 late, 0 known\n"

    assert json.loads(cli("import", "results.csv", "--json")[1])["known"] == 2
    (filled.root / "bom.jsonl").write_text("\ufeff" + out, encoding="utf-8")
    assert json.loads(cli("import", "bom.jsonl", "--json")[1])["known"] == 2
    assert cli("export", "--to", "results.txt")[2].startswith("Error: results.txt: its name doesn't say what it holds")
    assert "neither jsonl nor csv" in cli("export", "--format", "xml")[2]
    assert "can't read gone.csv" in cli("import", "gone.csv")[2]


def test_sign_verify_and_get_only_what_is_signed(filled: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv("FEDML_SIGNING_KEY", key.private_bytes(*form).decode())

    code, out, err = cli("sign", "a000")

    assert code == 0
    assert err == "a0000000 (sales version 4) is signed by the key with this public key\n"
    (filled.root / "release.pub").write_text(out)
    assert json.loads(cli("sign", "a000", "--json")[1])["is_new"] is False
    code, _, err = cli("verify", "--deep", "--signature", "--trust", "release.pub")
    assert code == 0
    assert err.endswith("; 1 signatures\n")
    assert cli("get", "a000", "--signed-by", "release.pub")[0] == 0
    code, _, err = cli("get", "b000", "--signed-by", "release.pub")
    assert code == 1
    assert "no good signature of a key that you trust" in err
    assert "never the key itself" in cli("sign", "a000", "--key", "secret")[2]


def test_what_was_removed_is_shown_as_that(filled: Project, cli: Cli) -> None:
    for _ in range(2):
        assert cli("gc", "--keep", "best=auc:1", "--grace", "0m", "--yes")[0] == 0

    story = cli("show", "a000")[1]

    assert "state      removed; entered in revision 2, " in story
    assert story.endswith("its files are gone\n")
    assert [row["state"] for row in json.loads(cli("list", "--state", "removed", "--json")[1])["results"]] == [
        "removed"
    ]
    assert "committed → removed" in cli("diff", "4")[1]
    assert cli("list", "--at", "4")[1].count("committed") == 2


@pytest.mark.parametrize("command", [("sync",), ("rebuild",), ("gc", "--keep", "best=auc:1")], ids=" ".join)
def test_a_dry_run_is_the_default_and_never_together_with_yes(
    command: tuple[str, ...], filled: Project, cli: Cli
) -> None:
    for key in [each.key for each in filled.home.list("index/log/")] if command == ("rebuild",) else ():
        filled.home.delete(key)
    before = sorted(each.key for each in filled.home.list())
    assert cli(*command, "--dry-run") == cli(*command)
    code, _, err = cli(*command, "--dry-run", "--yes")
    assert (code, err.splitlines()[0]) == (1, "Error: --yes and --dry-run exclude each other")
    assert sorted(each.key for each in filled.home.list()) == before
