"""The functions of the language, with values that real Nomad 1.6.3 gave for the same calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.functions import FUNCTIONS

JOB = 'job "j" {{\n group "g" {{\n task "t" {{\n config {{\n v = {}\n }}\n }}\n }}\n}}\n'


def value_of(call: str, **options: object) -> object:
    return parse_job(JOB.format(call), **options).job["TaskGroups"][0]["Tasks"][0]["Config"]["v"]


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("abs(-5)", 5),
        ("ceil(1.2)", 2),
        ("floor(-1.2)", -2),
        ("log(16, 2)", 4),
        ('max(1, "5")', 5),
        ("min([2, 1]...)", 1),
        ("pow(2, -1)", 0.5),
        ("signum(-3)", -1),
        ('parseint("zz", 36)', 1295),
        ("range(3, 0)", [3, 2, 1]),
        ("range(0, 1, 0.5)", [0, 0.5]),
        ('chunklist(["a", "b", "c"], 2)', [["a", "b"], ["c"]]),
        ('coalesce(null, 1, "b")', "1"),
        ('coalescelist([], ["a"])', ["a"]),
        ('compact(["a", "", null])', ["a"]),
        ('concat([1], ["a"])', [1, "a"]),
        ('contains([1], "1")', False),
        ('distinct([1, "1"])', ["1"]),
        ('element(["a", "b"], 3)', "b"),
        ("flatten([[1], [2, [3]]])", [1, 2, 3]),
        ('index(["a", "b"], 1)', "b"),
        ("keys({b = 1, a = 2})", ["a", "b"]),
        ("values({b = 1, a = 2})", [2, 1]),
        ("length([1, 2])", 2),
        ('lookup({a = 1}, "b", 2)', 2),
        ("merge({a = 1}, null, {b = 2})", {"a": 1, "b": 2}),
        ('setintersection(["a", "b"], ["b", "c"])', ["b"]),
        ("setproduct([1], [2, 3])", [[1, 2], [1, 3]]),
        ('setunion(["b"], ["a"])', ["a", "b"]),
        ('slice(["a", "b", "c"], 1, 2)', ["b"]),
        ('sort(["b", "a", "C"])', ["C", "a", "b"]),
        ('zipmap(["a"], [1])', {"a": 1}),
        ('base64decode(base64encode("hé"))', "hé"),
        ('csvdecode("a,b\\n1,2\\n")', [{"a": "1", "b": "2"}]),
        ('jsondecode("{\\"a\\": [1, 2.5, null]}")', {"a": [1, 2.5, None]}),
        ('jsonencode({b = [1, 2.5, null], a = "<é>"})', '{"a":"\\u003cé\\u003e","b":[1,2.5,null]}'),
        ('yamlencode({a = [1, "x"], b = "m\\nn"})', '"a":\n- 1\n- "x"\n"b": |-\n  m\n  n\n'),
        ('md5("a")', "0cc175b9c0f1b6a831c399e269772661"),
        ('urlencode("a b&c~é*")', "a+b%26c~%C3%A9%2A"),
        ('uuidv5("dns", "www.example.com")', "2ed6657d-e927-568b-95e1-2665a8aea6a2"),
        ('cidrhost("10.0.0.0/24", -1)', "10.0.0.255"),
        ('cidrnetmask("10.0.0.0/12")', "255.240.0.0"),
        ('cidrsubnet("10.0.0.0/8", 8, 3)', "10.3.0.0/16"),
        ('cidrsubnets("10.1.0.0/16", 8, 4, 8)', ["10.1.0.0/24", "10.1.16.0/20", "10.1.32.0/24"]),
        (
            'formatdate("EEEE, DD-MMM-YY HH:mm AA ZZZ", "2021-03-04T15:06:07+01:00")',
            "Thursday, 04-Mar-21 03:06 PM +0100",
        ),
        ('timeadd("2021-01-01T00:00:00+02:00", "-90m")', "2020-12-31T22:30:00+02:00"),
        ('base64encode(jsondecode("\\"\\\\ud800\\""))', "77+9"),
        ('chomp("a\\r\\n\\n")', "a"),
        ('format("%s-%03d|%5s|%-3s|%q|%v", "a", 7, "b", "c", "d", [1, true])', 'a-007|    b|c  |"d"|[1,true]'),
        ('format("%.2f %x %t %%%[1]v", 3.14159, 255, true)', "3.14 ff true %3.14159"),
        ('formatlist("%s-%s", ["a", "b"], "x")', ["a-x", "b-x"]),
        ('indent(2, "a\\nb")', "a\n  b"),
        ('join("-", ["a", 1], [true])', "a-1-true"),
        ('regex_replace("model v4", "v(\\\\d)", "<$1>")', "model <4>"),
        ('replace("a.b", ".", "-")', "a-b"),
        ('reverse("abc")', "cba"),
        ('split("", "abc")', ["a", "b", "c"]),
        ('strlen("abé")', 3),
        ('substr("hello", -3, 2)', "ll"),
        ('title("it\'s a-b")', "It'S A-B"),
        ('trim("?!hello?!", "!?")', "hello"),
        ('trimprefix("v4", "v")', "4"),
        ('trimsuffix("a.tar", ".tar")', "a"),
        ('trimspace(" a\\n")', "a"),
        ('upper("é")', "É"),
        ('try({a = 1}.b, "fallback")', "fallback"),
        ("can({a = 1}.b)", False),
        ('convert(["2", "1", "2"], set(number))', [1, 2]),
        ("convert({a = 1, b = 2}, object({a = string}))", {"a": "1"}),
        ('basename("/a/b/")', "b"),
        ('dirname("/a/b")', "/a"),
    ],
)
def test_values(call, value):
    assert value_of(call) == value


@pytest.mark.parametrize(
    "call",
    [
        "range(2000)",
        "signum(1.5)",
        'base64decode("!!")',
        "element([], 0)",
        'format("%s")',
        'format("%s", 1, 2)',
        'formatdate("QQ", "2021-03-04T15:06:07Z")',
        'timeadd("yesterday", "1h")',
        'timeadd("2021-03-04T15:06:07Z", "soon")',
        'jsondecode("[1")',
        'jsondecode("NaN")',
        'csvdecode("a,b\\n1\\n")',
        'cidrhost("10.0.0.0/24", 300)',
        'cidrsubnet("nowhere", 1, 1)',
        'regex_replace("a", "(", "")',
        'uuidv5("x", "y")',
        'yamldecode("a: 1")',
        "reverse([1])",
        "sort(5)",
        'keys("a")',
        "parseint(12, 10)",
    ],
)
def test_what_can_not_be_computed_is_an_error_at_the_call(call):
    with pytest.raises(HclError) as caught:
        value_of(call)
    assert (caught.value.line, caught.value.column) == (5, 6)


def value_or_error(text: str) -> dict | HclError:
    try:
        return parse_job(text).job
    except HclError as error:
        return error


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize(
    "args",
    [
        "",
        "null",
        "[]",
        "{}",
        '""',
        "-1",
        "[1], 2",
        '"a", "b"',
        '{a = 1}, "a", [null]',
        "1.5, 1.5",
        "1e400, 1e400",
        "[1e400, null], [true]",
    ],
)
def test_no_argument_makes_a_traceback(name, args):
    result = value_or_error(JOB.format(f"{name}({args})"))
    assert result.line == 5 if isinstance(result, HclError) else result["ID"] == "j"


def test_files_are_read_from_the_base_dir_and_listed(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("print('é')\n", encoding="utf-8")
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    text = JOB.format('[file("code/main.py"), filebase64("raw"), file("./code/../code/main.py"), fileexists("nope")]')

    parsed = parse_job(text, base_dir=tmp_path)

    assert parsed.job["TaskGroups"][0]["Tasks"][0]["Config"]["v"] == ["print('é')\n", "/wA=", "print('é')\n", False]
    assert parsed.files_read == ((tmp_path / "code" / "main.py").resolve(), (tmp_path / "raw").resolve())
    assert value_of('fileset("code", "*.py")', base_dir=tmp_path) == ["main.py"]
    assert value_of('abspath("code")', base_dir=tmp_path) == str((tmp_path / "code").resolve())
    assert value_of('pathexpand("~/x")') == str(Path("~/x").expanduser())


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ('file("nope.txt")', "No such file"),
        ('file("raw")', "not text in UTF-8"),
        ('file(".")', "Is a directory"),
        ('file("a\\u0000b")', "not a valid path"),
        ('file("~nobody-at-all/x")', "another user"),
        ('fileexists(".")', "is a folder"),
    ],
)
def test_files_that_can_not_be_read(tmp_path, call, problem):
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    with pytest.raises(HclError, match=problem):
        value_of(call, base_dir=tmp_path)


@pytest.mark.parametrize(
    "call", ['file("x")', 'filebase64("x")', 'fileexists("x")', 'fileset(".", "*")', 'abspath("x")']
)
def test_a_server_reads_no_files(call):
    with pytest.raises(HclError, match="where a server parses the job"):
        value_of(call, allow_files=False)
