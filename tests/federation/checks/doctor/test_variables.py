"""Nomad variables that templates read: what is there, what isn't, and the command that puts it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from federation.check import Check, Outcome
from federation.checks.doctor.nodes import _compared, _explained
from federation.checks.doctor.variables import Needed, check_variables, is_own, needed_by
from regions.errors import NotFound, PermissionDenied


def job(*templates: str, **more: Any) -> dict[str, Any]:
    tasks = [
        {"Templates": [{"EmbeddedTmpl": text} for text in templates], "Env": {"FEDML_STORES": '{"dc1": "s3://b"}'}}
    ]
    return {"ID": "train", "Region": "us", "Namespace": "default", "TaskGroups": [{"Tasks": tasks}], **more}


class Client:
    def __init__(self, variables: Mapping[str, set[str] | None], version: str = "1.6.3") -> None:
        self._variables, self._version = variables, version

    def version(self) -> str:
        return self._version

    def variable_names(self, path: str) -> frozenset[str]:
        if path not in self._variables:
            raise NotFound("no", region="us", operation="variable")
        keys = self._variables[path]
        if keys is None:
            raise PermissionDenied("denied", region="us", operation="variable")
        return frozenset(keys)


AWS = """{{ with nomadVar "nomad/jobs/train" }}
AWS_ACCESS_KEY_ID={{ .id }}
AWS_SECRET_ACCESS_KEY={{ .secret.Value }}
{{ end }}"""


def test_what_templates_read() -> None:
    assert needed_by(job(AWS, "{{ with nomadVar `ml/data/` }}{{ .url }}{{ end }}")) == [
        Needed("nomad/jobs/train", ("id", "secret")),
        Needed("ml/data", ("url",)),
    ]
    assert needed_by(job('{{ env "PATH" }} a.b', "")) == []
    assert needed_by({}) == []
    assert is_own("nomad/jobs/train", "train")
    assert is_own("nomad/jobs/train/group", "train")
    assert not is_own("nomad/jobs/trainer", "train")
    assert not is_own("nomad/jobs", "train")


@pytest.mark.parametrize(
    ("variables", "outcome", "remedy"),
    [
        ({"nomad/jobs/train": {"id", "secret", "more"}}, Outcome.OK, ""),
        (
            {"nomad/jobs/train": {"id"}},
            Outcome.FAILED,
            "nomad var put -region=us -namespace=ml nomad/jobs/train secret=…",
        ),
        ({}, Outcome.FAILED, "nomad var put -region=us -namespace=ml nomad/jobs/train id=… secret=…"),
        ({"nomad/jobs/train": None}, Outcome.SKIPPED, ""),
    ],
)
def test_whether_it_is_there(variables: Mapping[str, set[str] | None], outcome: Outcome, remedy: str) -> None:
    (check,) = check_variables(cast("Any", Client(variables)), "us", job(AWS, Namespace="ml"))
    assert (check.outcome, check.remedy) == (outcome, remedy)


def test_a_nomad_without_variables() -> None:
    (check,) = check_variables(cast("Any", Client({}, "1.3.1")), "us", job(AWS))
    assert check.outcome is Outcome.FAILED
    assert check.detail == "Nomad 1.3.1 has none, and the job's templates read nomad/jobs/train"
    assert check_variables(cast("Any", Client({}, "1.3.1")), "us", job()) == []


def test_a_node_without_credentials_is_told_how_nomad_hands_them_over() -> None:
    failed = Check("node", "credentials", Outcome.FAILED, "none", "an instance role")
    told = _explained(failed, job(), "dc1")
    command = "nomad var put -region=us nomad/jobs/train AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…"
    assert told.remedy.startswith("an instance role; or by Nomad")
    assert told.remedy.endswith(command)
    assert _explained(failed, job(AWS), "dc1").outcome is Outcome.SKIPPED
    other = Check("node", "clock", Outcome.FAILED)
    assert _explained(other, job(AWS), "dc1") == other


@pytest.mark.parametrize(
    ("theirs", "outcome"), [("0.1.0", "ok"), ("0.2.9", "ok"), ("0.9.0", "warning"), ("1.1.0", "warning")]
)
def test_a_node_one_minor_version_apart_is_well(monkeypatch: pytest.MonkeyPatch, theirs: str, outcome: str) -> None:
    monkeypatch.setattr("federation.checks.doctor.nodes.fedml_version", lambda: "0.1.4")
    assert str(_compared(Check("node", "fedml publish", Outcome.OK, f"{theirs}, on Python 3.11.2")).outcome) == outcome
