"""`[tool.fedml]` of scripts and pyproject.toml: what is read, and which line an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.config.tool_settings import of_project, of_script
from federation.errors import ConfigError

SCRIPT = Path("train.py")


def block(*lines: str) -> str:
    """A script with these lines in its block, which begins in line 3."""
    return "\n".join(["#!/usr/bin/env python3", "", "# /// script", *lines, "# ///", "print()", ""])


def test_a_script_without_a_block_says_nothing() -> None:
    assert of_script(SCRIPT, "# /// other\n# x = 1\n# ///\n") is None
    assert of_script(SCRIPT, "# /// script\n# x = 1\n") is None
    assert of_script(SCRIPT, "") is None


def test_a_block_is_read_as_pep_723_says() -> None:
    found = of_script(
        SCRIPT,
        block(
            '# requires-python = ">=3.11"',
            "#",
            "# [tool.fedml]",
            "# cpu = 2000",
            '# pass = "env"',
            '# device = { "amd/gpu" = 2 }',
            '# regions = ["us"]',
            "#",
            "# [tool.other]",
            "# cpu = 1",
        ),
    )
    assert found is not None
    assert found.data["requires-python"] == ">=3.11"
    assert found.settings == {"cpu": 2000, "passes": "env", "device": {"amd/gpu": 2}, "regions": ["us"]}


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (
            ["# [tool.fedml]", "# memroy = 3"],
            r"train.py:5: \[tool.fedml\] memroy: unknown key",
            "did you mean 'memory'?",
        ),
        (
            ["# [tool.other]", "# cpu = 2", "# [tool.fedml]", '# cpu = "2"'],
            "train.py:7: .* cpu: must be a whole number",
            "",
        ),
        (["# [tool.fedml]", "#", "# gpu = -1"], "train.py:6: .* gpu: must be 0 or more", ""),
        (["# [tool.fedml]", '# driver = "dokcer"'], "train.py:5: .* driver: must be one of", "did you mean 'docker'?"),
        (["# [tool.fedml]", '# slot_timeout = "2 hours"'], "train.py:5: .*another form", 'slot_timeout = "2h"'),
        (["# [tool.fedml]", '# driver = "exec"', '# image = "a"'], "train.py:4: .*has an image", "docker"),
        (["# [tool.fedml", "# cpu = 2"], "train.py:4: this is not valid TOML", ""),
        (["# cpu = = 2"], "train.py:4: this is not valid TOML", ""),
        (["# [tool]", "# fedml = 3"], r"train.py:\d: \[tool.fedml\]", ""),
    ],
)
def test_an_error_names_file_line_and_key(lines: list[str], message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        of_script(SCRIPT, block(*lines))
    assert hint in caught.value.hint


def test_two_blocks_are_refused_at_the_second() -> None:
    with pytest.raises(ConfigError, match=r"train.py:10: a second"):
        of_script(SCRIPT, block("# x = 1") + "\n" + block("# x = 1"))


def test_all_problems_are_named() -> None:
    with pytest.raises(ConfigError, match=r"(?s)cpuu: unknown key\n  also train.py:6: \[tool.fedml\] gpu"):
        of_script(SCRIPT, block("# [tool.fedml]", "# cpuu = 1", '# gpu = "x"'))


def test_pyproject_is_read_beside_the_code(tmp_path: Path) -> None:
    assert of_project(tmp_path).settings == {}
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.fedml]\nname = "digits"\n')
    assert of_project(tmp_path).settings == {"name": "digits"}
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        of_project(tmp_path)
