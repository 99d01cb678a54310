"""The value of one expression, seen in a task's config."""

from __future__ import annotations

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.types import NUMBER, Type, convert
from jobs.hcl.values import ValueProblem, from_python, parse_number, to_json, unify

JOB = """
locals {{
  value = {0}
}}
job "j" {{
  group "g" {{
    task "t" {{
      config {{
        value = {0}
        by_local = local.value
      }}
    }}
  }}
}}
"""


def value_of(expression: str) -> object:
    config = parse_job(JOB.format(expression)).job["TaskGroups"][0]["Tasks"][0]["Config"]
    assert config.get("value") == config.get("by_local") or isinstance(config["value"], list)
    return config.get("value")


def problem_of(expression: str) -> str:
    with pytest.raises(HclError) as caught:
        value_of(expression)
    return caught.value.problem


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("10 / 4", 2.5),
        ("-7 % 3", -1),
        ("0.1 + 0.2", 0.3),
        ("1e3", 1000),
        ('"5" * "2"', 10),
        ("2 > 1 && !(1 >= 2) || false", True),
        ('1 == "1"', False),
        ("true == 1", False),
        ("null == null", True),
        ('"2" < 10', True),
        ('true ? 1 : "a"', "1"),
        ('false ? [1] : ["a"]', ["a"]),
        ('true ? [1, "a"] : []', ["1", "a"]),
        ('true ? {a = 1} : {b = "x"}', {"a": "1"}),
        ('true ? {a = 1, b = 2} : {b = 3, a = "x"}', {"a": "1", "b": 2}),
        ("[1, 2, 3,]", [1, 2, 3]),
        ('{a = 1, "b c" : 2}.a', 1),
        ("[[1, 2], [3]][0][1]", 2),
        ("[{a = 1}, {a = 2}][*].a", [1, 2]),
        ("[{a = [5]}].*.a.0", [5]),
        ("5[*]", [5]),
        ("[for x in [1, 2, 3] : x * 2 if x != 2]", [2, 6]),
        ('[for i, x in ["a"] : "${i}${x}"]', ["0a"]),
        ("({for k, v in {b = 1, a = 2} : v => k})", {"1": "b", "2": "a"}),
        ('({for x in ["a", "b", "a"] : x => x...})', {"a": ["a", "a"], "b": ["b"]}),
    ],
)
def test_operators_and_collections(expression, value):
    assert value_of(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"${true}"', True),
        ('"x${true}${1.50}"', "xtrue1.5"),
        ('"x${12345678901234567890}"', "x12345678901234567890"),
        (r'"\t\"\\\u00e9\U0001F600"', '\t"\\é😀'),
        ('"$${a} %%{b} $ % $$"', "${a} %{b} $ % $$"),
        ('"a  ${~ "b" ~}  c"', "abc"),
        ('"%{ if 1 > 2 }yes%{ else }no%{ endif }"', "no"),
        ('"%{ for k, v in {b = 1, a = 2} }${k}${v} %{ endfor }"', "a2 b1 "),
        ('"%{ if true }%{ for x in [1] }${x}%{ endfor }%{ endif }"', "1"),
        ('"${join(",", [for x in ["a"] : "<${x}>"])}"', "<a>"),
    ],
)
def test_templates(expression, value):
    assert value_of(expression) == value


def test_heredocs():
    assert value_of("<<EOT\n  a\n b $${x}\nEOT\n") == "  a\n b ${x}\n"
    assert value_of("<<-EOT\n    a\n      b\n\n    ${1 + 1}\n  EOT\n") == "a\n  b\n\n2\n"
    assert value_of("<<-EOT\n  %{ for x in [1, 2] }${x}\n  %{ endfor ~}\n  EOT\n") == "1\n2\n"
    assert value_of("[<<A\nx\nA\n, 1]") == ["x\n", 1]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("attr.kernel.name", "${attr.kernel.name}"),
        ('"${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"', "${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"),
        ('"cp x \\"${env["TARGET_DIR"]}\\" y"', 'cp x "${env["TARGET_DIR"]}" y'),
        ('"${ meta.rack } ${node.datacenter}"', "${ meta.rack } ${node.datacenter}"),
        ("upper(attr.x)", "${ATTR.X}"),
        ('"${attr.x == "a" ? 1 : 2}"', 2),
        ('true ? "${NOMAD_ALLOC_ID}" : ""', "${NOMAD_ALLOC_ID}"),
        ("[for x in [1] : attr.cpu[0].arch]", ["${attr.cpu[0].arch}"]),
    ],
)
def test_what_only_the_node_knows_stays_as_written(expression, value):
    assert value_of(expression) == value


def test_the_brace_after_an_unknown_reference_is_doubled_as_nomad_doubles_it():
    assert value_of('"{${attr.x}}"') == "{${attr.x}}}"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1 / 0", "division by zero"),
        ("true ? 1 : true", "no common type"),
        ("[1][3]", "no element 3 in a list of 1"),
        ("{a = 1}.b", 'no attribute "b"'),
        ("[for x in 5 : x]", "can't iterate over"),
        ('({for x in ["a", "a"] : x => x})', 'two elements have the key "a"'),
        ('"x${null}"', "null"),
        ('"x${[1]}"', "a string is required"),
        ("attr.x + 1", "a number is required"),
        ("nope(1)", 'no function "nope"'),
        ("upper()", "takes 1 argument, not 0"),
        ("max(1...)", "only a list can be expanded"),
        ("local.nope", 'no local "nope"'),
        ("1e99999", "too large"),
        ('format("%99999999d", 1)', "at most 1000"),
        ("pow(10, 1000000)", "not a finite number"),
        ("1e400", "too large for JSON"),
        ("[1.5e400]", "too large for JSON"),
        ('parseint("' + "z" * 4000 + '", 36)', "not an integer"),
    ],
)
def test_what_has_no_value_is_an_error_that_says_why(expression, problem):
    assert problem in problem_of(expression)


def test_locals_in_a_circle_are_named():
    with pytest.raises(HclError, match="a → b → a"):
        parse_job('locals {\n a = local.b\n b = local.a\n}\njob "j" {}\n')


def test_numbers_beyond_64_bits_become_floats_and_python_values_stay_exact():
    assert repr(to_json(parse_number("-0"))) == "0"
    assert to_json([10**30, parse_number("0.5"), 3]) == [1e30, 0.5, 3]
    assert from_python({"a": (1, 2.5, None)}) == {"a": [1, parse_number("2.5"), None]}
    with pytest.raises(ValueProblem, match="type bytes"):
        from_python(b"x")
    with pytest.raises(ValueProblem, match="too large"):
        from_python(float("nan"))
    with pytest.raises(ValueProblem, match="too large"):
        from_python(10**5000)


def test_unify_keeps_nulls():
    assert unify([None, 1, "a"]) == [None, "1", "a"]
    assert unify([[1], None, ["a", True]]) == [["1"], None, ["a", "true"]]


def test_convert_says_which_element_is_wrong():
    with pytest.raises(ValueProblem, match='element 1: a number is required, not a string "x"'):
        convert(["1", "x"], Type("list", NUMBER))
