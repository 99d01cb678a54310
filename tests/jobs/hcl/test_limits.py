"""A few lines that multiply values end in one error, before they take much time or memory."""

from __future__ import annotations

import pytest

from jobs.errors import HclError
from jobs.hcl import parse_job
from jobs.hcl.limits import BLOCK_STEPS, STEPS_MAX

LEVELS = range(1, 60)


def doubled(first: str, next_one: str) -> str:
    """Locals, each made of the one before it."""
    lines = [f"l0 = {first}", *(f"l{n} = {next_one.replace('PREVIOUS', f'local.l{n - 1}')}" for n in LEVELS)]
    return "locals {\n" + "\n".join(lines) + '\n}\njob "j" {}\n'


THOUSAND = "locals {\n r = range(1000)\n"
WITHOUT_END = {
    "strings": doubled('"xxxxxxxxxx"', '"${PREVIOUS}${PREVIOUS}"'),
    "lists that share their elements": doubled('["x"]', "[PREVIOUS, PREVIOUS]"),
    "objects that share their elements": doubled('{a = "x"}', "{a = PREVIOUS, b = PREVIOUS}"),
    "concat": doubled('["x"]', "concat(PREVIOUS, PREVIOUS)"),
    "format": doubled('"xxxxxxxxxx"', 'format("%[1]s%[1]s", PREVIOUS)'),
    "formatlist": doubled('["xxxxxxxxxx"]', 'formatlist("%[1]s%[1]s", PREVIOUS)'),
    "join": doubled('"xxxxxxxxxx"', "join(PREVIOUS, range(1000))"),
    "replace": doubled('"xxxxxxxxxx"', 'replace(PREVIOUS, "x", PREVIOUS)'),
    "regex_replace": doubled('"xxxxxxxxxx"', 'regex_replace(PREVIOUS, "x", PREVIOUS)'),
    "jsonencode": doubled('"\\"\\"\\"\\""', "jsonencode(PREVIOUS)"),
    "indent": doubled('"a\\na\\n"', 'indent(1000, "${PREVIOUS}${PREVIOUS}")'),
    "numbers": doubled("3.3", "PREVIOUS * PREVIOUS"),
    "zipmap": doubled("{}", 'zipmap(["a", "b"], [PREVIOUS, PREVIOUS])'),
    "loops in loops": THOUSAND + ' a = [for x in local.r : [for y in local.r : y]]\n}\njob "j" {}\n',
    "templates in loops": THOUSAND
    + ' s = format("%1000d", 1)\n b = "%{ for x in local.r }${local.s}%{ endfor }"\n'
    + ' c = [for x in local.r : "${local.b}${x}"]\n}\njob "j" {}\n',
    "splats": THOUSAND + ' a = [for x in local.r : local.r[*]]\n b = [for x in local.r : local.a[*]]\n}\njob "j" {}\n',
    "setproduct": THOUSAND + ' a = setproduct(local.r, local.r)\n}\njob "j" {}\n',
    "comparisons": THOUSAND + ' a = [for x in local.r : local.r == range(1000)]\n}\njob "j" {}\n',
    "dynamic blocks": THOUSAND
    + '}\njob "j" {\n dynamic "group" {\n for_each = local.r\n labels = ["g${group.key}"]\n content {\n'
    + ' dynamic "task" {\n for_each = local.r\n labels = ["t${task.key}"]\n content {\n driver = "x"\n'
    + "}\n}\n}\n}\n}\n",
    "attributes that share a value": "locals {\n l0 = range(1000)\n l1 = [for x in local.l0 : local.l0]\n}\n"
    'job "j" {\n group "g" {\n task "t" {\n config {\n'
    + "\n".join(f"a{n} = local.l1" for n in range(9))
    + "\n}\n}\n}\n}\n",
}


@pytest.mark.parametrize("text", WITHOUT_END.values(), ids=WITHOUT_END.keys())
def test_what_multiplies_without_end_is_one_error(text):
    with pytest.raises(HclError, match=r"more than|too large"):
        parse_job(text)


@pytest.mark.parametrize("wrapped", ["try({}, 1)", "can({})", "false || try({}, true)"])
def test_no_function_hides_that_a_limit_was_reached(wrapped):
    expression = "setproduct(range(1000), range(1000), range(1000))"
    with pytest.raises(HclError, match="more than"):
        parse_job(f'job "j" {{\n meta {{\n v = jsonencode({wrapped.format(expression)})\n }}\n}}\n')


def test_a_large_job_stays_within_the_limits():
    groups = STEPS_MAX // BLOCK_STEPS // 20
    text = (
        f'locals {{\n r = range({groups})\n}}\njob "j" {{\n dynamic "group" {{\n for_each = local.r\n'
        ' labels = ["g${group.key}"]\n content {\n count = group.value\n task "t" {\n driver = "docker"\n'
        ' config {\n image = "x:${group.key}"\n}\n}\n}\n}\n}\n'
    )
    assert len(parse_job(text).job["TaskGroups"]) == groups
