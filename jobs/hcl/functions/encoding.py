"""Functions that encode, decode and hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from decimal import Decimal
from typing import Any

from jobs.hcl.functions.function import Function
from jobs.hcl.values import ValueProblem, from_python, number_text, to_string


def base64_decode(value: object) -> str:
    try:
        return base64.b64decode(to_string(value), validate=True).decode()
    except UnicodeDecodeError:
        raise ValueProblem("the decoded bytes are not text in UTF-8") from None
    except (binascii.Error, ValueError):
        raise ValueProblem("this is not valid base64") from None


def base64_encode(value: object) -> str:
    return base64.b64encode(to_string(value).encode()).decode()


def digest(algorithm: str) -> Function:
    return Function(lambda value: hashlib.new(algorithm, to_string(value).encode()).hexdigest(), 1, 1)


def json_text(value: object) -> str:
    """Formats JSON as Go does: no blanks, keys sorted, `<`, `>` and `&` escaped."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(key)}:{json_text(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return number_text(value)
    encoded = json.dumps(value, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        encoded = encoded.replace(letter, f"\\u{ord(letter):04x}")
    return encoded


def json_decode(value: object) -> Any:
    def refuse(constant: str) -> None:
        raise ValueProblem(f"{constant} is not valid JSON")

    try:
        return from_python(json.loads(to_string(value), parse_float=Decimal, parse_constant=refuse))
    except (ValueError, ArithmeticError) as problem:
        raise ValueProblem(f"this is not valid JSON: {problem}") from None


def csv_decode(value: object) -> list[Any]:
    import csv
    import io

    try:
        header, *rows = list(csv.reader(io.StringIO(to_string(value)), strict=True)) or [[]]
    except csv.Error as problem:
        raise ValueProblem(f"this is not valid CSV: {problem}") from None
    if not header:
        raise ValueProblem("the header line is missing")
    if len(set(header)) != len(header):
        raise ValueProblem("two columns have the same name")
    for number, row in enumerate(rows, 2):
        if row and len(row) != len(header):
            raise ValueProblem(f"row {number} has {len(row)} columns instead of {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows if row]


def url_encode(value: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(to_string(value), safe="~")


def uuid4() -> str:
    import uuid

    return str(uuid.uuid4())


def uuid5(namespace: object, name: object) -> str:
    import uuid

    known = {
        "dns": uuid.NAMESPACE_DNS,
        "url": uuid.NAMESPACE_URL,
        "oid": uuid.NAMESPACE_OID,
        "x500": uuid.NAMESPACE_X500,
    }
    given = to_string(namespace)
    try:
        return str(uuid.uuid5(known.get(given) or uuid.UUID(given), to_string(name)))
    except ValueError:
        raise ValueProblem('the namespace is a UUID, "dns", "url", "oid" or "x500"') from None


def yaml_text(value: object) -> str:
    """Formats YAML in block style, with every string quoted."""
    return "\n".join(_yaml_lines(value)) + "\n"


def _yaml_lines(value: object) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key in sorted(value) for line in _yaml_entry(key, value[key])]
    if isinstance(value, list) and value:
        return [line for item in value for line in _yaml_item(item)]
    if isinstance(value, str) and "\n" in value and not value.startswith((" ", "\t", "\n")):
        kept = "" if value.endswith("\n") else "-"
        kept = "+" if value.endswith("\n\n") else kept
        return [f"|{kept}", *(f"  {line}".rstrip(" ") for line in value.removesuffix("\n").split("\n"))]
    return [json_text(value)]


def _yaml_entry(key: str, value: object) -> list[str]:
    """Formats one key and its value in a map."""
    nested = _yaml_lines(value)
    if isinstance(value, dict) and value:
        return [f"{json_text(key)}:", *("  " + line for line in nested)]
    if isinstance(value, list) and value:
        return [f"{json_text(key)}:", *nested]
    return [f"{json_text(key)}: {nested[0]}", *nested[1:]]


def _yaml_item(value: object) -> list[str]:
    """Formats one element of a list."""
    first, *rest = _yaml_lines(value)
    return [f"- {first}", *(rest if isinstance(value, str) else ("  " + line for line in rest))]


def not_here(instead: str) -> Function:
    """Refuses a function of Nomad that needs more than the standard library."""

    def refuse(*_: object) -> Any:
        raise ValueProblem(f"fedml can't compute this; {instead}")

    return Function(refuse, 0, None, takes_null=True)


ENCODING_FUNCTIONS = {
    "bcrypt": not_here("compute the hash outside and pass it as a variable"),
    "rsadecrypt": not_here("decrypt it outside, and pass no secret in a jobspec"),
    "yamldecode": not_here("use jsondecode()"),
    "base64decode": Function(base64_decode, 1, 1),
    "base64encode": Function(base64_encode, 1, 1),
    "csvdecode": Function(csv_decode, 1, 1),
    "jsondecode": Function(json_decode, 1, 1),
    "jsonencode": Function(json_text, 1, 1, takes_null=True),
    "md5": digest("md5"),
    "sha1": digest("sha1"),
    "sha256": digest("sha256"),
    "sha512": digest("sha512"),
    "urlencode": Function(url_encode, 1, 1),
    "uuidv4": Function(uuid4, 0, 0),
    "uuidv5": Function(uuid5, 2, 2),
    "yamlencode": Function(yaml_text, 1, 1, takes_null=True),
}
