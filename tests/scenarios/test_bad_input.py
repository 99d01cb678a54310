"""Bad input in the project, the jobspec and the parameters: one clear error, the documented exit code, nothing half-done.

Bad regions and stores: `test_bad_places.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.light_job import light_job
from tests.scenarios.project import Project, assert_refused

Refused = Callable[..., None]
DISPATCH = ("dispatch",)


# ── the project ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [("plan",), ("dispatch",), ("index", "list"), ("runs", "list"), ("dev", "up")])
def test_no_fedml_toml(project: Project, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = project.fedml(*command, cwd=tmp_path)
    assert_refused(done, "fedml.toml", "fedml init", code=255 if command == ("plan",) else 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "dispatch"])
def test_a_process_of_its_own_says_and_exits_the_same(project: Project, command: str) -> None:
    broken = project.variant("broken", ("[regions.us]", "[regions.us"))
    assert project.apart(command, "--config", broken) == project.fedml(command, "--config", broken)


def test_broken_toml(project: Project, refused: Refused) -> None:
    broken = project.variant("broken", ("[regions.us]", "[regions.us"))
    refused("--config", broken, said=("broken.toml:14:12: this is not valid TOML",))


def test_an_unknown_key_is_told_with_the_key_that_was_meant(project: Project, refused: Refused) -> None:
    mistyped = project.variant("mistyped", ('addresses = ["dev:us"]', 'adresses = ["dev:us"]'))
    refused("--config", mistyped, said=("regions.us.adresses", "did you mean 'addresses'?"))


# ── the jobspec ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_broken_hcl_is_shown_with_its_place_and_a_caret(project: Project, refused: Refused) -> None:
    job = project.write("broken.nomad.hcl", light_job("broken").replace('group "work" {', 'group "work" = {'))
    refused("--job", job, said=("Error: broken.nomad.hcl:16:", '\n    group "work" = {\n', "^"))


def test_an_unknown_function_is_shown_with_its_place(project: Project, refused: Refused) -> None:
    job = project.write("odd.nomad.hcl", light_job("odd").replace("count = var.count", 'count = lenght("x")'))
    refused("--job", job, said=("odd.nomad.hcl:17:", "lenght", "^"))


def test_a_service_job(project: Project, refused: Refused) -> None:
    job = project.write("web.nomad.hcl", light_job("web").replace('= "batch"', '= "service"'))
    refused("--job", job, said=('type "service"', 'type = "batch"'))


def test_a_job_that_is_not_parameterized(project: Project, refused: Refused) -> None:
    text = light_job("plain")
    block = text[text.index("  parameterized {") : text.index("  group ")]
    job = project.write("plain.nomad.hcl", text.replace(block, ""))
    refused("--job", job, said=("no parameterized block", "parameterized {"))


def test_no_such_jobspec(project: Project, refused: Refused) -> None:
    refused("--job", "nowhere.nomad.hcl", said=("nowhere.nomad.hcl", "--job"))


def test_an_unknown_variable(project: Project, refused: Refused) -> None:
    refused("--job", project.job("vars"), "-var", "cuont=2", said=("cuont",))


# ── a dispatch's parameters ───────────────────────────────────────────────────────────────────────────────────────────


def test_missing_required_meta(project: Project, refused: Refused) -> None:
    job = project.job("needs", required=("model_version", "region_code"))
    refused("--job", job, said=("requires meta that is missing: region_code", "-meta region_code="), commands=DISPATCH)


def test_unknown_meta_is_told_with_the_key_that_was_meant(project: Project, refused: Refused) -> None:
    job = project.job("light")
    refused("--job", job, "-meta", "epoch=3", said=("no meta key 'epoch'", "did you mean 'epochs'?"), commands=DISPATCH)


def test_meta_without_a_value_and_meta_given_twice(project: Project, refused: Refused) -> None:
    job = project.job("light")
    refused("--job", job, "-meta", "epochs", said=("'epochs' is not of the form key=value",), commands=DISPATCH)
    refused("--job", job, "-meta", "epochs=1", "-meta", "epochs=2", said=("epochs is given twice",), commands=DISPATCH)


def test_meta_that_is_fedmls_own(project: Project, refused: Refused) -> None:
    refused("--job", project.job("light"), "-meta", "fedml_slot=7", said=("fedml's own",), commands=DISPATCH)


def test_a_payload_of_one_byte_too_many(project: Project, refused: Refused) -> None:
    job = project.job("light")
    (project.root / "payload.bin").write_bytes(b"x" * 16385)
    refused("--job", job, "--payload", "payload.bin", said=("16385 bytes", "16384"), commands=DISPATCH)
    refused("--job", job, "--payload", "missing.bin", said=("missing.bin",), commands=DISPATCH)


def test_meta_over_16_kib_in_sum(project: Project, refused: Refused) -> None:
    job = project.job("light")
    long = "y" * 8200
    refused(
        "--job", job, "-meta", f"epochs={long}", "-meta", f"note={long}", said=("bytes, more than 16384",),
        commands=DISPATCH,
    )  # fmt: skip


@pytest.mark.parametrize("version", ["", "../4", "a b", "v" * 65])
def test_a_version_that_is_no_version(project: Project, refused: Refused, version: str) -> None:
    refused(
        "--job",
        project.job("light"),
        f"--version={version}",
        said=("is not a valid version", "1 to 64 letters (of any script)"),
    )


@pytest.mark.parametrize("path", ["../../x", "models/../../x", "..\\x"])
def test_a_path_that_would_escape(project: Project, refused: Refused, path: str) -> None:
    refused("--job", project.job("light"), "-meta", f"save_path={path}", said=("save_path", "'..'"), commands=DISPATCH)


@pytest.mark.parametrize("slots", ["0", "-3", "many"])
def test_a_number_of_slots_that_is_none(project: Project, refused: Refused, slots: str) -> None:
    refused("--job", project.job("light"), "-n", slots, said=("-n",))


def test_meta_that_looks_like_a_credential(project: Project, refused: Refused) -> None:
    job = project.job("creds", required=("model_version", "gcp_creds"), script="exit 0")
    secret = "AKIA-very-secret"
    refused(
        "--job", job, "-meta", f"gcp_creds={secret}",
        said=("'gcp_creds' looks like a credential", "workload identity", "Nomad variable", "SDK credentials",
              "--allow-secret-meta"),
        commands=DISPATCH,
    )  # fmt: skip
    done = project.fedml("dispatch", "--job", job, "-meta", f"gcp_creds={secret}")
    assert secret not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metrics", "x"), "'x' is not a valid port"),
        (("--metrics-file", "/no/such/x.prom"), "can't be written"),
        (("--log-file", "/no/such/x.jsonl"), "can't be written"),
        (("--on", "us"), "add --detach"),
        (("--regions", ""), "names no region"),
        (("-meta", "model_version=31"), "is the version, which fedml sends itself"),
        (("-var", "count=0"), "has count = 0 in every publishing group"),
    ],
)
def test_what_a_run_could_not_do_is_told_before_it_is_made(
    project: Project, refused: Refused, arguments: tuple[str, ...], said: str
) -> None:
    refused("--job", project.job("light"), *arguments, said=(said,), commands=("dispatch",))
