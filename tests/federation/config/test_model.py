from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from federation.app import App
from federation.config import schema, schema_places
from federation.config.adopted_places import adopted_stores
from federation.config.dev_state import Process, Server, new_state, state_folder, write_state
from federation.config.load import find, load
from federation.config.model import Config
from federation.errors import ConfigError
from federation.index.tag_rule import TagRule
from jobs.store_task import StoreTask
from regions.credentials import SecretRef, SecretUnavailable
from regions.model import Price, Region, StoreConfig, TLSFiles

MINIMAL = """
[federation]
home = "file://./stores/home"

[regions.us]
addresses = ["https://nomad.us.example.com:4646"]
store = "file://./stores/us"
[regions.us.datacenters.dc1]
"""

DEV = """
[federation]
home = "file://./stores/home"

[regions.us]
addresses = ["dev:us"]
store = { url = "s3://fedml-us/models", endpoint = "dev:s3" }
[regions.us.datacenters.us-east-1]
[regions.us.datacenters.us-west-2]

[dev.regions.us]
nodes = [{ cpu_mhz = 2000, count = 2 }, { name = "big", datacenter = "us-west-2", memory_mb = 9000 }]
[dev.stores.s3]
buckets = ["fedml-us"]
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOMAD_ADDR", "NOMAD_REGION", "NOMAD_TOKEN", "NOMAD_NAMESPACE", "FEDML_CONFIG", "FEDML_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "fedml.toml"
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> Config:
    return load(write(folder, text))


def refusal(folder: Path, text: str) -> ConfigError:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    return caught.value


def test_the_least_file_has_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.name == tmp_path.name
    assert config.root == tmp_path
    assert config.home.url == f"file://{tmp_path}/stores/home"
    assert (config.job, config.slots, config.policy, config.results, config.deploy) == (
        None,
        None,
        "spread",
        "publish",
        "auto",
    )
    assert (config.max_attempts, config.grace_s, config.dev, config.warnings) == (3, 60.0, None, ())
    region = config.regions["us"]
    assert region.nomad_region == "us"
    assert region.token is None
    assert region.namespace == "default"
    assert region.tls.verify is True
    assert region.datacenters["dc1"].store.url == f"file://{tmp_path}/stores/us"


def test_everything_can_be_said(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [federation]
        name = "sales"
        home = { url = "s3://home/fedml", location = "eu-central-1", profile = "ml" }
        job = "sales.nomad.hcl"
        slots = 3
        results = "none"
        deploy = "never"
        max_attempts = 5
        grace_s = 90
        [regions.eu]
        addresses = ["https://a:4646/", "http://[::1]:4646"]
        nomad_region = "global"
        token = { command = ["vault", "read"] }
        namespace = "ml"
        order = 2
        weight = 0.5
        price_per_hour = 1
        [regions.eu.tls]
        ca_cert = "certs/ca.pem"
        server_name = "server.eu.nomad"
        verify = false
        [regions.eu.datacenters.dc1]
        store = "s3://bucket/a"
        endpoint = "http://127.0.0.1:9000"
        access_key_id = { env = "KEY" }
        secret_access_key = { file = "secret" }
        [regions.eu.datacenters.dc2]
        store = { url = "s3://bucket/b?location=us-east-1", anonymous = true }
        [regions.eu.vars]
        image = "x:1"
        volumes = ["a", { name = "b" }]
        [regions.us]
        addresses = ["https://a:4646"]
        [regions.us.datacenters.dc1]
        store = "file:///srv/us"
        """,
    )
    assert list(config.regions) == ["eu", "us"]
    eu = config.regions["eu"]
    assert eu.addresses == ("https://a:4646", "http://[::1]:4646")
    assert (eu.nomad_region, eu.namespace, eu.order, eu.weight, eu.price_per_hour) == ("global", "ml", 2, 0.5, 1.0)
    assert eu.token == SecretRef(command=("vault", "read"))
    assert eu.tls.ca_cert == tmp_path / "certs/ca.pem"
    assert eu.tls.verify is False
    first, second = eu.datacenters["dc1"].store, eu.datacenters["dc2"].store
    assert (first.url, first.endpoint) == ("s3://bucket/a", "http://127.0.0.1:9000")
    assert (first.access_key_id, first.secret_access_key) == (SecretRef(env="KEY"), SecretRef(file=tmp_path / "secret"))
    assert (second.location, second.anonymous) == ("us-east-1", True)
    assert eu.variables == {"image": "x:1", "volumes": ["a", {"name": "b"}]}
    assert (config.home.location, config.home.profile) == ("eu-central-1", "ml")


def test_the_file_is_found_upward_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, MINIMAL)
    inner = tmp_path / "pipeline" / "deep"
    inner.mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    named = write(other, MINIMAL)
    assert find(cwd=inner) == path
    assert find(other, cwd=inner) == named
    assert find(Path("../../other/fedml.toml"), cwd=inner).resolve() == named
    monkeypatch.setenv("FEDML_CONFIG", str(named))
    assert find(cwd=inner) == named
    assert find(path, cwd=inner) == path
    monkeypatch.chdir(inner)
    assert load().path == named


def test_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no fedml\.toml in .* or any folder above") as caught:
        find(cwd=tmp_path)
    assert "fedml init" in caught.value.hint
    with pytest.raises(ConfigError, match=r"no such file: .*absent\.toml \(--config\)"):
        find(tmp_path / "absent.toml")
    monkeypatch.setenv("FEDML_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(ConfigError, match=r"\(FEDML_CONFIG\)"):
        find(cwd=tmp_path)


def test_shell_variables_of_nomad_count_only_where_referenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_ADDR", "http://elsewhere:4646")
    monkeypatch.setenv("NOMAD_REGION", "elsewhere")
    monkeypatch.setenv("NOMAD_TOKEN", "secret")
    monkeypatch.setenv("NOMAD_NAMESPACE", "ml")
    config = read(tmp_path, MINIMAL)
    assert len(config.warnings) == 1
    assert config.warnings[0].startswith("NOMAD_ADDR and NOMAD_REGION of this shell are ignored")
    assert config.regions["us"].token is None
    assert config.regions["us"].namespace == "default"
    referring = MINIMAL.replace(
        "[regions.us.datacenters", 'namespace = { env = "NOMAD_NAMESPACE" }\n[regions.us.datacenters'
    )
    assert read(tmp_path, referring).regions["us"].namespace == "ml"
    monkeypatch.delenv("NOMAD_NAMESPACE")
    assert read(tmp_path, referring).regions["us"].namespace == "default"


@pytest.mark.parametrize(
    ("before", "after", "says", "hint"),
    [
        ("addresses", "adresses", "regions.us.adresses: unknown key", "did you mean 'addresses'"),
        ("[regions.us]", "[region.us]", "region: unknown key", "did you mean 'regions'"),
        ("[regions.us]\n", "[regions.us]\ntls = { ca_crt = 'x' }\n", "regions.us.tls.ca_crt: unknown key", "'ca_cert'"),
        ("[regions.us]\n", "[regions.us]\nwwww = 1\n", "regions.us.wwww: unknown key", "known here: addresses"),
        ("[federation]\n", "[federation]\nslots = '3'\n", "federation.slots: must be a whole number, not text", ""),
        ("[federation]\n", "[federation]\nmax_failures = 'many'\n", "max_failures: has another form", '"5" or "5%"'),
        ("[federation]\n", "[federation]\ngrace_s = inf\n", "federation.grace_s: must be a finite number", ""),
        ("[regions.us]\n", "[regions.us]\nweight = nan\n", "regions.us.weight: must be a finite number", ""),
        ("[federation]\n", "[federation]\ngrace_s = -1\n", "federation.grace_s: must be 0 or more", ""),
        ("[federation]\n", "[federation]\npolicy = ''\n", "federation.policy: must not be empty", ""),
        ("[federation]\n", "[federation]\nslots = 0\n", "federation.slots: must be greater than 0", ""),
        (
            "[federation]\n",
            "[federation]\nslots = true\n",
            "federation.slots: must be a whole number, not true or false",
            "",
        ),
        (
            "[federation]\n",
            "[federation]\nresults = 'publsh'\n",
            "federation.results: must be one of",
            "did you mean 'publish'",
        ),
        ("[federation]\n", "[federation]\nresults = 'adopt'\n", "federation.adopt: is missing, and", "{alloc_id}"),
        ("[federation]\n", "[federation]\nadopt = 'v{version}.json'\n", "federation.adopt: the pattern", "{alloc_id}"),
        ('home = "file://./stores/home"', "", "federation.home: is missing", "home ="),
        (
            '"file://./stores/home"',
            '"./stores/home"',
            "federation.home: './stores/home' is a path",
            "file://./stores/home",
        ),
        ('"file://./stores/home"', '"gopher:x"', "federation.home: ", "did you mean gopher://x"),
        ('"file://./stores/home"', "7", "federation.home: must be a table, not a whole number", ""),
        (
            'store = "file://./stores/us"',
            "",
            "regions.us.datacenters.dc1: has no store",
            'store = "s3://bucket/prefix"',
        ),
        ("[regions.us.datacenters.dc1]", "", "regions.us: has no datacenter", "[regions.us.datacenters.dc1]"),
        ("datacenters.dc1", "datacenters.'dc*'", "'dc*' is not a valid name", "letters"),
        (
            "datacenters.dc1]",
            "datacenters.dc1]\nendpoint = 'http://a:1'",
            "has store settings but no `store`",
            "store =",
        ),
        (
            "[regions.us]\n",
            "[regions.us]\ntoken = { env = 'A', file = 'b' }\n",
            "regions.us.token: must name exactly one",
            "",
        ),
        ("https://nomad.us.example.com:4646", "nomad:4646", "'nomad:4646' is not a valid address", "https://host:port"),
        (
            "https://nomad.us.example.com:4646",
            "http://h:1/ui",
            "'http://h:1/ui' is not a valid address",
            "without a path",
        ),
        ("https://nomad.us.example.com:4646", "http://h:99999", "'http://h:99999' is not a valid address", ""),
        ("https://nomad.us.example.com:4646", "dev:us", "there is no [dev.regions.us]", "add [dev.regions.us]"),
        ('["https://nomad.us.example.com:4646"]', "[]", "regions.us.addresses: must not be empty", "addresses = ["),
        (
            "[regions.us]\n",
            '[regions.us]\ntls.client_key = "k.pem"\n',
            "regions.us.tls.client_key: has no client_cert",
            "",
        ),
        (
            "[regions.us]\n",
            '[regions.us]\ntls.ca_cert = "a\\u0000b"\n',
            "regions.us.tls.ca_cert: holds a NUL",
            "remove",
        ),
        ("[regions.us]\n", "[regions.us]\nvars.day = 2026-01-01\n", "regions.us.vars.day: HCL has no dates", "text"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, before: str, after: str, says: str, hint: str) -> None:
    assert before in MINIMAL
    error = refusal(tmp_path, MINIMAL.replace(before, after, 1))
    assert says in str(error)
    assert hint in error.hint


@pytest.mark.parametrize("key", ["token", "store.secret_access_key", "tokn", "datacenters.dc2.secret_access_key"])
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path, key: str) -> None:
    text = MINIMAL.replace('store = "file://./stores/us"\n', 'store.url = "s3://abc/d"\n')
    error = refusal(tmp_path, text.replace("[regions.us]\n", f'[regions.us]\n{key} = "s3cr3t-value"\n', 1))
    assert key.split(".")[-1] in str(error)
    assert "s3cr3t" not in str(error) + error.hint
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    if "tokn" not in key:
        assert "{ env = " in error.hint


def test_credentials_in_an_address_are_refused_and_not_repeated(tmp_path: Path) -> None:
    error = refusal(tmp_path, MINIMAL.replace("https://nomad", "https://me:s3cr3t@nomad"))
    assert "user name or password" in str(error)
    assert "s3cr3t" not in str(error) + error.hint


def test_several_problems_are_one_error_with_the_mistyped_key_first(tmp_path: Path) -> None:
    error = refusal(tmp_path, MINIMAL.replace("addresses", "adresses").replace("home =", "hom ="))
    assert [line.strip() for line in str(error).splitlines()][1:] == [
        "also regions.us.adresses: unknown key",
        "also federation.home: is missing",
        "also regions.us.addresses: is missing",
    ]
    assert "federation.hom: unknown key" in str(error).splitlines()[0]


def test_no_regions(tmp_path: Path) -> None:
    assert "regions: no region in the file" in str(refusal(tmp_path, '[federation]\nhome = "file://./home"\n'))
    assert "federation: is missing" in str(refusal(tmp_path, ""))


def test_the_same_region_twice(tmp_path: Path) -> None:
    again = '[regions.eu]\naddresses = ["https://b:1", "https://nomad.us.example.com:4646"]\nstore = "s3://abc/d"\n'
    again += "datacenters.dc1 = {}\n"
    error = refusal(tmp_path, MINIMAL + again + 'nomad_region = "us"\n')
    assert "regions.eu: is the same Nomad region as regions.us: 'us' at https://nomad.us.example.com:4646" in str(error)
    assert read(tmp_path, MINIMAL + again).regions["eu"].nomad_region == "eu", "an address may be shared"
    error = refusal(tmp_path, MINIMAL + "[regions.us]\n")
    assert re.search(r"fedml\.toml:\d+:\d+: this is not valid TOML: cannot declare .*twice", str(error))
    assert "only once" in error.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[federation\n", ":1:12: this is not valid TOML"),
        (b'a = "', ": this is not valid TOML"),
        (b"a = '\xff'", ": byte 5 is not UTF-8 text"),
    ],
)
def test_what_is_no_toml(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "fedml.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + MINIMAL).regions.keys() == {"us"}


def test_folders_with_difficult_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20#ü"
    folder.mkdir()
    config = read(folder, MINIMAL)
    from regions.storage.url import folder_of

    assert folder_of(config.home.url) == folder / "stores" / "home"


def test_without_a_running_development_federation_the_file_still_loads(tmp_path: Path) -> None:
    config = read(tmp_path, DEV)
    us = config.regions["us"]
    assert us.addresses == ("dev:us",)
    assert us.token is not None
    with pytest.raises(SecretUnavailable, match="isn't up") as caught:
        us.token.read()
    assert "fedml dev up" in caught.value.hint
    store = us.datacenters["us-west-2"].store
    assert (store.endpoint, store.anonymous) == ("dev:s3", True)
    assert config.dev is not None
    assert [(node.name, node.datacenter) for node in config.dev.regions["us"].nodes] == [
        ("us-1", "us-east-1"),
        ("us-2", "us-east-1"),
        ("big", "us-west-2"),
    ]


@pytest.mark.parametrize(("text", "version"), [("2.0", "2.0.5"), ("1.6", "1.6.3"), ("1.11.3", "1.11.3")])
def test_a_development_region_answers_as_the_version_that_it_is_given(tmp_path: Path, text: str, version: str) -> None:
    config = read(tmp_path, DEV.replace("[dev.regions.us]", f'[dev.regions.us]\nversion = "{text}"', 1))
    assert config.dev is not None
    assert config.dev.regions["us"].version == version


def test_a_running_development_federation_gives_the_addresses(tmp_path: Path) -> None:
    state_folder(tmp_path).mkdir(parents=True)
    process = Process(pid=1, start_time=2, boot_id="x")
    state = new_state().with_server("region:us", Server("region", "us", 4001, process))
    write_state(tmp_path, state.with_server("store:s3", Server("store", "s3", 4002, process)))
    config = read(tmp_path, DEV)
    assert config.regions["us"].addresses == ("http://127.0.0.1:4001",)
    assert config.regions["us"].token == SecretRef(file=tmp_path / ".fedml/dev/token")
    assert config.regions["us"].datacenters["us-east-1"].store.endpoint == "http://127.0.0.1:4002"
    write_state(tmp_path, state.with_server("region:us", Server("region", "us", 4001)))
    assert read(tmp_path, DEV).regions["us"].addresses == ("dev:us",)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("[dev.regions.us]", "[dev.regions.uk]", "regions.us.addresses: there is no [dev.regions.us]"),
        ('endpoint = "dev:s3"', 'endpoint = "dev:minio"', "there is no [dev.stores.minio]"),
        ("[dev.stores", "[dev.regions.eu]\nnodes = [{}]\n[dev.stores", "dev.regions.eu: there is no [regions.eu]"),
        ('"us-west-2",', '"us-west-9",', "regions.us has no datacenter 'us-west-9'"),
        ('name = "big"', 'name = "us-1"', "two nodes are named 'us-1'"),
        ("memory_mb = 9000", "memory_mb = 9000, mem = 1", "dev.regions.us.nodes.1.mem: unknown key"),
        (
            "[dev.regions.us]",
            '[dev.regions.us]\nversion = "two"',
            "dev.regions.us.version: 'two' is not a Nomad version",
        ),
        (
            "[dev.regions.us]",
            '[dev.regions.us]\nversion = "1.5.17"',
            "dev.regions.us.version: 1.5.17 is older than 1.6.3",
        ),
        ('buckets = ["fedml-us"]', 'kind = "nfs"\nbuckets = ["b"]', "dev.stores.s3.kind: must be one of 's3'"),
        (
            'buckets = ["fedml-us"]',
            'kind = "gcs"\nbuckets = ["fedml-us"]',
            "regions.us.store: is a s3:// URL, and dev:s3 is a store of kind gcs",
        ),
    ],
)
def test_what_is_wrong_with_the_development_part(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in DEV
    assert says in str(refusal(tmp_path, DEV.replace(before, after, 1)))


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.cache_dir == tmp_path / ".fedml" / "cache"
    monkeypatch.setenv("FEDML_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert config.cache_dir == tmp_path / "elsewhere"


def test_importing_the_module_loads_no_pydantic() -> None:
    code = "import sys, federation.config.model; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


PLANNED = """
[federation]
home = "file://./home"
policy = "cheapest"

[regions.us]
addresses = ["https://us:4646"]
store = "file://./us"
price_per_hour = 0.5
prices = [{ node_class = "gpu", per_hour = 3.1 }, { device = "nvidia/gpu", per_hour = 4 }]
minimum = 2
cap = 10
elastic_slots = 20
[regions.us.datacenters.dc1]

[jobs.train]
allowed_regions = ["us"]

[shares.owners]
"ann@*" = 50
[shares.namespaces]
ml = 200
"""


def test_what_planning_goes_by(tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text(PLANNED)
    config = load(tmp_path)
    us = config.regions["us"]
    assert (config.policy, us.minimum, us.cap, us.elastic_slots, us.price_per_hour) == ("cheapest", 2, 10, 20, 0.5)
    assert us.prices == (Price(3.1, node_class="gpu"), Price(4, device="nvidia/gpu"))
    assert config.allowed_regions == {"train": frozenset({"us"})}
    assert (config.shares.of_owner("ann@laptop"), config.shares.of_owner("bob"), config.shares.namespaces) == (
        50,
        None,
        {"ml": 200},
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"cheapest"', '"cheepest"', "federation.policy: there is no policy 'cheepest'"),
        ("minimum = 2", "minimum = 12", "regions.us: has a minimum above its cap"),
        ("cap = 10", "cap = 0", "regions.us.cap: "),
        ('["us"]\n\n[shares', '["moon"]\n\n[shares', "jobs.train.allowed_regions: there is no region 'moon'"),
        ('["us"]\n\n[shares', "[]\n\n[shares", "jobs.train.allowed_regions: "),
        (
            '{ node_class = "gpu", per_hour = 3.1 }',
            "{ per_hour = 3.1 }",
            "names neither node_class, node_pool nor device",
        ),
        ("ml = 200", "ml = 0", "shares.namespaces.ml: "),
    ],
)
def test_what_planning_can_not_go_by(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PLANNED
    (tmp_path / "fedml.toml").write_text(PLANNED.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert told in str(caught.value)


def test_where_jobs_write_results_themselves(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL).adopt == {}
    text = MINIMAL.replace("[federation]\n", "[federation]\nresults = 'adopt'\nadopt = '{save_path}_{alloc_id}.json'\n")
    config = read(tmp_path, text)
    assert config.results == "adopt"
    assert {name: pattern.text for name, pattern in config.adopt.items()} == dict.fromkeys(
        config.regions, "{save_path}_{alloc_id}.json"
    )
    own = text.replace("addresses", "adopt = 'gs://b/{alloc_id}/'\naddresses", 1)
    assert next(iter(read(tmp_path, own).adopt.values())).text == "gs://b/{alloc_id}/"


def test_the_task_that_publishes(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL).store_task is None
    table = '[publish]\nadd_task = true\npath = "out/model"\ndriver = "docker"\n'
    archive = f'[publish.archives.s3]\nurl = "https://files/s3.pyz"\nsha256 = "{"a" * 64}"\n'
    task = read(tmp_path, f"{MINIMAL}\n{table}{archive}").store_task
    assert task is not None
    assert (task.path, task.driver, task.python, task.memory_mb) == ("out/model", "docker", "python3", 256)
    assert task.archives["s3"].sha256 == "a" * 64
    for wrong in ("/tmp/model", "../model", ""):
        told = refusal(tmp_path, f"{MINIMAL}\n{table.replace('out/model', wrong)}{archive}")
        assert "publish.path" in str(told)
    for url in ("https://ann:planted@files/s3.pyz", "https://files/s3.pyz?X-Amz-Signature=planted"):
        told = str(refusal(tmp_path, f"{MINIMAL}\n{table}{archive.replace('https://files/s3.pyz', url)}"))
        assert "publish.archives.s3.url: holds credentials" in told
        run = f'[run]\nuv = "{url}"\nuv_sha256 = "{"a" * 64}"\n'
        assert "run.uv: holds credentials" in str(refusal(tmp_path, f"{MINIMAL}\n{run}"))
        assert "planted" not in told
    assert "publish.archives.s3.sha256" in str(refusal(tmp_path, f"{MINIMAL}\n{table}{archive.replace('a' * 64, 'A')}"))


def test_a_local_azure_store_has_azurites_account_and_its_key_by_reference(tmp_path: Path) -> None:
    text = DEV.replace('url = "s3://fedml-us/models"', 'url = "az://devstoreaccount1/fedml-us/models"')
    text = text.replace('buckets = ["fedml-us"]', 'kind = "azure"\nbuckets = ["fedml-us"]')
    store = next(iter(read(tmp_path, text).regions["us"].datacenters.values())).store
    assert store.secret_access_key is not None
    assert store.secret_access_key.file == tmp_path / ".fedml/dev/azure.key"
    assert not store.anonymous
    told = refusal(tmp_path, text.replace("devstoreaccount1", "mine"))
    assert "isn't of Azurite's account" in str(told)
    assert told.hint == "write az://devstoreaccount1/CONTAINER"


STORES = """
[federation]
home = "s3://home"
further_stores = ["s3://backup", "file://./old"]

[regions.us]
addresses = ["https://us:4646"]
further_stores = ["s3://old", { url = "s3://older", profile = "archive" }]
[regions.us.datacenters.dc1]
store = "s3://models"
endpoint = "https://minio"
former_endpoints = ["http://10.1.2.3:9000"]
"""


def test_stores_that_moved_are_named(tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text(STORES)

    config = load(tmp_path / "fedml.toml")

    assert [store.url for store in config.further_stores] == ["s3://backup", (tmp_path / "old").as_uri()]
    us = config.regions["us"]
    assert us.further_stores == (StoreConfig("s3://old"), StoreConfig("s3://older", profile="archive"))
    assert us.datacenters["dc1"].store.former_endpoints == ("http://10.1.2.3:9000",)
    app = App(config)
    assert app.result_stores().names == ["s3://models?endpoint=https://minio"]
    app.close()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"s3://backup"', '"backup"', "federation.further_stores[0]: "),
        ('"s3://old",', '"s3://old", "S3://x",', "regions.us.further_stores[1]: "),
        ('"http://10.1.2.3:9000"', '"minio:9000"', "regions.us.datacenters.dc1.store.former_endpoints: "),
        ('"http://10.1.2.3:9000"', '"http://me:secret@10.1.2.3"', "holds a user name or password"),
    ],
)
def test_what_is_wrong_with_stores_that_moved(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "fedml.toml").write_text(STORES.replace(old, new))

    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "fedml.toml")

    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_buckets_that_patterns_name_are_known(tmp_path: Path) -> None:
    pattern = 'adopt = "gs://legacy-{datacenter}/{save_path}_{alloc_id}.json"\n[regions.us]'
    (tmp_path / "fedml.toml").write_text(STORES.replace("[regions.us]", pattern, 1))
    assert adopted_stores(load(tmp_path / "fedml.toml")) == {"us": [StoreConfig("gs://legacy-dc1")]}

    for text in ("gs://legacy-{job}/{alloc_id}", "{save_path}/{alloc_id}", "gs://legacy-{datacenter}{alloc_id}/x"):
        adopt = f'adopt = "{text}"\n[regions.us]'
        (tmp_path / "fedml.toml").write_text(STORES.replace("[regions.us]", adopt, 1))
        assert adopted_stores(load(tmp_path / "fedml.toml")) == {}


def test_a_value_that_is_made_without_the_file_has_the_defaults_of_the_schema() -> None:
    pairs: list[tuple[type, type[schema_places.Table]]] = [
        (Region, schema_places.RegionTable),
        (Price, schema_places.PriceTable),
        (StoreConfig, schema_places.StoreTable),
        (TLSFiles, schema_places.TLSTable),
        (StoreTask, schema.PublishTable),
        (TagRule, schema.TagTable),
    ]
    differing, compared = [], 0
    for value, table in pairs:
        for field in fields(value):
            declared = table.model_fields.get(field.name)
            if field.default is MISSING or declared is None or declared.is_required():
                continue
            default = declared.get_default(call_default_factory=True)
            if isinstance(default, schema_places.Table) or default is None or field.default is None:
                continue  # made of several keys, or by where it stands in the file
            compared += 1
            if (tuple(default) if isinstance(default, list) else default) != field.default:
                differing.append(f"{value.__name__}.{field.name}")
    assert (differing, compared > 8) == ([], True)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            'home = "file://./stores/home"',
            "home = 3",
            'federation.home: must be a table, not a whole number|write home = "',
        ),
        (
            '["https://nomad.us.example.com:4646"]',
            '"https://x:1"',
            "regions.us.addresses: must be a list, not text|write addr",
        ),
        (
            'store = "file://./stores/us"',
            "store = []",
            'regions.us.store: must be a table, not a list|write store = "s3://',
        ),
    ],
)
def test_a_value_of_a_wrong_type_comes_with_an_example(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in MINIMAL
    (tmp_path / "fedml.toml").write_text(MINIMAL.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert said.partition("|")[0] in caught.value.message
    assert caught.value.hint.startswith(said.partition("|")[2])
