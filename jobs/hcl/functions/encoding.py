"""Functions that encode, decode and hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from jobs.hcl.functions.csv import csv_decode
from jobs.hcl.functions.function import Function
from jobs.hcl.functions.yaml import yaml_text
from jobs.hcl.numbers import BigFloat
from jobs.hcl.types import type_of
from jobs.hcl.values import NotComputed, ValueProblem, from_python, parse_number, text, to_string


def base64_decode(value: object) -> str:
    try:
        encoded = to_string(value).replace("\n", "").replace("\r", "")
        return base64.b64decode(encoded, validate=True).decode()
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
    if isinstance(value, (int, BigFloat)) and not isinstance(value, bool):
        return str(value)
    encoded = json.dumps(value, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        encoded = encoded.replace(letter, f"\\u{ord(letter):04x}")
    return encoded


def json_decode(value: object) -> Any:
    def refuse(constant: str) -> None:
        raise ValueProblem(f"{constant} is not valid JSON")

    try:
        return from_python(
            json.loads(
                to_string(value),
                parse_float=parse_number,
                parse_int=parse_number,
                parse_constant=refuse,
                object_pairs_hook=_object,
            )
        )
    except ValueError as problem:
        raise ValueProblem(f"this is not valid JSON: {problem}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object. The last of several equal names counts."""
    found: dict[str, Any] = {}
    for given, item in pairs:
        name, value = text(given), from_python(item)
        if name in found and type_of(found[name]) != type_of(value):
            raise NotComputed(
                f'"{name[:40]}" is there twice with different types, which Nomad\'s versions treat differently'
            )
        found[name] = value
    return found


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


def not_here(instead: str) -> Function:
    """Refuses a function of Nomad that needs more than the standard library."""

    def refuse(*_: object) -> Any:
        raise NotComputed(f"fedml can't compute this; {instead}")

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
