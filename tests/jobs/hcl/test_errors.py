"""Every mistake is one HclError that names its file, line and column, shows the place, and says what to do."""

from __future__ import annotations

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job


def error_of(text: str) -> HclError:
    with pytest.raises(HclError) as caught:
        parse_job(text, filename="x.nomad.hcl")
    return caught.value


def test_the_place_is_shown_with_a_caret():
    error = error_of('job "j" {\n  group "g" {\n    cuont = 2\n  }\n}\n')

    assert str(error) == 'x.nomad.hcl:3:5: there is no argument "cuont" in "group"\n      cuont = 2\n      ^'
    assert error.hint == 'Did you mean "count"?'
    assert (error.file, error.line, error.column) == ("x.nomad.hcl", 3, 5)


def test_the_caret_stands_under_the_place_also_behind_tabs_and_wide_text():
    error = error_of('job "j" {\n\tmeta = { ä = "é", b = [1] }\n}\n')
    shown, caret = str(error).split("\n")[1:]
    assert shown[len(caret) - 1] == "{"
    assert "\t" not in shown


def test_a_line_that_is_too_long_to_show_is_left_out():
    error = error_of('job "j" {\n meta = {a = "' + "x" * 5000 + '"} }\n')
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "place", "problem", "hint"),
    [
        ("", "1:1", "there is no job here", 'job "name"'),
        ('jbo "j" {\n}', "1:1", 'no block "jbo"', 'Did you mean "job"?'),
        ("job {\n}", "1:1", '"job" takes one label', 'job "name"'),
        ('job "a" "b" {\n}', "1:1", '"job" takes one label', ""),
        ('job "a" {\n}\njob "b" {\n}', "3:1", "the first is on line 1", ""),
        ('x = 1\njob "a" {\n}', "1:1", "outside of the job", ""),
        ('job "a" {\n  type = batch service\n}', "2:16", 'expected the end of the line, found "service"', ""),
        ('job "a" {\n  type = "batch\n}', "2:10", "this string is never closed", "heredoc"),
        ("job \"a\" {\n  type = 'batch'\n}", "2:10", "expected a value", "double quotes"),
        ('job "a" {\n  type "batch"\n}', "2:15", 'after the labels of "type"', "same line"),
        ('job "a" {\n  type\n}', "2:7", 'after "type"', ""),
        ('job "a" {\n  type = "a", x = 1\n}', "2:13", "expected the end of the line", "without commas"),
        ('job "a" {\n  "type" = "a"\n}', "2:3", "expected the name of an argument", "not quoted"),
        ('job "a" {\n  type = "a"\n  type = "b"\n}', "3:3", '"type" is already set on line 2', "once"),
        ('job "a" {\n  group "g" {\n', "2:13", "never closed", ""),
        ('job "a" {\n  meta { a = 1, b = 2 }\n}', "2:15", "one line holds one argument", "its own lines"),
        ('job "a" {\n  group "g" { task "t" {} }\n}', "2:15", "one line holds one argument", ""),
        ('job "a" {\n  /* never closed\n}', "2:3", "comment is never closed", "*/"),
        ('job "a" {\n  type = <<EOT\n  x\n}\n', "2:10", 'heredoc "EOT" is never closed', ""),
        ('job "a" {\n  type = <<EOT\n  x\n  EOT', "2:10", "never closed", "that line with a newline"),
        ('job "a" {\n  type = "\\q"\n}', "2:11", "not a valid escape sequence", "\\\\ for a backslash"),
        ('job "a" {\n  type = "\\ud800"\n}', "2:11", "not a valid character", ""),
        (
            'job "a" {\n  type = "${x"\n}',
            "2:14",
            'expected "}" at the end of this interpolation, found a quotation mark',
            "",
        ),
        ('job "a" {\n  type = "%{ iff true }x%{ endif }"\n}', "2:14", "after %{", 'Did you mean "if"?'),
        ('job "a" {\n  type = "%{ if true }x"\n}', "2:11", "no %{ endif }", ""),
        ('job "a" {\n  type = "x%{ endfor }"\n}', "2:12", "no open directive", ""),
        ('job "a${b}" {\n}', "1:5", "no interpolation", "Double"),
        ('job "a" {\n  group "g" {\n  }\n  grop "h" {\n  }\n}', "4:3", 'no block "grop" in "job"', '"group"'),
        ('job "a" {\n  group {\n  }\n}', "2:3", "needs a label", 'group "name"'),
        ('job "a" {\n  update "x" {\n  }\n}', "2:10", "takes no label", ""),
        ('job "a" {\n  meta "x" {\n  }\n}', "2:8", "takes no label", ""),
        ('job "a" {\n  update {\n  }\n  update {\n  }\n}', "4:3", 'only one "update"', ""),
        ('job "a" {\n  meta = {}\n  meta {\n  }\n}', "3:3", 'only one "meta"', ""),
        ('job "a" {\n  update = {}\n}', "2:3", '"update" is a block', "without ="),
        ('job "a" {\n  type {\n  }\n}', "2:3", '"type" is an argument', "type ="),
        ('job "a" {\n  priority = "high"\n}', "2:14", '"priority": a number is required, not a string "high"', ""),
        ('job "a" {\n  priority = 1.5\n}', "2:14", "a whole number is required, not 1.5", ""),
        ('job "a" {\n  priority = 1e30\n}', "2:14", "from -9223372036854775808", ""),
        ('job "a" {\n  datacenters = "dc1"\n}', "2:17", "a list of strings is required", ""),
        ('job "a" {\n  all_at_once = "maybe"\n}', "2:17", "a bool is required", ""),
        ('job "a" {\n  update {\n    stagger = "30"\n  }\n}', "3:15", "not a valid duration", ""),
        ('job "a" {\n  update {\n    stagger = true\n  }\n}', "3:15", "a duration", ""),
        ('job "a" {\n  update {\n    stagger = 99999999999999999999\n  }\n}', "3:15", "to 9223372036854775807", ""),
        ('job "a" {\n  type = [[1, 2]].0.1\n}', "2:19", "can't be chained", "[0][1]"),
        ('locals {\n  l = [[1, 2]]\n}\njob "a" {\n  type = local.l.*.0.1\n}', "5:20", "can't be chained", "[0][1]"),
        ('job "a" {\n  meta {\n    a = [1]\n  }\n}', "3:9", "a string is required, not a list", ""),
        ('job "a" {\n  meta {\n    a {\n    }\n  }\n}', "3:5", "names and values, no blocks", ""),
        ('job "a" {\n  constraint {\n    attribut = "x"\n  }\n}', "3:5", 'no argument "attribut"', '"attribute"'),
        ('job "a" {\n  affinity {\n    weight = 300\n  }\n}', "3:14", "from -100 to 100", ""),
        ('job "a" {\n  spread {\n    target "x" { percent = 300 }\n  }\n}', "3:28", "from 0 to 255", ""),
        ('job "a" {\n  type = var.tpye\n}', "2:14", 'no variable "tpye"', ""),
        ('job "a" {\n  type = upcase("a")\n}', "2:10", 'no function "upcase"', ""),
        ('job "a" {\n  type = upper("a"\n}', "3:1", 'expected "," or ")"', ""),
        ('job "a" {\n  dynamic "group" {\n    content {\n    }\n  }\n}', "2:3", 'lacks its argument "for_each"', ""),
        (
            'job "a" {\n  dynamic "group" {\n    for_each = 5\n    labels   = ["x"]\n    content {\n    }\n  }\n}',
            "3:16",
            "iterates over a list",
            "",
        ),
        ('job "a" {\n  dynamic "group" {\n    for_each = []\n  }\n}', "2:3", 'one block, "content"', ""),
        (
            'job "a" {\n  dynamic "nope" {\n    for_each = []\n    content {\n    }\n  }\n}',
            "2:3",
            'there is no block "nope" in "job"',
            "",
        ),
        (
            'job "a" {\n  dynamic "group" {\n    for_each = []\n    content {\n    }\n  }\n}',
            "2:3",
            'a dynamic "group" needs its argument "labels"',
            "",
        ),
        (
            'job "a" {\n  dynamic "constraint" {\n    for_each = []\n    labels   = []\n    content {\n    }\n  }\n}',
            "4:5",
            'a "constraint" block takes no label',
            "",
        ),
        (
            'job "a" {\n  dynamic "grop" {\n    for_each = [1]\n    content {\n    }\n  }\n}',
            "2:3",
            'no block "grop"',
            '"group"',
        ),
    ],
)
def test_mistakes(text, place, problem, hint):
    error = error_of(text)
    assert (f"{error.line}:{error.column}", problem in error.problem, hint in error.hint) == (place, True, True), error


TASK = 'job "j" {{\n  group "g" {{\n    task "t" {{\n{}\n    }}\n  }}\n}}\n'


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        ('scaling "disk" {\n}', '"cpu" or "mem", not "disk"'),
        ('scaling "cpu" {\n}\nscaling "cpu" {\n}', "only one scaling"),
        ('scaling "cpu" {\ntype = "horizontal"\n}', 'of type "vertical_cpu"'),
        ("template {\nsplay = null\nchange_script {\n}\n}", "null is not possible"),
        ("driver = null", "null is not possible"),
        ("env = 5", "a map of strings is required"),
        ("env = {a = [1]}", "a string is required"),
        ("env {\na = null\n}", "a string is required, not null"),
    ],
)
def test_mistakes_in_a_task(inside, problem):
    assert problem in error_of(TASK.format(inside)).problem


def test_a_group_scaling_needs_a_maximum():
    assert '"max"' in error_of('job "j" {\n group "g" {\n scaling {\n }\n }\n}\n').problem
    assert '"horizontal"' in error_of('job "j" {\n group "g" {\n scaling {\n max = 1\n type = "v"\n }\n }\n}\n').problem


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 10_000,
        "{a=" * 10_000,
        "(" * 10_000,
        '"${' * 10_000,
        "-" * 10_000 + "1",
        "f(" * 10_000,
        "a[" * 10_000,
        "true ? 1 : " * 10_000,
        "[for x in " * 10_000,
        '"' + "%{ if true }" * 10_000 + '"',
    ],
    ids=lambda bomb: bomb[:8],
)
def test_nesting_bombs_are_refused(bomb):
    assert "nested" in error_of(f'job "j" {{\n  type = {bomb}\n}}\n').problem


def test_blocks_nested_too_deeply_are_refused():
    assert "nested" in error_of('job "j" {\n' + "a {\n" * 10_000).problem


@pytest.mark.parametrize("chain", [" + 1" * 20_000, ' == "a"' * 20_000, "[0]" * 20_000, ".a" * 20_000])
def test_long_chains_end_in_a_value_or_an_error(chain):
    with pytest.raises(HclError):
        parse_job(f'job "j" {{\n  priority = [1]{chain}\n}}\n')
