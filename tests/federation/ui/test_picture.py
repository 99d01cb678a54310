"""Pictures are written as SVG files, and what can't be is one error."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from federation.charts.bars import Bar, bars
from federation.errors import UsageError
from federation.ui.picture import require_svg, write_picture


def test_a_picture_is_written_and_says_how_many_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "auc.SVG"
    assert write_picture(bars([Bar("a", 1)]), path) == f"Drawn: {path} (1 of 1)"
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_another_ending_names_svg() -> None:
    with pytest.raises(UsageError, match=r"run\.png is not a valid name of a picture: it must end in \.svg") as refused:
        require_svg(Path("run.png"))
    assert refused.value.hint == "--plot run.svg"
    with pytest.raises(UsageError, match=r"must end in \.svg"):
        require_svg(Path())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no/run\.svg: can't be written: No such file"):
        write_picture(bars([]), tmp_path / "no" / "run.svg")
