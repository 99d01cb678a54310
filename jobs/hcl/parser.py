"""Parses a source to the syntax tree of its body, or of one expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hcl import syntax
from jobs.hcl.expressions import ExpressionParser

if TYPE_CHECKING:
    from jobs.hcl.source import Source


def parse_body(source: Source) -> syntax.Body:
    """Parses the body of a whole file. Raises HclError at the first mistake."""
    parser = _BodyParser(source)
    if source.text.startswith("\ufeff"):
        parser.at = 1
    return parser.body("")


def parse_expression(source: Source) -> syntax.Node:
    """Parses a source that consists of one expression."""
    parser = ExpressionParser(source)
    parser.newlines_count = False
    expression = parser.expression()
    if parser.peek():
        parser.fail(f"expected nothing more after the value, found {parser.found()}")
    return expression


class _BodyParser(ExpressionParser):
    def body(self, closer: str) -> syntax.Body:
        """Parses attributes and blocks, one a line, up to `closer` or the end of the file. Skips the closer."""
        body = syntax.Body(self.at, self.at)
        opened_at = self.at
        while True:
            following = self.peek()
            if following == "\n":
                self.at += 1
                continue
            if following == closer:
                self.at += len(closer)
                body.end = self.at
                return body
            if not following:
                self.fail('this block is never closed: expected "}", found the end of the file', opened_at - 1)
            self._item(body)
            if self.peek() not in ("\n", ""):
                self.fail(
                    f"expected the end of the line, found {self.found()}",
                    hint="Write each argument and block on its own line, without commas." if self.peek() == "," else "",
                )

    def _item(self, body: syntax.Body) -> None:
        start = self.at
        name = self.take_name()
        if name is None:
            quoted = self.peek() == '"'
            self.fail(
                f"expected the name of an argument or a block, found {self.found()}",
                hint="Names of arguments are not quoted." if quoted else "",
            )
        if self.peek() == "=" and not self.text.startswith("==", self.at):
            self._attribute(body, name, start)
        else:
            self._block(body, name, start)

    def _attribute(self, body: syntax.Body, name: str, start: int) -> None:
        self.at += 1
        expression = self.expression()
        if name in body.attributes:
            line, _ = self.source.position(body.attributes[name].start)
            self.fail(f'"{name}" is already set on line {line}', start, hint="Each argument is set once.")
        body.attributes[name] = syntax.Attribute(start, expression.end, name, expression)

    def _block(self, body: syntax.Body, name: str, start: int) -> None:
        labels: list[tuple[str, int]] = []
        while (following := self.peek()) != "{":
            at = self.at
            if following == '"':
                labels.append((self.quoted_label(), at))
            elif (label := self.take_name()) is not None:
                labels.append((label, at))
            else:
                what = f'"{name}"' if not labels else f'the labels of "{name}"'
                self.fail(
                    f'expected "=" or "{{" after {what}, found {self.found()}',
                    hint="Put a block's { on the same line as its name." if following == "\n" else "",
                )
        self.at += 1
        self.enter()
        inner = self.body("}") if self.peek() in ("\n", "}", "") else self._single_line_body(name)
        self.leave()
        body.blocks.append(syntax.Block(start, self.at, name, labels, inner))

    def _single_line_body(self, block: str) -> syntax.Body:
        """Parses `name = value }` after a brace on the same line: one argument, no newline."""
        inner = syntax.Body(self.at, self.at)
        start = self.at
        name = self.take_name()
        if name is None or self.peek() != "=":
            self.fail(
                f'a block on one line holds one argument: expected name = value in "{block}"',
                start,
                hint="Put the block's content on its own lines.",
            )
        self._attribute(inner, name, start)
        self.expect(
            "}",
            f'a block on one line holds one argument: expected "}}", found {self.found()}',
            hint="Put the block's content on its own lines.",
        )
        inner.end = self.at
        return inner
