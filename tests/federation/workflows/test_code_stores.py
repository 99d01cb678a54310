"""Putting the code of a run into the stores of its regions, and of those that join it later."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.app import App
from federation.config.load import load
from federation.deploy.prepare import JobRequest
from federation.workflows.code_stores import put_into_late_stores, put_into_stores
from federation.workflows.request import RunRequest
from federation.workflows.run_code import CodeAsk, code_run
from regions.storage.errors import StoreError


def test_a_late_region_whose_store_cannot_be_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print()\n")
    regions = "".join(
        f'[regions.{name}]\naddresses = ["http://127.0.0.1:1"]\n'
        f'[regions.{name}.datacenters.dc1]\nstore = "file://./{name}"\n'
        f"[dev.regions.{name}]\nnodes = [{{ cpu_mhz = 1, memory_mb = 1 }}]\n"
        for name in ("us", "eu")
    )
    (tmp_path / "fedml.toml").write_text(f'[federation]\nhome = "file://./home"\n{regions}')
    app = App(load(tmp_path))
    made = code_run(app, CodeAsk(("train.py",)), print)
    packed = made.packed(tmp_path / "cache", print)
    prepared = app.prepare(made.request(packed, RunRequest(JobRequest())).job)
    (tmp_path / "eu").write_text("a file stands where the store's folder belongs")

    said: list[str] = []
    assert put_into_late_stores(app, prepared, ["us", "eu"], packed, said.append) == ("us",)
    assert [path.name for path in (tmp_path / "us" / "code").glob("*.tar.gz")] == [f"{packed.sha256}.tar.gz"]
    [line] = said
    assert line.startswith("Left out: eu: no answer yet, and the code can't be put into its store: ")
    with pytest.raises(StoreError):
        put_into_stores(app, prepared, ["us", "eu"], packed, said.append)
