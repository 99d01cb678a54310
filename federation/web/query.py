"""The query of a page's address: names, numbers and choices, each with a limit. The address holds all of a page's state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from federation.errors import UsageError
from federation.output.visible import visible_line

QUERY_CHARS_MAX = 8_000
FIELDS_MAX = 200


class Query:
    """What a page's address asks for. Each method raises UsageError for a value that can't be meant."""

    def __init__(self, request: Request, form: ImmutableMultiDict[str, str] | None = None) -> None:
        if len(request.url.query) > QUERY_CHARS_MAX:
            raise UsageError(f"the address has more than {QUERY_CHARS_MAX} characters after its question mark")
        self._params = request.query_params if form is None else form
        if any("\0" in value for _, value in self._params.multi_items()):  # no file, option or name can hold one
            raise UsageError("a value in the address or the form has a NUL character")

    def text(self, name: str, default: str = "") -> str:
        """A text. Where the address has several, the last."""
        return str(self._params.get(name, default)).strip()

    def many(self, name: str) -> tuple[str, ...]:
        """All values of the name, without empty ones and in their order."""
        return tuple(value for value in map(str, self._params.getlist(name)) if value)

    def number(self, name: str, default: int, *, low: int = 0, high: int = 1 << 31) -> int:
        """A whole number from `low` to `high`."""
        text = self.text(name)
        if not text:
            return default
        if not text.removeprefix("-").isdecimal() or len(text) > 12 or not low <= int(text) <= high:
            raise UsageError(f"{name}={text!r} in the address is not a whole number from {low} to {high}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Whether the address has `name=1`."""
        return self.text(name) in ("1", "true", "on")

    def choice(self, name: str, allowed: Collection[str], default: str = "") -> str:
        """One of the allowed texts."""
        text = self.text(name) or default
        if text != default and text not in allowed:
            raise UsageError(f"{name}={text!r} in the address is none of: {', '.join(allowed)}")
        return text


def parsed_form(body: bytes) -> ImmutableMultiDict[str, str]:
    """The fields of a form. Raises UsageError for what isn't one."""
    try:
        return ImmutableMultiDict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise UsageError("the form can't be read") from None


def form_of(request: Request) -> Query:
    """What a form has sent (`federation.web.application` keeps it with the request)."""
    return Query(request, request.state.form)


def inside(address: str) -> str:
    """An address of these pages; the first page where it is one of another site. Browsers leave out tabs and line ends."""
    is_inside = address.startswith("/") and not address.startswith(("//", "/\\")) and visible_line(address) == address
    return address if is_inside else "/"


def with_query(path: str, query: Mapping[str, object]) -> str:
    """An address with this query. Empty values and None are left out; a list or tuple gives its name several times."""
    pairs = {
        name: value
        for name, value in query.items()
        if value is not None and value != "" and value != [] and value != ()
    }
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path


def changed(request: Request, changes: Mapping[str, object]) -> str:
    """The address of this page with some values changed. None or "" takes a value away."""
    query: dict[str, object] = {name: request.query_params.getlist(name) for name in request.query_params}
    path = inside(quote(request.scope["path"], safe="/:@!$&'()*+,;="))
    return with_query(path, {name: value for name, value in (query | dict(changes)).items() if name != "format"})
