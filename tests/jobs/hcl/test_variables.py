"""Where a variable's value comes from, and which value wins."""

from __future__ import annotations

import pytest

from jobs.errors import HclError
from jobs.hcl import VariableSource, environment_variables, load_var_file, parse_job


def value_of(declaration: str, *sources: VariableSource) -> object:
    job = 'job "j" {\n group "g" {\n task "t" {\n config {\n v = var.x\n }\n }\n }\n}\n'
    return (
        parse_job(f'variable "x" {{\n{declaration}\n}}\n{job}', variables=sources)
        .job["TaskGroups"][0]["Tasks"][0]["Config"]
        .get("v")
    )


def given(value: object, name: str = "-var") -> VariableSource:
    return VariableSource(name, {"x": value})


def test_a_later_source_wins_over_an_earlier_one_and_both_over_the_default():
    assert value_of('default = "default"') == "default"
    assert value_of('default = "default"', given("first")) == "first"
    assert value_of('default = "default"', given("first"), given("second")) == "second"
    assert value_of("type = string", given("only")) == "only"


@pytest.mark.parametrize(
    ("declaration", "value", "result"),
    [
        ("type = string", "5", "5"),
        ("type = string", '["a"]', '["a"]'),
        ("type = string", 5, "5"),
        ("type = string", True, "true"),
        ("type = number", "5", 5),
        ("type = number", 2.5, 2.5),
        ("type = bool", "true", True),
        ("type = bool", False, False),
        ("type = list(string)", '["a", "b"]', ["a", "b"]),
        ("type = list(number)", ["1", 2], [1, 2]),
        ("type = list(string)", '[for x in ["a"] : x]', ["a"]),
        ("type = set(string)", ["b", "a", "b"], ["a", "b"]),
        ("type = map(number)", '{a = "1"}', {"a": 1}),
        ("type = object({a = string, b = list(bool)})", '{a = 1, b = ["true"], c = 3}', {"a": "1", "b": [True]}),
        ("type = tuple([string, number])", '["a", "2"]', ["a", 2]),
        ("", "not [an] expression", "not [an] expression"),
        ("", [1, 2], [1, 2]),
        ('default = ["a"]', '["b"]', ["b"]),
        ("default = 1", "2", 2),
        ("type = string\ndefault = null", None, None),
        ("default = null", "{a = 1}", {"a": 1}),
    ],
)
def test_values_are_read_as_their_type_wants(declaration, value, result):
    assert value_of(declaration, given(value)) == result


@pytest.mark.parametrize(
    ("declaration", "value", "problem"),
    [
        ("type = number", "many", "a number is required"),
        ("type = number", True, "a number is required"),
        ("type = bool", "yes", '"yes" can\'t be used here'),
        ("type = bool", 1, "a bool is required"),
        ("type = list(string)", "a,b", "expected nothing more"),
        ("type = list(string)", '"a"', "a list of string is required"),
        ("type = list(number)", ["x"], "element 0: a number is required"),
        ("type = map(string)", ["x"], "a map is required"),
        ("type = object({a = string})", "{}", 'the object lacks "a"'),
        ("type = tuple([string])", "[]", "exactly 1 elements"),
        ('default = ["a"]', '["a", "b"]', "exactly 1 elements"),
        ("default = {}", "{a = 1}", 'its default has no attribute "a"'),
        ("type = list(string)", '[upper("a")]', "functions can't be used here"),
        ("type = string", b"bytes", "type bytes"),
    ],
)
def test_values_of_another_type_are_refused(declaration, value, problem):
    with pytest.raises(HclError) as caught:
        value_of(declaration, given(value))
    assert problem in caught.value.problem
    assert caught.value.file == "-var x"


def test_an_undeclared_variable_is_refused_with_the_nearest_name():
    with pytest.raises(HclError, match='declares no variable "count", which -var sets') as caught:
        parse_job(
            'variable "counts" {\n default = 1\n}\njob "j" {}\n', variables=[VariableSource("-var", {"count": "2"})]
        )
    assert caught.value.hint == 'Did you mean "counts"?'


def test_the_environment_sets_only_what_is_declared():
    environment = environment_variables(
        {"NOMAD_VAR_x": "from env", "NOMAD_VAR_other": "1", "NOMAD_ADDR": "a", "PATH": "b"}
    )

    assert environment.values == {"x": "from env", "other": "1"}
    assert value_of("type = string", environment) == "from env"
    assert value_of("type = string", environment, given("from cli")) == "from cli"


def test_a_variable_file_sets_values_of_any_type(tmp_path):
    path = tmp_path / "prod.hcl"
    path.write_text('# comment\nx = ["a", "b"]\n', encoding="utf-8")

    assert value_of("type = list(string)", load_var_file(path)) == ["a", "b"]
    assert load_var_file(path).name == str(path)


def test_a_string_in_a_variable_file_is_never_read_as_an_expression(tmp_path):
    path = tmp_path / "prod.hcl"
    path.write_text('x = "true"\n', encoding="utf-8")
    assert value_of("type = bool", load_var_file(path)) is True
    path.write_text('x = "[1]"\n', encoding="utf-8")
    with pytest.raises(HclError, match="a list of number is required"):
        value_of("type = list(number)", load_var_file(path))


def test_a_variable_file_in_json(tmp_path):
    path = tmp_path / "prod.json"
    path.write_text('{"x": {"a": 1}}', encoding="utf-8")
    assert value_of("type = map(string)", load_var_file(path)) == {"a": "1"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'variable "x" {\n}\n', "1:1: a variable file can't declare variables"),
        (b"job {\n}\n", "no blocks"),
        (b"x = [1\n", "2:1"),
        (b"x = attr.y\n", "only literal values"),
        (b"{nope}", "not valid JSON"),
        (b'{"x": ' + b"[" * 100_000, "not valid JSON"),
        (b"x = 1" + b" + 1" * 20_000 + b"\n", "nested too deeply"),
        (b"\xff", "not a text in UTF-8"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_broken_variable_file_is_an_error_with_its_place(tmp_path, content, problem):
    path = tmp_path / "prod.hcl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HclError) as caught:
        load_var_file(path)
    assert problem in str(caught.value)
    assert caught.value.file == str(path)


def test_an_undeclared_variable_in_a_file_is_shown_where_it_stands(tmp_path):
    path = tmp_path / "prod.hcl"
    path.write_text('x = 1\n\nxx = "a"\n', encoding="utf-8")
    with pytest.raises(HclError) as caught:
        value_of("type = number", load_var_file(path))
    assert (caught.value.file, caught.value.line, caught.value.column) == (str(path), 3, 1)
    assert '\n  xx = "a"\n  ^' in str(caught.value)


def test_a_variable_without_a_value_is_named():
    with pytest.raises(HclError, match='1:1: the variable "x" has no value') as caught:
        value_of("type = string")
    assert "-var x=…" in caught.value.hint


def test_validation():
    declaration = 'type = number\nvalidation {\ncondition = var.x > 0\nerror_message = "Must be positive."\n}'
    assert value_of(declaration, given("1")) == 1
    with pytest.raises(HclError, match=r"not valid: Must be positive\."):
        value_of(declaration, given("-1"))
    assert value_of(declaration.replace("Must be positive.", "größer als 0"), given("1")) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('variable "x" {\n type = strng\n}', "not a valid type"),
        ('variable "x" {\n type = list\n}', "not a valid type"),
        ('variable "x" {\n type = any\n}', "not a valid type"),
        ('variable "x" {\n type = "string"\n}', "not a valid type"),
        ('variable "x" {\n default = var.y\n}', "only literal values"),
        ('variable "x" {\n default = upper("a")\n}', "functions can't be used"),
        ('variable "x" {\n type = number\n default = "a"\n}', "the default of"),
        ('variable "x" {\n defualt = 1\n}', 'no argument "defualt"'),
        ('variable "x" {\n other {\n }\n}', 'no block "other"'),
        ('variable "x" {\n}\nvariable "x" {\n}', "already declared on line 1"),
        ("variable {\n}", "one label"),
        ('variable "a b" {\n}', "can't be the name"),
        ('variable "x" {\n default = 1\n validation {\n condition = true\n }\n}', 'lacks its argument "error_message"'),
        (
            'variable "x" {\n default = 1\n validation {\n condition = "${var.x}a"\n error_message = "M."\n }\n}',
            "a bool is required",
        ),
        (
            'variable "x" {\n default = 1\n validation {\n condition = var.x > 0\n error_message = " "\n }\n}',
            "the error message is empty",
        ),
        (
            'variable "x" {\n default = 1\n validation {\n condition = "true"\n error_message = "M."\n }\n}',
            "doesn't refer to var.x",
        ),
        (
            'variable "x" {\n default = 1\n validation {\n condition = [for y in [1] : y] == [1]\n error_message = "M."\n }\n}',
            "doesn't refer to var.x",
        ),
        (
            'variable "x" {\n default = 1\n validation {\n condition = true || var.x == local.y\n error_message = "M."\n }\n}',
            "can refer to var.x only",
        ),
        (
            'variable "x" {\n default = 1\n validation "y" {\n condition = var.x > 0\n error_message = "M."\n }\n}',
            "takes no label",
        ),
        ('locals "x" {\n a = 1\n}', "takes no label"),
        ('variables "x" {\n a = 1\n}', "takes no label"),
        ("locals {\n a = nope()\n}\nlocals {\n a = 2\n}", 'no function "nope"'),
        ("locals {\n a = 1\n a = 2\n}", "already set"),
    ],
)
def test_broken_declarations(text, problem):
    with pytest.raises(HclError) as caught:
        parse_job(text + '\njob "j" {}\n')
    assert problem in caught.value.problem


def test_the_declared_names_are_known():
    parsed = parse_job('variable "a" {\n default = 1\n}\nvariables {\n b = 2\n}\njob "j" {}\n')
    assert parsed.variable_names == {"a", "b"}


def test_of_two_definitions_of_a_local_the_last_in_the_file_counts():
    parsed = parse_job('locals {\n a = 1\n}\njob "j" {\n meta {\n x = local.a\n }\n}\nlocals {\n a = 2\n}\n')
    assert parsed.job["Meta"] == {"x": "2"}
