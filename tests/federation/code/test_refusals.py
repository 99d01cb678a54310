"""Credentials, links that leave, devices, odd names and too much aren't packed; the error says what and what to do."""

from __future__ import annotations

import os
import random
import socket
import string
from pathlib import Path

import pytest

from federation.code import refusals
from federation.code.pack import pack
from federation.code.refusals import secret_in
from federation.errors import CodeError
from tests.federation.code.helpers import write


def refused(root: Path, cache: Path, **given: bool) -> CodeError:
    """The error of packing; nothing is left in the cache."""
    with pytest.raises(CodeError) as error:
        pack(root, cache, large=given.get("large", False))
    assert not cache.exists() or not list((cache / "code").iterdir())
    return error.value


@pytest.mark.parametrize(
    "name",
    [
        ".env", ".env.local", "conf/prod.pem", "id_rsa", "deep/id_ed25519", ".aws/credentials", "service-account.json",
        "my-service-account.json", ".netrc", ".pypirc", ".kube/config", "kaggle.json", "a/.docker/config.json",
        "terraform.tfstate", "x.key", "ID_RSA", ".git-credentials", "huggingface/token",
    ],
)  # fmt: skip
def test_credentials_are_refused_by_name(tmp_path: Path, name: str) -> None:
    error = refused(write(tmp_path / "a", {"train.py": "", name: "x"}), tmp_path / "cache")
    assert f"{name} has the name of a file with credentials" in error.message
    assert ".fedmlignore" in error.hint
    assert "--allow-secret-file" in error.hint


@pytest.mark.parametrize(
    "name", [".env.example", "environment.yml", "tokenizer.json", "keys.py", "pem.py", "credentials.py", "gcloud/a.py"]
)
def test_names_that_only_sound_so_are_code(tmp_path: Path, name: str) -> None:
    assert pack(write(tmp_path / "a", {name: "x"}), tmp_path / "cache").file_count == 1


def text_of(alphabet: str, count: int) -> str:
    return "".join(random.Random(7).choices(alphabet, k=count))


WORD = string.ascii_letters + string.digits
SECRETS = {
    "an AWS access key": 'key = "AKIA' + text_of(string.ascii_uppercase, 16) + '"',
    "an AWS secret key": "aws_secret_access_key = " + text_of(WORD, 40),
    "a private key": "-----BEGIN RSA PRIVATE " + "KEY-----\n" + text_of(WORD, 64),
    "a GitHub token": "token: ghp_" + text_of(WORD, 36),
    "a Slack token": "xoxb-" + text_of(string.digits, 12),
    "a Hugging Face token": "HF_TOKEN=hf_" + text_of(string.ascii_letters, 34),
    "an Azure account key": "AccountName=a;AccountKey=" + text_of(WORD, 86) + "==",
    "a signed Azure URL": "https://a.blob.core.windows.net/b?se=1&sig=" + text_of(WORD, 44),
    "a Google API key": "AIza" + text_of(WORD, 35),
    "an API key": "sk-proj-" + text_of(WORD, 48),
    "a Nomad token": "export NOMAD_TOKEN=6a9d1f0e-1c5e-4b1f-9a52-2f1d6f6d7a11",
    "an npm token": "//registry.npmjs.org/:_authToken=" + text_of(WORD, 36),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_refused_by_pattern_and_not_shown(tmp_path: Path, kind: str) -> None:
    secret = SECRETS[kind]
    error = refused(write(tmp_path / "a", {"lib/conf.py": f"# one\n\n{secret}\n"}), tmp_path / "cache")
    assert f"lib/conf.py seems to hold {kind} (line 3)" in error.message
    assert secret[-20:] not in error.message + error.hint


def test_a_service_accounts_key_is_a_private_key(tmp_path: Path) -> None:
    text = '{"private_key": "-----BEGIN PRIVATE ' + f'KEY-----\\n{text_of(WORD, 64)}"}}'
    assert "a private key" in refused(write(tmp_path / "a", {"gcp.json": text}), tmp_path / "cache").message


@pytest.mark.parametrize("before", [0, (1 << 20) - 10, (2 << 20) - 30])
def test_a_secret_is_found_between_the_pieces_of_a_large_file(tmp_path: Path, before: int) -> None:
    text = "\n" * before + SECRETS["a GitHub token"] + "x" * 3_000_000
    error = refused(write(tmp_path / "a", {"data.txt": text}), tmp_path / "cache")
    assert f"(line {before + 1:,})" in error.message


def test_noise_with_beginnings_of_secrets_is_read_in_one_pass() -> None:
    """Patterns that were tried on all of it would take minutes."""
    noise = random.Random(1).randbytes(100_000) + b" xoxy hf_hub sig= AKIA PRIVATE KEY sk-proj- "
    assert secret_in(noise * 400) is None


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'AWS_SECRET_ACCESS_KEY = os.environ["X"]',
        'if "-----BEGIN PRIVATE KEY-----" in text:',
        "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        "hf_hub_download",
        "xoxo",
        "disk-proj-" + "a" * 40,
        "ghp_short",
        "NOMAD_TOKEN=$NOMAD_TOKEN",
    ],
)
def test_what_only_looks_like_a_secret_is_code(text: str) -> None:
    assert secret_in(text.encode()) is None


def test_a_file_that_only_looks_like_a_secret_can_be_allowed(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"test.pem": "x", "conf.py": SECRETS["a Slack token"], "train.py": ""})
    packed = pack(root, tmp_path / "cache", allow_secret_files=["test.pem", "conf.py"])
    assert packed.file_count == 3
    with pytest.raises(CodeError, match=r"test\.pem has the name"):
        pack(root, tmp_path / "cache", allow_secret_files=["conf.py"])


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("../outside", "leaves the folder"), ("/etc/passwd", "is absolute"), ("../../a/train.py", "leaves the folder"),
        ("sub/../../x", "isn't written in its shortest form"), ("../lib/../../x", "leaves the folder"),
    ],
)  # fmt: skip
def test_links_that_leave_are_refused(tmp_path: Path, target: str, problem: str) -> None:
    root = write(tmp_path / "a", {"train.py": "", "sub/x": ""})
    (root / "link").symlink_to(target)
    error = refused(root, tmp_path / "cache")
    assert f"link is a link to {target!r}, which {problem}" in error.message
    assert "secret" not in error.hint


def test_pipes_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "a", {"train.py": ""})
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        message = refused(root, tmp_path / "cache").message
    assert "pipe is a pipe, not a file" in message
    assert "sock is a socket, not a file" in message


def test_names_that_another_machine_cant_hold_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"Model.py": "", "model.py": "", "x/ä.py": "", "x/a\u0308.py": ""})
    (root / os.fsdecode(b"bad-\xff.py")).write_text("")
    message = refused(root, tmp_path / "cache").message
    assert "model.py differs only in case from Model.py" in message
    assert "x/ä.py differs only in case from x/a\u0308.py" in message
    assert "bad-\\udcff.py isn't valid UTF-8" in message


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"/".join(["d" * 200] * 6) + "/x.py": ""})
    assert "is too long" in refused(root, tmp_path / "cache").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cant_be_read_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"train.py": "", "closed.py": ""})
    (root / "closed.py").chmod(0)
    assert "closed.py: Permission denied" in refused(root, tmp_path / "cache").message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert "holds no file to pack" in refused(tmp_path / "a", tmp_path / "cache").message
    assert "neither a script nor a folder" in refused(tmp_path / "nothing", tmp_path / "cache").message


def test_too_many_bytes_name_the_largest_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "USUAL_BYTES_MAX", 10_000)
    root = write(
        tmp_path / "a", {"train.py": "1", "data/a.bin": "x" * 9000, "data/b.bin": "x" * 9000, "weights/w": "x" * 500}
    )
    error = refused(root, tmp_path / "cache")
    assert "holds 4 files with 18.5 kB; at most 4,096 files with 10.0 kB are packed without --large" in error.message
    assert "The largest: data/ (2 files, 18.0 kB), weights/ (1 file, 500 B), train.py" in error.message
    assert "such as data/" in error.hint
    assert "--large" in error.hint
    assert pack(root, tmp_path / "cache", large=True).file_count == 4


def test_too_many_files_name_the_largest_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "USUAL_FILES_MAX", 10)
    root = write(tmp_path / "a", {"train.py": "", **{f"data/{number}.txt": "" for number in range(11)}})
    assert "holds 12 files with 0 B; at most 10 files" in refused(root, tmp_path / "cache").message
    monkeypatch.setattr(refusals, "FILES_MAX", 11)
    assert "--large" not in refused(root, tmp_path / "cache", large=True).message


def test_many_problems_are_one_error(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {f"{number}.pem": "" for number in range(20)})
    message = refused(root, tmp_path / "cache").message
    assert message.count("has the name") == 8
    assert message.endswith("and 12 more")
