"""Parses quoted strings and heredocs with their `${…}` and `%{…}`."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from jobs.hcl import syntax
from jobs.hcl.scanner import Scanner
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import text as normal_form

_QUOTED_TEXT = re.compile(r'[^"\\$%\n]+|\$\$\{|%%\{|\$(?!\{)|%(?!\{)|\\[^\n]')
_HEREDOC_TEXT = re.compile(r"([^$%\n]+|\$\$\{|%%\{|\$(?!\{)|%(?!\{))\n?|\n")
_HEREDOC_START = re.compile(r"<<(-?)([^\W\d][\w-]*)\r?\n")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_UNICODE_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_KEYWORDS = ("if", "else", "endif", "for", "endfor")


@dataclass(slots=True)
class _Text:
    """Literal text between sequences; in a heredoc at most one line, with its newline."""

    at: int
    text: str


@dataclass(slots=True)
class _Directive:
    """`%{ keyword … }`: with the condition of an if, or the names and the collection of a for."""

    at: int
    end: int
    keyword: str
    expression: syntax.Node | None = None
    names: tuple[str | None, str] = (None, "")


_Part = _Text | _Directive | syntax.Node


class TemplateParser(Scanner):
    """The part of the parser for text with `${…}` and `%{…}` in it."""

    @abstractmethod
    def expression(self) -> syntax.Node: ...

    @abstractmethod
    def loop_names(self) -> tuple[str | None, str]: ...

    def quoted(self) -> syntax.Node:
        """Parses a string in double quotes."""
        start = self.at
        self.at += 1
        parts: list[_Part] = []
        strip = False
        text = self.text
        while not text.startswith('"', self.at):
            if text.startswith(("${", "%{"), self.at):
                strip = self._sequence(parts)
                continue
            at, run = self.at, ""
            while (found := _QUOTED_TEXT.match(text, self.at)) is not None:
                piece = found.group()
                if piece[0] == "\\":
                    run += self._escape(piece[1])
                else:
                    self.at = found.end()
                    run += piece[1:] if piece in ("$${", "%%{") else piece
            if self.at == at:
                self.fail(
                    "this string is never closed", start, hint='Close it with ", or use a heredoc for several lines.'
                )
            parts.append(_Text(at, run.lstrip() if strip else run))
            strip = False
        self.at += 1
        return self._assembled(parts, start)

    def quoted_label(self) -> str:
        """Parses a quoted string without interpolations."""
        start = self.at
        label = self.quoted()
        if not isinstance(label, syntax.Literal) or not isinstance(label.value, str):
            self.fail("no interpolation is possible here", start, hint="Double the $ or % to mean it literally.")
        return label.value

    def _escape(self, letter: str) -> str:
        if letter in _ESCAPES:
            self.at += 2
            return _ESCAPES[letter]
        found = _UNICODE_ESCAPE.match(self.text, self.at)
        if found is None:
            self.fail(
                f'"\\{letter}" is not a valid escape sequence',
                hint='Known are \\n, \\r, \\t, \\", \\\\, \\uNNNN and \\UNNNNNNNN; write \\\\ for a backslash.',
            )
        code = int(found.group(1) or found.group(2), 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            self.fail("this is not a valid character")
        self.at = found.end()
        return chr(code)

    def heredoc(self) -> syntax.Node:
        """Parses `<<NAME` or `<<-NAME` up to the line that holds only the name."""
        start = self.at
        opening = _HEREDOC_START.match(self.text, start)
        if opening is None:
            self.fail('expected a name and then the end of the line after "<<"')
        marker = opening.group(2)
        self.at = opening.end()
        parts: list[_Part] = []
        strip = False
        new_line = True
        text = self.text
        line_end = -1
        while True:
            if self.at > line_end:
                line_end = text.find("\n", self.at)
            if line_end < 0:
                self._unclosed_heredoc(marker, start)
            if new_line and text[self.at : line_end].strip() == marker:
                break
            if text.startswith(("${", "%{"), self.at):
                strip = self._sequence(parts)
                new_line = False
                continue
            found = _HEREDOC_TEXT.match(text, self.at)
            if found is None:
                self._unclosed_heredoc(marker, start)
            piece = found.group()
            new_line = piece.endswith("\n")
            if piece.startswith(("$${", "%%{")):
                piece = piece[1:]
            parts.append(_Text(self.at, piece.lstrip() if strip else piece))
            strip = False
            self.at = found.end()
        self.at = text.index(marker, self.at) + len(marker)
        if opening.group(1):
            _dedent(parts)
        return self._assembled(parts, start)

    def _unclosed_heredoc(self, marker: str, start: int) -> NoReturn:
        at_end = self.text[self.at :].strip() == marker
        hint = f"It ends with a line that holds only {marker}" + (", and that line with a newline." if at_end else ".")
        self.fail(f'the heredoc "{marker}" is never closed', start, hint=hint)

    def _sequence(self, parts: list[_Part]) -> bool:
        """Parses one `${…}` or `%{…}`. Returns whether the text after it loses its leading blanks (`~}`)."""
        start = self.at
        is_directive = self.text[start] == "%"
        self.at += 2
        if self.text.startswith("~", self.at):
            self.at += 1
            if parts and isinstance(parts[-1], _Text):
                parts[-1].text = parts[-1].text.rstrip()
        outer, self.newlines_count = self.newlines_count, False
        part: _Part = self._directive(start) if is_directive else self.expression()
        strip = self.take("~}")
        if not strip:
            kind = "directive" if is_directive else "interpolation"
            self.expect("}", f'expected "}}" at the end of this {kind}, found {self.found()}')
        self.newlines_count = outer
        if isinstance(part, _Directive):
            part.end = self.at
        parts.append(part)
        return strip

    def _directive(self, start: int) -> _Directive:
        self.peek()
        keyword_at = self.at
        keyword = self.take_name()
        if keyword == "if":
            return _Directive(start, self.at, keyword, self.expression())
        if keyword == "for":
            names = self.loop_names()
            return _Directive(start, self.at, keyword, self.expression(), names)
        if keyword not in _KEYWORDS:
            self.fail(
                f"expected one of {', '.join(_KEYWORDS)} after %{{, found {keyword or self.found()}",
                keyword_at,
                hint=did_you_mean(keyword or "", _KEYWORDS) or "Write %%{ to mean %{ literally.",
            )
        return _Directive(start, self.at, keyword)

    def _assembled(self, parts: list[_Part], start: int) -> syntax.Node:
        if len(parts) == 1 and isinstance(parts[0], syntax.Node):
            return syntax.Parentheses(start, self.at, parts[0])
        if all(isinstance(part, _Text) for part in parts):
            whole = "".join(part.text for part in parts if isinstance(part, _Text))
            return syntax.Literal(start, self.at, normal_form(whole))
        nodes, rest, _ = self._nested(parts, 0, (), start)
        assert rest == len(parts)
        return syntax.Template(start, self.at, nodes)

    def _nested(
        self, parts: list[_Part], first: int, enders: tuple[str, ...], opened_at: int
    ) -> tuple[list[syntax.Node], int, str]:
        """Returns the nodes from `first` to a directive in `enders` (or the end), the next position, and the
        directive."""
        nodes: list[syntax.Node] = []
        n = first
        while n < len(parts):
            part = parts[n]
            n += 1
            if isinstance(part, _Text):
                nodes.append(syntax.Literal(part.at, part.at + len(part.text), normal_form(part.text)))
            elif isinstance(part, syntax.Node):
                nodes.append(part)
            elif part.keyword in enders:
                return nodes, n, part.keyword
            elif part.keyword not in ("if", "for"):
                self.fail(f"there is no open directive that %{{ {part.keyword} }} could belong to", part.at)
            else:
                self.enter()
                node, n = self._control(parts, n, part)
                self.leave()
                nodes.append(node)
        if enders:
            self.fail(f"this directive has no %{{ {enders[-1]} }}", opened_at)
        return nodes, n, ""

    def _control(self, parts: list[_Part], n: int, opening: _Directive) -> tuple[syntax.Node, int]:
        assert opening.expression is not None
        at, end = opening.at, opening.end
        if opening.keyword == "if":
            shown, n, ender = self._nested(parts, n, ("else", "endif"), at)
            otherwise: list[syntax.Node] = []
            if ender == "else":
                otherwise, n, _ = self._nested(parts, n, ("endif",), at)
            arms = [syntax.Template(at, end, arm) for arm in (shown, otherwise)]
            return syntax.Conditional(at, end, opening.expression, arms[0], arms[1]), n
        content, n, _ = self._nested(parts, n, ("endfor",), at)
        key_name, value_name = opening.names
        value = syntax.Template(at, end, content)
        loop = syntax.For(at, end, key_name, value_name, opening.expression, None, value, None, group=False)
        return syntax.TemplateFor(at, end, loop), n


def _dedent(parts: list[_Part]) -> None:
    """Removes the smallest indentation of any non-blank line from every line. Interpolated text doesn't count."""
    line_starts: list[_Text] = []
    smallest: int | None = None
    at_line_start = True
    for part in parts:
        if at_line_start:
            at_line_start = False
            if not isinstance(part, _Text):
                smallest = 0
            elif part.text.strip() or not part.text.endswith("\n"):
                indentation = len(part.text) - len(part.text.lstrip())
                smallest = indentation if smallest is None else min(smallest, indentation)
                line_starts.append(part)
        if isinstance(part, _Text) and part.text.endswith("\n"):
            at_line_start = True
    for part in line_starts:
        part.text = part.text[smallest:]
