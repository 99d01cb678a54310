"""fileset() on a small tree, with what real Nomad 1.6.3 and 2.0.5 found there."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.hcl.filesets import matching_files
from jobs.hcl.values import ValueProblem

FILES = (
    "a.py",
    "b.txt",
    ".dot",
    "c.PY",
    "d/x.py",
    "d/.h.py",
    "d/sub/y.py",
    "d/sub/deep/z.py",
    ".hid/q.py",
    "sp ace/w.py",
    "we[i]rd.txt",
    "e{f}.txt",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "linkd").symlink_to("d")
    (tmp_path / "linka.py").symlink_to("a.py")
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "pattern", "found"),
    [
        (".", "*", [".dot", "a.py", "b.txt", "c.PY", "e{f}.txt", "linka.py", "we[i]rd.txt"]),
        (".", "*.py", ["a.py", "linka.py"]),
        ("d", "**/*.py", [".h.py", "sub/deep/z.py", "sub/y.py", "x.py"]),
        (".", "{a,b}.*", ["a.py", "b.txt"]),
        (".", "*.{py,txt}", ["a.py", "b.txt", "e{f}.txt", "linka.py", "we[i]rd.txt"]),
        (".", "[ab]*", ["a.py", "b.txt"]),
        (".", "[^a]*", [".dot", "b.txt", "c.PY", "e{f}.txt", "linka.py", "we[i]rd.txt"]),
        (".", "[!a]*", ["a.py"]),
        (".", "**/deep/*", ["d/sub/deep/z.py", "linkd/sub/deep/z.py"]),
        (".", "**/sub/**", ["d/sub/deep/z.py", "d/sub/y.py", "linkd/sub/deep/z.py", "linkd/sub/y.py"]),
        (".", "**/.*", [".dot", "d/.h.py", "linkd/.h.py"]),
        (".", "we\\[i\\]rd.txt", ["we[i]rd.txt"]),
        (".", "**.py", ["a.py", "linka.py"]),
        (".", "/a.py", ["a.py"]),
        ("d", "../*.py", ["../a.py", "../linka.py"]),
        (".", "d//sub/./y.py", ["d/sub/y.py"]),
        (".", "sp ace/*", ["sp ace/w.py"]),
        (".", "d/", []),
        (".", "", []),
        (".", "a}", []),
        (".", "{a,{b,c}}.*", ["a.py", "b.txt", "c.PY"]),
        (".", "{,a}.py", ["a.py"]),
        ("nowhere", "*", []),
    ],
)
def test_finds_what_nomad_finds(tree, folder, pattern, found):
    assert sorted(matching_files(str(tree / folder), pattern)) == found


def test_all_files_below_a_folder(tree):
    linked = {f"linkd/{name}" for name in (".h.py", "x.py", "sub/y.py", "sub/deep/z.py")}
    assert matching_files(str(tree), "**") == {*FILES, *linked, "linka.py"}


@pytest.mark.parametrize("pattern", ["[", "[]", "{a", "[a-]", "[z-a]"])
def test_a_wrong_pattern_is_an_error(tree, pattern):
    with pytest.raises(ValueProblem, match="pattern"):
        matching_files(str(tree), pattern)


def test_a_link_to_nothing_is_an_error_where_it_is_matched(tree):
    (tree / "broken.py").symlink_to("nowhere")
    assert matching_files(str(tree), "*.txt")
    with pytest.raises(ValueProblem, match=r"broken\.py is a link to nothing"):
        matching_files(str(tree), "*.py")


def test_links_in_a_circle_end(tree):
    for name in ("one", "two"):
        (tree / name).symlink_to(".")
    with pytest.raises(ValueProblem, match=r"names|is a link to nothing"):
        matching_files(str(tree), "**/*.py")
