"""What a token may not do is found out before a version is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.workflows.dispatch import begin
from federation.workflows.request import RunRequest
from jobs.errors import FedmlError
from regions.storage.errors import PermissionDenied
from tests.federation.plan.planning import FakeApp, FakeRegion


def dispatch(app: FakeApp) -> None:
    begin(app.app, RunRequest(JobRequest()), skip_unreachable=False, tell=lambda _: None)


def test_a_read_only_token_of_nomad_takes_no_version(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us"), FakeRegion("eu", may_not_dispatch=True))
    with pytest.raises(UsageError, match=r"the token may not dispatch \(dispatch-job\) in: eu; nothing was dispatched"):
        dispatch(app)
    assert not app.home.objects


def test_a_read_only_token_of_the_home_store_takes_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = FakeApp(tmp_path)

    def put(*request: Any, **options: Any) -> Any:
        raise PermissionDenied("AccessDenied", hint="allow it")

    monkeypatch.setattr(app.home, "put", put)
    with pytest.raises(FedmlError, match="AccessDenied"):
        dispatch(app)
    assert not app.home.objects
