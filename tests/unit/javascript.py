"""What a test needs to know of JavaScript: its literals, and in which call and at which key each stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<template>`)
    |(?P<name>[A-Za-z_$#][\w$]*|\d[\w.]*)
    |(?P<mark>=>|[!=]==?|\.\.\.|\?\?=?|\?\.|&&|\|\||[-+*/<>]=?|.)""",
    re.S | re.X,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\\\n\[])+/[a-z]*")
#: After one of these a `/` divides.
_VALUE = re.compile(r"[\w$)\]\"'`]$")
_OPEN, _CLOSE = ("(", "[", "{", "${"), (")", "]", "}")


@dataclass
class Token:
    """`kind` is string, template, name or mark; `text` of a literal is what it says."""

    kind: str
    text: str


@dataclass
class Bracket:
    """An open bracket: what is called with it, which argument this is, and the key of an object's value."""

    mark: str
    callee: str = ""
    argument: int = 0
    key: str = ""
    #: The first argument, if it is a string.
    first: str = ""


@dataclass
class Literal:
    """A string or the texts of a template, with the tokens beside it and the brackets around it."""

    text: str
    before: str
    after: str
    around: list[Bracket] = field(default_factory=list)

    @property
    def call(self) -> Bracket:
        """The innermost call around it."""
        return next((each for each in reversed(self.around) if each.callee), Bracket(""))

    @property
    def is_argument(self) -> bool:
        """Whether it is an argument of the innermost call, or in a list or condition that is one."""
        depth = next((n for n, each in enumerate(reversed(self.around)) if each.callee), None)
        return depth is not None and all(each.mark != "{" for each in self.around[len(self.around) - depth :])

    @property
    def key(self) -> str:
        """The key whose value it is, if it is in an object inside the innermost call."""
        for each in reversed(self.around):
            if each.callee or each.key:
                return each.key
        return ""


def tokens(code: str) -> list[Token]:
    """All but blanks and comments; a template is followed by what is inserted, in brackets of its own."""
    found: list[Token] = []
    _read(code, 0, found, "")
    return found


def _read(code: str, at: int, found: list[Token], end: str) -> int:
    depth = 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        assert match is not None
        kind, text = match.lastgroup or "", match.group()
        before = found[-1].text if found else ""
        if kind == "mark" and text.startswith("/") and not _VALUE.search(before):
            match = _REGEX.match(code, at)
            assert match is not None, code[at : at + 40]
            kind, text = "skip", match.group()
        at = match.end()
        if kind == "mark" and text == end and depth == 0:
            return at
        depth += (text == "{") - (text == "}")
        if kind == "string":
            found.append(Token(kind, unquoted(text)))
        elif kind == "template":
            at = _template(code, at, found)
        elif kind != "skip":
            found.append(Token(kind, text))
    return at


def _template(code: str, at: int, found: list[Token]) -> int:
    token = Token("template", "")
    found.append(token)
    while code[at] != "`":
        if code.startswith("${", at):
            found.append(Token("mark", "${"))
            at = _read(code, at + 2, found, "}")
            found.append(Token("mark", "}"))
            token.text += "\N{OBJECT REPLACEMENT CHARACTER}"
            continue
        size = 2 if code[at] == "\\" else 1
        token.text += code[at : at + size]
        at += size
    return at + 1


def unquoted(text: str) -> str:
    """The value of a string literal."""
    inner = text[1:-1]
    if text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    value: str = json.loads(f'"{inner}"')
    return value


def literals(code: str) -> list[Literal]:
    """Every string and template of a module."""
    every = [Token("mark", ""), *tokens(code), Token("mark", "")]
    found: list[Literal] = []
    around: list[Bracket] = []
    for before, token, after in zip(every, every[1:], every[2:], strict=False):
        if token.kind in ("string", "template"):
            if around and around[-1].mark == "(" and before.text == "(" and token.kind == "string":
                around[-1].first = token.text
            is_key = after.text == ":" and around and around[-1].mark == "{" and before.text in ("{", ",")
            if is_key:
                around[-1].key = token.text
            else:
                copies = [Bracket(**vars(each)) for each in around]
                found.append(Literal(token.text, before.text, after.text, copies))
        elif token.kind == "name":
            if after.text == ":" and around and around[-1].mark == "{" and before.text in ("{", ","):
                around[-1].key = token.text
        elif token.text in _OPEN:
            callee = before.text if token.text == "(" and before.kind == "name" else ""
            around.append(Bracket(token.text, "" if callee in ("if", "for", "while", "return") else callee))
        elif token.text in _CLOSE:
            around.pop()
        elif token.text == "," and around:
            around[-1].argument += 1
            around[-1].key = ""
    assert around == []
    return found
