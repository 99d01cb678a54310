"""A seed enters, a jobspec's text leaves: blocks and arguments drawn from the schema, values of all kinds.

`literal` jobs hold no expression, so that a parser that evaluates nothing can be asked for the same values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from jobs.hcl.schema import BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.versions import version_key

_BLOCKS = 40
"""About so many blocks a job."""
_TEXTS = [
    "",
    "a",
    "ein Wert",
    "ü €",
    'with "quotes"',
    "back\\slash",
    "tab\there",
    "line\nbreak",
    "a$b",
    "100%",
    "{x}",
    "# no",
    "//",
]
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n"}
_REFERENCES = ["attr.kernel.name", "NOMAD_ALLOC_ID", 'env["HOME"]', "meta.rack", "node.unique.id", "NOMAD_META_x"]
_PREAMBLE = """
variable "word" {
  type    = string
  default = "value"
}
variable "count" {
  default = 3
}
locals {
  items = ["x", "y", "z"]
  pair  = { a = 1, b = "two" }
}
"""
_STRINGS = [
    "var.word", '"${var.word}-${var.count}"', 'upper("abc")', 'join(",", local.items)', "local.pair.b", 'local.pair["b"]',
    "local.items[1]", 'var.count > 2 ? "many" : "few"', 'format("%s-%03d", var.word, var.count)', '"$${literal} %%{x}"',
    '"%{ if var.count == 3 }three%{ else }other%{ endif }"', '"%{ for i in local.items }${i}.%{ endfor ~}"',
    'replace("a-b", "-", "_")', "jsonencode(local.pair)", "base64encode(var.word)",
    'element([for i in local.items : upper(i)], 2)',
]  # fmt: skip
_NUMBERS = [
    "var.count",
    "var.count + 4",
    "2 * 3",
    "7 % 4",
    "max(1, 5)",
    "length(local.items)",
    "-(2)",
    'parseint("7", 10)',
]
_BOOLS = ["var.count == 3", "!true", "var.count > 1 && var.count < 9", 'contains(local.items, "q")']
_LISTS = [
    "local.items",
    "[for i in local.items : upper(i)]",
    'split(",", "a,b")',
    "[var.word, var.count]",
    "keys(local.pair)",
]


_REMOVED_SINCE_1_10 = frozenset({"consul_token", "vault_token"})


def jobspec(seed: int, *, literal: bool, version: str = "1.6.3") -> str:
    """A jobspec that a Nomad of this version can read."""
    return _Builder(random.Random(seed), literal, version).text()


class _Builder:
    def __init__(self, chance: random.Random, literal: bool, version: str) -> None:
        self.chance = chance
        self.literal = literal
        self.version = version_key(version)
        self.left = _BLOCKS

    def text(self) -> str:
        lines = list(self._block(BLOCK_TYPES["job"], 'job "built"', ""))
        return ("" if self.literal else _PREAMBLE) + "\n".join(lines) + "\n"

    def _block(self, kind: BlockType, head: str, indent: str) -> Iterator[str]:
        self.left -= 1
        yield f"{indent}{head} {{"
        inside = indent + "  "
        removed = _REMOVED_SINCE_1_10 if self.version >= (1, 10) else frozenset()
        fields = [
            field
            for field in kind.fields
            if field.name and field.name not in removed and version_key(field.since or "0") <= self.version
        ]
        self.chance.shuffle(fields)
        for field in fields:
            if field.name in kind.arguments and self._takes(kind, field):
                yield f"{inside}{field.name} = {self._value(kind, field, inside)}"
            elif field.name in kind.blocks:
                yield from self._blocks(kind, field, inside)
        yield f"{indent}}}"

    def _takes(self, kind: BlockType, field: Field) -> bool:
        if field.name == "type" and "scaling" in kind.name:
            return False
        if (kind.name, field.name) == ("lifecycle", "hook"):  # later versions refuse the block without it
            return True
        return field.required or self.chance.random() < 0.4

    def _blocks(self, kind: BlockType, field: Field, indent: str) -> Iterator[str]:
        how = field.kind.how
        if field.name == "reserved_ports" or self.chance.random() < (0.0 if self.left <= 0 else 0.55):
            return
        if self.left <= 0 and not (kind.name == "job" and field.name == "group"):
            return
        if how in ("text_map", "text_map_or_argument", "texts_map", "free_form"):
            yield from self._free(field, how, indent)
            return
        inner = BLOCK_TYPES[field.block]
        labels = ["cpu", "mem"] if inner.name == "task_scaling" else ["one", "two-2", "drei"]
        for number in range(1 if how == "one" else self.chance.randint(1, 2)):
            head = f'{field.name} "{labels[number]}"' if inner.label else field.name
            yield from self._block(inner, head, indent)

    def _free(self, field: Field, how: str, indent: str) -> Iterator[str]:
        yield f"{indent}{field.name} {{"
        for name in self.chance.sample(["a", "b_c", "d-e", "F"], self.chance.randint(1, 3)):
            kinds = ["strings"] if how == "texts_map" else ["string", "number", "bool"]
            if how == "free_form":
                kinds += ["strings", "object", "string"]
            yield f"{indent}  {name} = {self._of(self.chance.choice(kinds), indent + '  ')}"
        if how == "free_form" and self.chance.random() < 0.5:
            label = self.chance.choice(["", ' "label"'])
            for _ in range(self.chance.randint(1, 2)):
                yield f"{indent}  inner{label} {{"
                yield f"{indent}    x = {self._of('string', indent)}"
                yield f"{indent}  }}"
        yield f"{indent}}}"

    def _value(self, kind: BlockType, field: Field, indent: str) -> str:
        how = field.kind.how
        if how == "duration":
            return self.chance.choice(['"30s"', '"1h30m"', '"1.5s"', '"250ms"', "5000000000"])
        if how in ("int8", "uint8", "uint16", "uint32", "uint64"):
            return str(self.chance.randint(0, 100))
        if kind.name in ("constraint", "affinity") and field.name == "operator":
            return self.chance.choice(['"="', '"regexp"', '"is_set"', '"version"'])
        if how in ("int64", "uint64"):
            return self._of("number", indent)
        return self._of(how, indent)

    def _of(self, how: str, indent: str) -> str:
        if how == "string":
            return self._string(indent)
        if how == "bool":
            return self._or(_BOOLS, self.chance.choice(["true", "false"]))
        if how == "number":
            return self._or(_NUMBERS, str(self.chance.choice([0, 1, 7, 80, 65535])))
        if how == "strings":
            items = [self._quoted() for _ in range(self.chance.randint(1, 3))]
            return self._or(_LISTS, f"[{', '.join(items)}]")
        if how == "ports":
            return "[80, 8080]"
        assert how in ("object", "text_map_argument"), how
        pairs = [f"{name} = {self._quoted()}" for name in self.chance.sample(["k", "l_m", '"n o"'], 2)]
        return f"{{ {', '.join(pairs)} }}"

    def _or(self, expressions: list[str], literal: str) -> str:
        return literal if self.literal or self.chance.random() < 0.6 else self.chance.choice(expressions)

    def _string(self, indent: str) -> str:
        drawn = self.chance.random()
        if drawn < 0.1:
            return '<<EOT\nfirst\n  second "quoted" \\n\nEOT'
        if drawn < 0.2:
            return f"<<-EOT\n{indent}    deep\n{indent}  less\n{indent}  EOT"
        if drawn < 0.35 and not self.literal:
            return f'"${{{self.chance.choice(_REFERENCES)}}}"'
        return self._or(_STRINGS, self._quoted())

    def _quoted(self) -> str:
        text = "".join(_ESCAPES.get(character, character) for character in self.chance.choice(_TEXTS))
        return f'"{text}"'
