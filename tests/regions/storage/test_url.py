"""The grammar of store URLs: what is read, what it is written back as, and one clear error for each way of being wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import FedmlError
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url, schemes, store_url
from regions.storage.backend import own_backends
from regions.storage.errors import InvalidStoreURL
from regions.storage.url import folder_of, folder_url


@pytest.mark.parametrize(
    ("url", "config"),
    [
        ("s3://bucket", StoreConfig(url="s3://bucket")),
        ("s3://bucket/", StoreConfig(url="s3://bucket")),
        (" s3://bucket/a/b/ ", StoreConfig(url="s3://bucket/a/b")),
        ("s3://bucket/wïth space", StoreConfig(url="s3://bucket/wïth space")),
        (
            "s3://bucket/prefix?endpoint=http://127.0.0.1:9000/&anonymous=true",
            StoreConfig(url="s3://bucket/prefix", endpoint="http://127.0.0.1:9000", anonymous=True),
        ),
        (
            "s3://bucket?location=eu-west-1&profile=two words&anonymous=0",
            StoreConfig(url="s3://bucket", location="eu-west-1", profile="two words"),
        ),
        ("gs://bucket/a/b/", StoreConfig(url="gs://bucket/a/b")),
        (
            "gs://my.bucket_1?endpoint=http://127.0.0.1:4443&anonymous=true",
            StoreConfig(url="gs://my.bucket_1", endpoint="http://127.0.0.1:4443", anonymous=True),
        ),
        ("az://account1/models", StoreConfig(url="az://account1/models")),
        (
            "az://devstoreaccount1/models/a b/?endpoint=http://127.0.0.1:10000",
            StoreConfig(url="az://devstoreaccount1/models/a b", endpoint="http://127.0.0.1:10000"),
        ),
        ("file:///srv/fedml/", StoreConfig(url="file:///srv/fedml")),
        ("file:///srv/a%20b/100%25", StoreConfig(url="file:///srv/a%20b/100%25")),
        ("s3://bucket/a@b:c@d", StoreConfig(url="s3://bucket/a@b:c@d")),
        ("file:///srv/a@b", StoreConfig(url="file:///srv/a@b")),
        ("file:///srv/a b", StoreConfig(url="file:///srv/a%20b")),
    ],
)
def test_what_is_read_is_written_back_the_same(url: str, config: StoreConfig) -> None:
    assert parse_store_url(url) == config
    assert parse_store_url(store_url(config)) == config


@pytest.mark.parametrize(
    ("url", "told", "hint"),
    [
        ("", "is empty", "s3://bucket/prefix"),
        ("/srv/data", "'/srv/data' has no scheme", "did you mean file:///srv/data?"),
        ("./data", "'./data' has no scheme", "absolute path"),
        ("bucket/prefix", "has no scheme", "s3://bucket/prefix"),
        ("file://srv/data", "needs an absolute path", "did you mean file:///srv/data?"),
        ("file://localhost/srv/data", "needs an absolute path", "did you mean file:///srv/data?"),
        ("file:/srv/data", "no '//'", "did you mean file:///srv/data?"),
        ("file:///", "whole file system", "name a folder"),
        ("file:///srv/../etc", "'.' or '..'", "write the path"),
        ("file:///srv?endpoint=http://x:1", "file:// takes no endpoint", "takes no parameters"),
        ("s3:bucket/prefix", "no '//'", "did you mean s3://bucket/prefix?"),
        ("s3://", "names no bucket", "did you mean s3://bucket/prefix?"),
        ("s3:///bucket/x", "names no bucket", "did you mean s3://bucket/x?"),
        ("s3://127.0.0.1:9000/bucket", "is not a valid bucket name", "?endpoint="),
        ("s3://ab", "is not a valid bucket name", ""),
        ("s3://bucket/a/../b", "the prefix can't be used", ""),
        ("s3://bucket/a//b", "the prefix can't be used", ""),
        ("s3://bucket#x", "holds a '#'", ""),
        ("s3://bucket?endpont=http://x:1", "a parameter 'endpont'", "known: endpoint, location, profile, anonymous"),
        ("s3://bucket?endpoint=127.0.0.1:9000", "is not a valid address", "endpoint=http://"),
        ("s3://bucket?endpoint=", "'endpoint' is empty", ""),
        ("s3://bucket?endpoint=http://[x", "is not a valid address", "endpoint=http://"),
        ("s3://bucket?endpoint=http://x:99999", "is not a valid address", "endpoint=http://"),
        ("s3://[bucket", "is not a valid bucket name", ""),
        ("s3://bucket?profile=a&profile=b", "given twice", ""),
        ("s3://bucket?anonymous=maybe", "true or false", ""),
        ("S3://bucket", "lower case", "s3://"),
        ("s3://bu\ncket", "control character", ""),
        ("ftp://host/x", "no store is known for ftp://", "az://, file://, gs://, s3://"),
        ("gs://", "names no bucket", "did you mean gs://bucket/prefix?"),
        ("gs://Bucket/x", "is not a valid bucket name", "lower-case letters"),
        ("gs://bucket?location=eu", "gs:// takes no location", "endpoint and anonymous"),
        ("gs://bucket?profile=me", "gs:// takes no profile", "endpoint and anonymous"),
        ("gs:bucket", "no '//'", "did you mean gs://bucket?"),
        ("gcs://bucket/x", "no store is known for gcs://", "did you mean gs://bucket/x?"),
        ("https://storage.googleapis.com/bucket/x", "no store is known for https://", "did you mean gs://bucket/x?"),
        ("az://", "names no storage account", "write az://account/container/prefix"),
        ("az:///container", "names no storage account", "write az://account/container/prefix"),
        ("az://account1", "names no container", "write az://account/container/prefix"),
        ("az://account1/?endpoint=http://x:1", "names no container", "write az://account/container/prefix"),
        (
            "az://my-account/container",
            "'my-account' in 'az://my-account/container' is not a valid name of a storage account",
            "lower-case",
        ),
        (
            "az://me.blob.core.windows.net/models",
            "is not a valid name of a storage account",
            "did you mean az://me/models?",
        ),
        ("az://127.0.0.1:10000/account1/c", "is not a valid name of a storage account", "?endpoint="),
        ("az://account1/Models", "is not a valid name of a container", "3 to 63 lower-case letters"),
        ("az://account1/a--b", "is not a valid name of a container", "single '-'"),
        ("az://account1/models/../x", "the prefix can't be used", ""),
        ("az://account1/models?profile=me", "az:// takes no profile", "endpoint and anonymous"),
        ("azure://account1/models", "no store is known for azure://", "did you mean az://account1/models?"),
        ("https://account1.blob.core.windows.net/m/x?sv=1", "no store is known", "did you mean az://account1/m/x?"),
        ("abfss://models@account1.dfs.core.windows.net/x", "no store is known", "did you mean az://account1/models/x?"),
        ("https://bucket.s3.eu-west-1.amazonaws.com/x", "no store is known", "did you mean s3://bucket/x?"),
        ("s3a://bucket/x", "no store is known for s3a://", "did you mean s3://bucket/x?"),
    ],
)
def test_each_way_of_being_wrong_has_its_error(url: str, told: str, hint: str) -> None:
    with pytest.raises(InvalidStoreURL) as caught:
        open_store(parse_store_url(url))
    assert told in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:planted-secret@bucket/prefix",
        "s3://bucket?secret_access_key=planted-secret",
        "s3://bucket?endpoint=http://me:planted-secret@127.0.0.1:9000",
        "file://me:planted-secret@host/x",
        "://me:planted-secret@x",
        "s3:me:planted-secret@bucket",
        "me:planted-secret@bucket",
        "s3://AKIA:planted-secret/with/slash@bucket/prefix",
        "planted-secret@bucket",
        "az://account1:planted-secret@container/x",
        "az://account1/models?sig=planted-secret",
        "https://account1.blob.core.windows.net/models?sig=planted-secret",
        "abfss://me:planted-secret@account1.dfs.core.windows.net/x",
    ],
)
def test_credentials_in_a_url_are_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(InvalidStoreURL) as caught:
        open_store(parse_store_url(url))
    assert "planted-secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("url", ["", "bucket", "ftp://x", "file://relative"])
def test_a_config_with_a_wrong_url_is_refused_too(url: str) -> None:
    with pytest.raises(InvalidStoreURL):
        open_store(StoreConfig(url=url))


@pytest.mark.parametrize("name", ["a b", "100%", "wïth", "q?x#y", "plus+and&"])
def test_a_folder_comes_back_from_its_url(name: str) -> None:
    assert folder_of(folder_url(Path("/srv") / name)) == Path("/srv") / name
    assert parse_store_url(folder_url(Path("/srv") / name)).url == folder_url(Path("/srv") / name)


def test_a_third_partys_backend_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thirdparty.py").write_text("class Mine:\n    def __init__(self, config): self.url = config.url\n")
    (tmp_path / "thirdparty-1.dist-info").mkdir()
    (tmp_path / "thirdparty-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1\n")
    (tmp_path / "thirdparty-1.dist-info/entry_points.txt").write_text("[fedml.stores]\nmine = thirdparty:Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "mine" in schemes()
    assert open_store(parse_store_url("mine://bucket/x")).url == "mine://bucket/x"


def test_the_built_in_backends_need_no_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regions.storage.backend._entry_points", dict)
    assert schemes() == [*own_backends()] == ["az", "file", "gs", "s3"]
    assert open_store(StoreConfig(url="file:///srv")).url == "file:///srv"
    with pytest.raises(FedmlError):
        open_store(StoreConfig(url="mine://bucket/x"))
