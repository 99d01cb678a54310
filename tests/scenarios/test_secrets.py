"""Planted secrets, one in each path by which a credential comes in, and everything that a session says or writes.

Regions are reached by tokens from a file, an environment variable and a command; a store by access keys from the
environment; tasks by the keys that their node has in a file. Then the same with secrets that are refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.emulators.requirements import missing
from tests.scenarios.project import REGIONS, ApartProject, Done, Project

pytestmark = pytest.mark.slow

TOKEN_FILES = {"region.token", "wrong.token", "token-command", "node.credentials", ".fedml/dev/token"}
"""Files whose very purpose is to hold a secret."""
TASK = """\
export AWS_SHARED_CREDENTIALS_FILE=%s AWS_EC2_METADATA_DISABLED=true
mkdir out && echo x > out/model.txt && echo '{"score": 0.5}' > out/metrics.json
cp %s out/
fedml publish out && fedml publish out --json && env | grep -c NOMAD_
"""


class Session:
    """A project whose commands run with the planted secrets, and all that they said."""

    def __init__(self, root: Path) -> None:
        self.planted = {
            name: f"planted-{name}-{secrets.token_hex(12)}"
            for name in ("node-key", "store-id", "store-key", "wrong-env", "wrong-file", "wrong-command", "meta", "url")
        }
        self.said: list[tuple[str, Done]] = []
        self.project = Planted(root, self.planted)

    def fedml(self, *arguments: str, code: int | None = 0) -> Done:
        """Run the command, keep what it says."""
        done = self.project.fedml(*arguments)
        self.said.append((" ".join(arguments), done))
        assert code is None or done.code == code, f"fedml {' '.join(arguments)}: {done.code}\n{done.err}{done.out}"
        return done

    def leaks(self, texts: Mapping[str, str | bytes]) -> list[str]:
        """Where which secret shows up."""
        token = (self.project.root / ".fedml/dev/token").read_text().strip()
        found = []
        for name, secret in {**self.planted, "region-token": token}.items():
            for where, text in texts.items():
                raw = text if isinstance(text, bytes) else text.encode()
                if secret.encode() in raw:
                    found.append(f"{name} in {where}")
        return found


class Planted(ApartProject):
    """A project whose commands have secrets in their environment."""

    def __init__(self, root: Path, planted: Mapping[str, str]) -> None:
        super().__init__(root)
        self.planted = planted

    def environment(self) -> dict[str, str]:
        environ = {name: value for name, value in super().environment().items() if not name.startswith("AWS_")}
        token = self.root / ".fedml/dev/token"
        return environ | {
            "SHOP_KEY_ID": self.planted["store-id"],
            "SHOP_KEY": self.planted["store-key"],
            "EU_TOKEN": token.read_text().strip() if token.exists() else "",
            "WRONG_TOKEN": self.planted["wrong-env"],
        }


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A whole small session, once: its project is up until the tests are through."""
    try:
        import flask  # noqa: F401
        import moto  # noqa: F401
    except ImportError:
        missing("s3", "moto[server] is not installed")
    root = tmp_path_factory.mktemp("secrets") / "shop"
    root.mkdir()
    made = Session(root)
    root.rmdir()
    made.said.append(("init", Project(root.parent).ran("init", str(root))))
    toml = root / "fedml.toml"
    text = toml.read_text().replace(
        'store = "file://./stores/us"',
        'store = "s3://shop/us"\nendpoint = "dev:s3"\naccess_key_id = { env = "SHOP_KEY_ID" }\n'
        'secret_access_key = { env = "SHOP_KEY" }\nlocation = "us-east-1"',
    )
    assert "SHOP_KEY" in text
    toml.write_text(text + '\n[dev.stores.s3]\nbuckets = ["shop"]\n')
    try:
        made.fedml("dev", "up")
        good_session(made)
        refused_session(made)
        yield made
    finally:
        made.project.fedml("dev", "down", "--purge", "--yes")


def with_tokens(session: Session, name: str, us: str, eu: str, onprem: str) -> str:
    """A configuration whose regions are reached by their addresses, with tokens from these references."""
    project = session.project
    status = project.ran("dev", "status", "--json").json["servers"]
    address = {server["name"]: server["address"] for server in status}
    tokens = {"us": us, "eu": eu, "onprem": onprem}
    return project.variant(
        name,
        *(
            (f'addresses = ["dev:{region}"]', f'addresses = ["{address[region]}"]\ntoken = {tokens[region]}')
            for region in REGIONS
        ),
    )


def good_session(session: Session) -> None:
    """Every command, with credentials that are right."""
    project = session.project
    (project.root / "region.token").write_bytes((project.root / ".fedml/dev/token").read_bytes())
    config = with_tokens(
        session, "right", '{ file = "region.token" }', '{ env = "EU_TOKEN" }', '{ command = ["cat", "region.token"] }'
    )
    keys = project.root / "node.credentials"
    node_key = session.planted["node-key"]
    keys.write_text(f"[default]\naws_access_key_id = {node_key}\naws_secret_access_key = {node_key}\n")
    url = session.planted["url"]
    project.write("data.json", f'{{"url": "https://me:{url}@data.example/a.csv?sig={url}"}}')
    job = project.job("light", TASK % (keys, project.root / "data.json"))
    use = ("--config", config)
    for arguments in (
        ("doctor",),
        ("doctor", "--json"),
        ("doctor", "--policy"),
        ("regions", "list", "--json"),
        ("regions", "list", "-v"),
    ):
        session.fedml(*arguments, *use, code=None)
    session.fedml("job", "render", "--job", job, *use)
    session.fedml("plan", "--job", job, *use, "--json", code=1)
    session.fedml("dispatch", "--job", job, *use, "--version", "4")
    session.fedml("dispatch", "--job", job, *use, "--version", "5", "--json")
    (run, *_) = session.fedml("runs", "list", *use, "--json").json["runs"]
    session.fedml("runs", "show", run["run"], *use)
    session.fedml("runs", "show", run["run"], *use, "--json")
    session.fedml("index", "list", *use)
    rows = session.fedml("index", "list", *use, "--json").json["results"]
    assert len(rows) == 6
    row = next(one for one in rows if one["region"] == "us")
    assert row["store"].startswith("s3://shop/us")
    for show in ((), ("--json",)):
        session.fedml("index", "show", row["alloc_id"], *use, *show)
    session.fedml("index", "get", row["alloc_id"], *use, "--to", "got")
    session.fedml("stores", "list", *use)
    session.fedml("stores", "check", *use)
    session.fedml("stores", "check", "us", "--json", *use)
    session.fedml("stores", "check", "--policy", *use)


def refused_session(session: Session) -> None:
    """The commands again, with credentials that are wrong, or in places where none belong."""
    project = session.project
    (project.root / "wrong.token").write_text(session.planted["wrong-file"])
    project.write("token-command", f"#!/bin/sh\necho {session.planted['wrong-command']} >&2; exit 3\n")
    config = with_tokens(
        session,
        "wrong",
        '{ env = "WRONG_TOKEN" }',
        '{ file = "wrong.token" }',
        '{ command = ["/bin/sh", "token-command"] }',
    )
    for arguments in (
        ("doctor",),
        ("doctor", "--json"),
        ("plan",),
        ("plan", "--json"),
        ("dispatch",),
        ("dispatch", "--json"),
        ("dispatch", "--job", "light.nomad.hcl", "-meta", f"gcp_creds={session.planted['meta']}"),
    ):
        assert session.fedml(*arguments, "--config", config, code=None).code != 0
    session.fedml("regions", "list", "--config", config, code=1)
    url = f"s3://me:{session.planted['url']}@shop"
    session.fedml("publish", url, code=1)
    session.fedml("stores", "check", url, code=1)
    session.fedml("stores", "check", f"s3://shop/us?secret={session.planted['url']}", code=1)


def test_no_secret_is_said(session: Session) -> None:
    texts = {f"{command} ({kind})": text for command, done in session.said for kind, text in
             (("stdout", done.out), ("stderr", done.err))}  # fmt: skip
    assert len(texts) > 50
    assert session.leaks(texts) == []
    assert session.leaks({"a control": session.planted["meta"]}) == ["meta in a control"]


def test_no_secret_is_written_anywhere(session: Session) -> None:
    """Logs, records, allocations, regions' states, catalogs, the S3 server's objects: every file of the project."""
    root = session.project.root
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    published = (root / "data.json").read_bytes()  # a file that is published stays what it is
    texts = {name: path.read_bytes().replace(published, b"") for name, path in files.items() if name not in TOKEN_FILES}
    assert any(name.startswith("stores/home/index/log/") for name in texts)
    assert any(name.endswith("stdout.0") or "/logs/" in name for name in texts)
    assert session.leaks(texts) == []


def test_no_secret_is_in_the_regions_answers(session: Session) -> None:
    answers = {}
    for region in REGIONS:
        for path in ("jobs", "allocations", "nodes", "evaluations", "agent/self"):
            answers[f"{region} {path}"] = repr(session.project.region(region, f"/v1/{path}"))
        for job in session.project.jobs(region):
            answers[f"{region} job {job}"] = repr(session.project.region(region, f"/v1/job/{job.replace('/', '%2F')}"))
    assert any("FEDML_STORES" in text for text in answers.values())
    assert session.leaks(answers) == []


def test_a_data_url_is_recorded_without_its_secrets(session: Session) -> None:
    said = [done.out for command, done in session.said if command.startswith("index show") and "--json" in command]
    assert len(said) == 1
    assert re.search(r'"data_url": "https://data\.example/a\.csv"', said[0]) is not None
