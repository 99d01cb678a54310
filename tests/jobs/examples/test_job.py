"""The example's jobspec: what travels in it, what variables change, and that Nomad's templates leave Python alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.hcl import VariableSource, parse_job

FIXTURES = Path(__file__).parents[2] / "fixtures"


def parse(example: Path, **variables: object) -> dict[str, Any]:
    path = example / "sales-close-prediction.nomad.hcl"
    sources = [VariableSource("-var", variables)]
    return parse_job(path.read_text(), filename=path.name, base_dir=example, variables=sources).job


def tasks(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["Name"]: task for task in job["TaskGroups"][0]["Tasks"]}


def test_train_comes_first_and_store_leads(example: Path) -> None:
    job = parse(example)
    assert job["ParameterizedJob"]["MetaRequired"] == ["model_version"]
    assert {"save_path", "data_url", "epochs", "batch_size"} < set(job["ParameterizedJob"]["MetaOptional"])
    assert job["TaskGroups"][0]["Count"] == 1
    train, store = tasks(job)["train"], tasks(job)["store"]
    assert train["Lifecycle"] == {"Hook": "prestart", "Sidecar": False}
    assert store["Leader"] is True
    assert train["Config"] == {
        "command": "python3",
        "args": ["-m", "pipeline", "extract", "transform", "build", "train", "test"],
    }
    assert train["Env"]["HANDOVER_DIR"] == store["Env"]["HANDOVER_DIR"] == "${NOMAD_ALLOC_DIR}"
    assert job["Meta"]["data_url"] == (example / "pipeline" / "data" / "coil2000.csv.gz").as_uri()


def test_each_task_carries_the_code_of_its_stages(example: Path) -> None:
    carried = {
        name: {template["DestPath"]: template["EmbeddedTmpl"] for template in task["Templates"]}
        for name, task in tasks(parse(example)).items()
    }
    modules = {f"local/pipeline/{path.name}": path.read_text() for path in (example / "pipeline").glob("*.py")}
    assert carried["train"].items() | carried["store"].items() == modules.items() - {
        ("local/pipeline/predict.py", modules["local/pipeline/predict.py"])
    }


def test_the_delimiters_never_occur_in_the_code(example: Path) -> None:
    for task in tasks(parse(example)).values():
        for template in task["Templates"]:
            assert template["ChangeMode"] == "noop"
            assert template["LeftDelim"] not in template["EmbeddedTmpl"]
            assert template["RightDelim"] not in template["EmbeddedTmpl"]


def test_the_whole_job_stays_small(example: Path) -> None:
    size_bytes = sum(
        len(template["EmbeddedTmpl"].encode())
        for task in tasks(parse(example)).values()
        for template in task["Templates"]
    )
    assert size_bytes < 64 * 1024


def test_variables_put_it_into_containers_with_a_host_volume(example: Path) -> None:
    job = parse(
        example, driver="docker", image="ml:4", volume="models", count="2", data_url="https://example.com/c.csv"
    )
    group = job["TaskGroups"][0]
    assert group["Count"] == 2
    assert group["Volumes"]["handover"]["Source"] == "models"
    assert job["Meta"]["data_url"] == "https://example.com/c.csv"
    for task in tasks(job).values():
        assert task["Driver"] == "docker"
        assert task["Config"]["image"] == "ml:4"
        assert [mount["Destination"] for mount in task["VolumeMounts"]] == ["/handover"]
        assert task["Env"]["HANDOVER_DIR"] == "/handover/${NOMAD_ALLOC_ID}"


def test_python_and_fedml_are_variables(example: Path) -> None:
    job = parse(example, python="/opt/ml/bin/python3", fedml="/opt/ml/bin/fedml")
    assert {task["Config"]["command"] for task in tasks(job).values()} == {"/opt/ml/bin/python3"}
    assert tasks(job)["store"]["Env"]["FEDML_COMMAND"] == "/opt/ml/bin/fedml"


def test_the_storys_own_jobspec_keeps_what_only_nomad_can_fill_in() -> None:
    path = FIXTURES / "story-2021.nomad.hcl"
    job = parse_job(path.read_text(), filename=path.name, base_dir=FIXTURES).job
    assert job["ParameterizedJob"]["MetaRequired"] == ["model_version", "save_path", "data_url", "gcp_creds"]
    train, store = tasks(job)["train"], tasks(job)["store"]
    assert (train["Driver"], train["Lifecycle"]["Hook"]) == ("docker", "prestart")
    assert [mount["Volume"] for mount in train["VolumeMounts"]] == ["models"]
    assert train["Config"]["auth"] == [{"username": "ci"}]
    assert (store["Driver"], store["Leader"]) == ("exec", True)
    assert store["Env"]["TARGET_DIR"] == "${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"
    target = '"/models/${env["TARGET_DIR"]}"'
    assert store["Config"]["args"][1] == f'gsutil cp -r {target} "${{NOMAD_META_save_path}}/" && rm -rf {target}'


def test_the_data_is_attributed(example: Path) -> None:
    text = (example / "pipeline" / "data" / "README.md").read_text()
    assert "CC BY 4.0" in text
    assert "van der Putten" in text
