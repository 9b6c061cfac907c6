"""YAML → values with their lines, safe for texts of strangers.

Made from the parser's events, one by one. So nothing can be built by a tag or repeated by an alias, the
limits hold before anything is built, and two equal keys are seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from airflow_pgmq.core.job_documents import scalars
from airflow_pgmq.core.job_documents.places import Fields, Items, Place
from airflow_pgmq.errors import InvalidArgument

MAX_BYTES = 10 * 1024 * 1024
#: Levels inside a message, headers or params; a document has a few more around them.
MAX_DEPTH = 100
_LEVELS_AROUND = 4
#: Values in a document: each takes much more memory than text.
MAX_VALUES = 500_000

#: In place of a value that cannot be used, after the document has noted why.
BROKEN = object()

#: The parser in C is a hundred times faster, but not everywhere.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PAIR = re.compile(r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
#: Not in a text of YAML, or ends of lines there.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufffe\uffff]|(?<!^)\ufeff")
#: A text in JSON, and what follows if it is a key.
_TEXT = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*"\s*)(:)?')
#: Characters from where a key begins to its colon; YAML marks a longer one by "?".
_LONGEST_KEY = 1024

_ALIAS = (
    "a word that begins with * repeats another part of the document, which is not read here: write that part "
    'out, or use defaults. A cron with * needs quotes: "*/5 * * * *"'
)
_ANCHOR = "names for parts of the document (&name) are not read here: use defaults for what jobs share"
_TAG = "types (!name) are not read here: write the value alone, and a text in quotes"
_MERGE = "<< is not read here: write the fields out, or use defaults for what jobs share"
_COMPLEX_KEY = 'a key must be a text; a template needs quotes: "{{ ds }}"'
#: What people mostly meant, by the parser's words.
_HINTS = {
    "expected alphabetic or numeric character": _ALIAS,
    "that cannot start any token": (
        'a value that begins with @, ` or % needs quotes: "@daily". Lines are indented by spaces, not tabs'
    ),
    "mapping values are not allowed": "a text with a colon needs quotes; or the indentation is wrong",
    "found unexpected end of stream": "perhaps a quote is missing",
    "expected": "perhaps the indentation is wrong, or a quote or bracket is missing",
    "invalid Unicode character escape code": "half of a surrogate pair is not a character",
}

#: From the document inwards.
Path: TypeAlias = tuple[str | int, ...]


@dataclass
class Document:
    """What a text says."""

    value: Any = None
    #: What is wrong with parts of it: the path, the line and a text.
    problems: list[tuple[Path, int, str]] = field(default_factory=list)


def read(text: str, source: str = "") -> Document:
    """The values of a text: dicts and lists that know their lines, texts, numbers, booleans and None.

    :param source: the name of the file, for errors
    :raises InvalidArgument: the text is no YAML, or larger or deeper than the limits
    """
    return _Reader(text, source).document()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._text = _of_json(text)
        self._document = Document()
        self._values = 0

    def document(self) -> Document:
        try:
            if len(self._text) > MAX_BYTES or len(self._text.encode()) > MAX_BYTES:
                self._refuse(None, f"more than {MAX_BYTES // 1024**2} MB: split it into several documents")
            self._read(yaml.parse(self._text, _PARSER))
        except yaml.MarkedYAMLError as exc:
            # What is not closed is noticed at the end, and begins where it should be closed.
            is_open = exc.context and ("flow" in exc.context or "quoted" in exc.context)
            mark = exc.context_mark if is_open else exc.problem_mark
            self._refuse(mark and mark.line + 1, _reason(exc))
        except yaml.reader.ReaderError as exc:
            line = self._text.encode()[: exc.position].count(b"\n") + 1
            self._refuse(line, f"the control character {chr(exc.character)!r} must be written as an escape")
        except UnicodeEncodeError as exc:
            self._refuse(
                self._text.count("\n", 0, exc.start) + 1, "half of a surrogate pair is not a character"
            )
        return self._document

    def _read(self, events: Iterator[Any]) -> None:
        self._events = events
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self._values:
                    self._refuse(event.start_mark.line + 1, "a second document (---): jobs are one list")
                self._document.value = self._value(next(events), (), 0)

    def _value(self, event: Any, path: Path, depth: int) -> Any:
        self._values += 1
        line: int = event.start_mark.line + 1
        if self._values > MAX_VALUES:
            self._refuse(line, f"more than {MAX_VALUES:,} values: split it into several documents")
        if depth > MAX_DEPTH + _LEVELS_AROUND:
            self._refuse(line, f"nested deeper than {MAX_DEPTH} levels")
        if wrong := _not_read(event):
            self._note(path, line, wrong)
        if isinstance(event, yaml.MappingStartEvent):
            found: Any = self._fields(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            found = self._items(path, depth)
        elif isinstance(event, yaml.ScalarEvent):
            found = event.value if event.style else scalars.read(event.value)
        return BROKEN if wrong else found

    def _fields(self, path: Path, depth: int) -> Fields:
        found = Fields()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line: int = event.start_mark.line + 1
            key, wrong = self._key(event, (*path, "?"), depth, found)
            told = len(self._document.problems)
            value = self._value(next(self._events), (*path, key), depth + 1)
            if wrong:
                # One problem is enough for what is left out anyway.
                self._document.problems[told:] = [((*path, key), line, wrong)]
                continue
            found[key] = value
            found.lines[key] = line
        return found

    def _key(self, event: Any, path: Path, depth: int, found: Fields) -> tuple[str, str | None]:
        """A key as it is written, since JSON has only texts; and what is wrong with it."""
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, path, depth + 1)
            return "?", _COMPLEX_KEY
        key: str = event.value
        if not key and not event.style:
            return "?", "a key is missing before the colon"
        if key == "<<" and not event.style:
            return key, _MERGE
        if key in found:
            return key, f"a second time; the first is in line {found.lines[key]}"
        return key, _not_read(event)

    def _items(self, path: Path, depth: int) -> Items:
        found = Items()
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            position = len(found)
            found.lines[position] = event.start_mark.line + 1
            found.append(self._value(event, (*path, position), depth + 1))
        return found

    def _note(self, path: Path, line: int, text: str) -> None:
        self._document.problems.append((path, line, text))

    def _refuse(self, line: int | None, reason: str) -> NoReturn:
        where = Place("", line, self._source)
        raise InvalidArgument(f"The jobs cannot be read: {where.text(reason)}.") from None


def _not_read(event: Any) -> str | None:
    """What the event has that could make something unexpected of it."""
    if isinstance(event, yaml.AliasEvent):
        return _ALIAS
    if event.anchor is not None:
        return _ANCHOR
    return _TAG if event.tag is not None else None


def _of_json(text: str) -> str:
    r"""A text of JSON as YAML needs it: `\ud83d\ude00` is one character, and some others are escaped.

    A key that is long, or has its colon in another line, is marked as one.
    """
    if len(text) > MAX_BYTES or text.lstrip("\ufeff \t\r\n")[:1] not in ("{", "["):
        return text
    try:
        # In JSON these are in strings only; in YAML they can be a part of any text.
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return text
    text = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return _TEXT.sub(_marked, _PAIR.sub(_one_character, text))


def _marked(found: re.Match[str]) -> str:
    key, colon = found.groups()
    is_marked = colon and (len(key) > _LONGEST_KEY or "\n" in key or "\r" in key)
    return f"? {found[0]}" if is_marked else found[0]


def _one_character(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _reason(exc: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(exc.problem or exc.context or "no YAML").split())
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    return f"{problem}; {hint}" if hint else problem
