"""`fedml plan` says which regions it waits for."""

from __future__ import annotations

import pytest

from federation.cli.plan import _waits


def test_a_region_that_does_not_answer_yet_is_named_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert not _waits(["eu"], ["us"])
    assert capsys.readouterr().err == "eu         no answer yet: waiting for it\n"
