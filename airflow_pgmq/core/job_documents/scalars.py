"""What a word without quotes is in a YAML document of jobs: a text, a number, true, false or null.

Documents are YAML 1.2, whose words are those of JSON and few more. Many libraries still read YAML 1.1, where
`yes` is true and `010` is eight; what people may have meant in either way is `Unclear`.
"""

from __future__ import annotations

import re
from typing import Any

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_UNCLEAR_WORDS = {
    **{form: "true" for word in ("yes", "on") for form in (word, word.title(), word.upper())},
    **{form: "false" for word in ("no", "off") for form in (word, word.title(), word.upper())},
    # JSON as Python and JavaScript write it.
    **dict.fromkeys(("NaN", "Infinity", "-Infinity"), "null"),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
#: Numbers of YAML 1.2 that are others, or texts, in YAML 1.1.
_UNCLEAR_NUMBER = re.compile(r"[-+]?0[0-9]+|0o[0-7]+")
#: Texts of YAML 1.2 that are numbers in YAML 1.1.
_UNCLEAR_TEXT = re.compile(
    r"[-+]?(?:0b[01_]+ | 0x_*[0-9a-fA-F][0-9a-fA-F_]* | [0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+][0-9]+)?)",
    re.VERBOSE,
)
#: Python refuses to turn longer texts into integers, and back.
_MOST_DIGITS = 4300


class Unclear(str):
    """A word that somebody may have meant as a text or as something else."""

    __slots__ = ("instead", "is_number")

    #: What to write, if it is not a text.
    instead: str
    #: Whether YAML 1.2 reads a number.
    is_number: bool

    def __new__(cls, text: str, instead: str, *, is_number: bool = False) -> Unclear:
        made = super().__new__(cls, text)
        made.instead, made.is_number = instead, is_number
        return made

    @property
    def advice(self) -> str:
        """What to write, as a part of a sentence."""
        word = str(self)[:60]
        return f'{word} can be read in two ways: write {self.instead}, or "{word}" for a text'


def read(text: str) -> Any:
    """The value of a word without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _UNCLEAR_WORDS:
        return Unclear(text, _UNCLEAR_WORDS[text])
    # Most words are texts, and need no more than this.
    return _number(text) if text[0] in "+-.0123456789" else text


def is_text(text: str) -> bool:
    """Whether a text means the same with and without quotes."""
    return isinstance(found := read(text), str) and not isinstance(found, Unclear)


def _number(text: str) -> Any:
    is_integer = _INTEGER.fullmatch(text)
    if is_integer or _HEXADECIMAL.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            return Unclear(text, "a number that is not so long", is_number=True)
        return int(text, 10 if is_integer else 16)
    if _UNCLEAR_NUMBER.fullmatch(text):
        return Unclear(text, "the number in decimal, without zeros in front", is_number=True)
    if _FLOAT.fullmatch(text):
        return float(text)
    return Unclear(text, "the number in decimal digits") if _UNCLEAR_TEXT.fullmatch(text) else text
