"""Types of the tables of blocks (schema_job, schema_task, schema_service).

The tables list each block's arguments and blocks, their types, and their names in Nomad's API. `since` is the first
Nomad version that knows a field. An older server drops the field silently, and jobs.hcl.newer_fields reports that. ""
means older than any version that fedml talks to (0.12).
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """Kind of a field. `how` names its reader in the mapper; `absent` is the API's value when it isn't set."""

    how: str
    absent: object


# Arguments. The ones that end in _OR_NULL are pointers in Nomad's API: absent is null, not the type's zero.
TEXT, TEXT_OR_NULL = Kind("string", ""), Kind("string", None)
WHOLE, WHOLE_OR_NULL = Kind("int64", 0), Kind("int64", None)
WHOLE8_OR_NULL, BYTE, UNSIGNED_OR_NULL = Kind("int8", None), Kind("uint8", 0), Kind("uint64", None)
FLAG, FLAG_OR_NULL = Kind("bool", False), Kind("bool", None)
DURATION, DURATION_OR_NULL = Kind("duration", 0), Kind("duration", None)
PORT, UNSIGNED32_OR_NULL = Kind("uint16", 0), Kind("uint32", None)
TEXTS, PORTS = Kind("strings", None), Kind("ports", None)
TEXT_MAP_ARGUMENT = Kind("text_map_argument", None)
# Blocks.
ONE, MANY = Kind("one", None), Kind("many", None)
BY_LABEL = Kind("by_label", None)
TEXT_MAP = Kind("text_map", None)
TEXT_MAP_OR_ARGUMENT = Kind("text_map_or_argument", None)
TEXTS_MAP = Kind("texts_map", None)
FREE_FORM = Kind("free_form", None)
LABEL, LABEL_OR_NULL = Kind("label", ""), Kind("label", None)

INTEGER_RANGES = {
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
}


class Field(NamedTuple):
    """One field. `name` is the jobspec's ("" when the server sets the field), `api` Nomad's, `block` the kind of
    block.

    `omit_absent`: the JSON lacks the field where the jobspec doesn't set it. This holds for fields that Nomad 1.6.3
    doesn't know.
    """

    api: str
    name: str
    kind: Kind
    block: str = ""
    since: str = ""
    required: bool = False
    omit_absent: bool = False


class BlockType:
    """The fields of one kind of block, by kind."""

    __slots__ = ("absent", "arguments", "blocks", "fields", "label", "name", "required")

    def __init__(self, name: str, fields: list[Field]) -> None:
        self.name = name
        self.fields = fields
        self.absent: dict[str, object] = {}
        self.arguments: dict[str, Field] = {}
        self.blocks: dict[str, Field] = {}
        self.label: Field | None = None
        self.required = [field for field in fields if field.required]
        for field in fields:
            if not field.omit_absent:
                self.absent[field.api] = field.kind.absent
            if field.kind.how == "label":
                self.label = field
            elif field.name and field.kind.how in _BLOCK_KINDS:
                self.blocks[field.name] = field
            elif field.name:
                self.arguments[field.name] = field


_BLOCK_KINDS = {kind.how for kind in (ONE, MANY, BY_LABEL, TEXT_MAP, TEXT_MAP_OR_ARGUMENT, TEXTS_MAP, FREE_FORM)}


def server_field(api: str, absent: object = None, since: str = "") -> Field:
    """Declares a field of the API that no jobspec sets."""
    return Field(api, "", Kind("server", absent), since=since)


def newer(api: str, name: str, kind: Kind, since: str, block: str = "") -> Field:
    """Declares a field that came after 1.6.3. The version is the first whose source has it; no such server was
    tried."""
    return Field(api, name, kind, block, since, omit_absent=True)


def table(**blocks: list[Field]) -> dict[str, BlockType]:
    return {name: BlockType(name, fields) for name, fields in blocks.items()}
