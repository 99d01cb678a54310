"""The task that publishes runs when all others have ended well, and is added to what it can be added to."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import InvalidSpec
from jobs.render import Place, render
from jobs.spec import shape_of
from jobs.store_task import Archive, StoreTask, with_store_task

ARCHIVES = {"file": Archive("https://files/f.pyz", "f" * 64), "s3": Archive("https://files/s.pyz", "5" * 64)}
TASK = StoreTask("model", ARCHIVES)


def group(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Name": "work", "Tasks": [{"Driver": "raw_exec", **task} for task in tasks], **more}


def test_what_trains_comes_before_and_the_task_that_publishes_is_the_leader() -> None:
    made = with_store_task(group({"Name": "train"}, Count=2), TASK, ["s3"])
    train, store = made["Tasks"]
    assert made["Count"] == 2
    assert (train["Name"], train["Lifecycle"]) == ("train", {"Hook": "prestart", "Sidecar": False})
    assert (store["Name"], store["Leader"], store["Driver"]) == ("store", True, "raw_exec")
    assert store["Config"] == {
        "command": "python3",
        "args": ["-I", "${NOMAD_TASK_DIR}/fedml-publish.pyz", "${NOMAD_ALLOC_DIR}/model"],
    }
    (artifact,) = store["Artifacts"]
    assert artifact["GetterSource"] == "https://files/s.pyz"
    assert artifact["GetterOptions"] == {"checksum": f"sha256:{'5' * 64}"}
    assert (artifact["GetterMode"], artifact["RelativeDest"]) == ("file", "local/fedml-publish.pyz")


def test_with_an_image_it_brings_its_own_python() -> None:
    made = with_store_task(group({"Name": "train", "Driver": "docker"}), TASK, ["file", "s3"])
    assert made["Tasks"][-1]["Driver"] == "docker"
    assert made["Tasks"][-1]["Config"]["image"] == "python:3.13-slim"


def test_several_tasks_all_come_before_and_what_cleans_up_stays() -> None:
    poststop = {"Name": "clean", "Lifecycle": {"Hook": "poststop", "Sidecar": False}}
    made = with_store_task(group({"Name": "a"}, poststop, {"Name": "b", "Lifecycle": None}), TASK, ["s3"])
    assert [task["Name"] for task in made["Tasks"]] == ["a", "b", "store", "clean"]
    assert [(task.get("Lifecycle") or {}).get("Hook") for task in made["Tasks"]] == [
        "prestart",
        "prestart",
        None,
        "poststop",
    ]


def test_a_group_that_publishes_by_itself_stays_as_it_is() -> None:
    own = group({"Name": "train", "Lifecycle": {"Hook": "prestart"}}, {"Name": "store", "Leader": True})
    assert with_store_task(own, TASK, ["s3"]) == own


@pytest.mark.parametrize(
    ("tasks", "task", "schemes", "told"),
    [
        (
            [{"Name": "proxy", "Lifecycle": {"Hook": "prestart", "Sidecar": True}}, {"Name": "t"}],
            TASK,
            ["s3"],
            '"proxy" has',
        ),
        ([{"Name": "a", "Leader": True}, {"Name": "b"}], TASK, ["s3"], "one of its 2 tasks is the leader"),
        ([{"Name": "t", "Driver": "java"}], TASK, ["s3"], 'driver "java"'),
        ([{"Name": "t"}], TASK, ["s3", "gs"], "gs:// and s3:// at once"),
        ([{"Name": "t"}], TASK, ["gs", "file"], "no archive for gs://"),
        ([{"Name": "t"}], StoreTask("model"), ["file"], "no archive for file://"),
    ],
)
def test_what_it_cannot_be_added_to(
    tasks: list[dict[str, Any]], task: StoreTask, schemes: list[str], told: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        with_store_task(group(*tasks), task, schemes)
    assert told in str(caught.value)
    assert 'group "work"' in str(caught.value)
    assert caught.value.hint


def test_the_renderer_adds_it_to_groups_that_publish_with_what_all_tasks_get() -> None:
    job = {
        "ID": "train",
        "Type": "batch",
        "ParameterizedJob": {"MetaOptional": ["model_version"]},
        "TaskGroups": [
            group({"Name": "train"}),
            {**group({"Name": "other"}), "Name": "quiet", "Meta": {"fedml_publish": "false"}},
        ],
    }
    stores = {"a": "s3://bucket/x", "b": "file:///mnt/x"}
    shape = shape_of(job)
    rendered = render(job, shape, Place("us", "us", "default", stores, TASK), spec_hash="5pec")
    first, quiet = rendered["TaskGroups"]
    assert [task["Name"] for task in first["Tasks"]] == ["train", "store"]
    assert first["Tasks"][1]["Env"]["FEDML_REGION"] == "us"
    assert [task["Name"] for task in quiet["Tasks"]] == ["other"]
    assert job["TaskGroups"][0]["Tasks"] == [{"Driver": "raw_exec", "Name": "train"}]  # type: ignore[index]
    plain = render(job, shape, Place("us", "us", "default", stores), spec_hash="5pec")
    assert len(plain["TaskGroups"][0]["Tasks"]) == 1
