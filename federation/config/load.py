"""Finds `fedml.toml`, reads it and checks it. The result is a `Config`, or one ConfigError.

Relative file paths count from the file. Addresses `dev:NAME` and endpoints `dev:NAME` are replaced by those of the
project's running development federation. Where that isn't up they stay as they are: commands that use none of them work,
and the others say `fedml dev up`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from federation.config.dev_state import read_state
from federation.config.model import Config
from federation.errors import ConfigError

FILE_NAME = "fedml.toml"


def find(path: Path | None = None, *, cwd: Path | None = None) -> Path:
    """Returns the file to use: `path`, else `FEDML_CONFIG`, else the first fedml.toml upward from `cwd`.

    A folder stands for the fedml.toml in it. Raises ConfigError where there is none.
    """
    chosen = path or (Path(named) if (named := os.environ.get("FEDML_CONFIG")) else None)
    if chosen is not None:
        found = (cwd or Path()) / chosen.expanduser()
        found = found if found.is_absolute() else Path.cwd() / found
        found = found / FILE_NAME if found.is_dir() else found
        if not found.is_file():
            source = "--config" if path else "FEDML_CONFIG"
            raise ConfigError(f"no such file: {found} ({source})", hint="make a project with `fedml init`")
        return found
    start = (cwd or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or any folder above it",
        hint="make a project with `fedml init`, or name one with --config or FEDML_CONFIG",
    )


def load(path: Path | None = None, *, cwd: Path | None = None) -> Config:
    """Finds (as `find` does), reads and checks the file. Raises ConfigError with file, key and what to write instead."""
    found = find(path, cwd=cwd)
    data = _read(found)
    with _without_pydantic_plugins():
        from federation.config import schema  # pydantic: 100 ms that `--help` doesn't pay

    from federation.config.build import build

    if key := _key_with_nul(data):
        raise ConfigError(f"{found}: {key}: holds a NUL character (\\u0000)", hint="remove it")
    document = schema.validate(data)
    if not isinstance(document, schema.Document):
        first, *others = [f"{problem.key}: {problem.text}" for problem in document]
        more = "".join(f"\n  also {other}" for other in others[:5])
        raise ConfigError(f"{found}: {first}{more}", hint=document[0].hint)
    return build(found, document, read_state(found.parent))


@contextmanager
def _without_pydantic_plugins() -> Iterator[None]:
    """Keeps pydantic from reading the metadata of every installed distribution: a quarter of all the time of loading."""
    before = os.environ.get("PYDANTIC_DISABLE_PLUGINS")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYDANTIC_DISABLE_PLUGINS"]
        else:
            os.environ["PYDANTIC_DISABLE_PLUGINS"] = before


def _key_with_nul(value: Any, place: str = "") -> str:
    """Returns the key of the first text that holds a NUL character, which no path, command or variable can."""
    if isinstance(value, str):
        return place if "\0" in value else ""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = (_key_with_nul(each, f"{place}.{name}".lstrip(".")) for name, each in members)
    return next(filter(None, places), "")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        parts = re.fullmatch(r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error))
        text, place = (parts[1], f":{parts[2]}:{parts[3]}" if parts[2] else "") if parts else (str(error), "")
        hint = (
            "each table and key may stand only once"
            if "twice" in text or "overwrite" in text
            else "see https://toml.io"
        )
        raise ConfigError(f"{path}{place}: this is not valid TOML: {text[0].lower()}{text[1:]}", hint=hint) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
