"""Every text of the page is in every catalogue; no text is in the code only, and none in a catalogue only."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.javascript import Literal, Token, literals, tokens

STATIC = Path(__file__).parents[2] / "airflow_pgmq" / "ui" / "static"
CORE = STATIC.parents[1] / "core"
MODULES = sorted(
    path for path in STATIC.rglob("*.js") if not {"vendor", "languages"} & set(path.relative_to(STATIC).parts)
)
CATALOGUES = {path.stem: path for path in sorted((STATIC / "languages").glob("*.js"))}
TRANSLATED = [name for name in CATALOGUES if name != "en"]
#: The plurals of each language; tests/browser compares them with `Intl.PluralRules`.
PLURALS = {
    "de": {"one", "other"},
    "en": {"one", "other"},
    "es": {"one", "many", "other"},
    "fr": {"one", "many", "other"},
    "ja": {"other"},
    "zh-CN": {"other"},
}
PLACE = re.compile(r"\{(\w+)\}")
CODE = re.compile(r"`[^`]+`")


def catalogue(name: str) -> dict[str, str | dict[str, str]]:
    text = CATALOGUES[name].read_text()
    assert text.startswith("export default {")
    assert text.endswith("};\n")
    found = json.loads(
        text.removeprefix("export default ").removesuffix(";\n"), object_pairs_hook=without_twins
    )
    assert isinstance(found, dict)
    return found


def without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@cache
def found_in(path: Path) -> tuple[Literal, ...]:
    return tuple(literals(path.read_text()))


def is_text(each: Literal) -> bool:
    """Whether it is the text of a call of `t` or `rich`."""
    innermost = each.around[-1] if each.around else each.call
    return innermost.callee in ("t", "rich") and innermost.argument == 0


def texts() -> set[str]:
    return {each.text for path in MODULES for each in found_in(path) if is_text(each)} | set(sentences())


@cache
def sentences() -> dict[str, str | None]:
    """The templates of the server's texts, and what each is where `count` is 1."""
    found = {}
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sentence":
                ones = [each.value for each in node.keywords if each.arg == "one"]
                found[literal(node.args[0])] = literal(ones[0]) if ones else None
    return found


def literal(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant), ast.unparse(node)
    assert isinstance(node.value, str)
    return node.value


def forms(entry: str | dict[str, str]) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry.values())


# Catalogues.


def test_each_catalogue_is_one_that_the_page_knows() -> None:
    (known,) = re.findall(r"const KNOWN = (\[.*\]);", (STATIC / "language.js").read_text())
    assert sorted(json.loads(known)) == sorted(CATALOGUES)
    assert set(PLURALS) == set(CATALOGUES)


def test_the_texts_of_the_code_are_found() -> None:
    assert {"Queues", "{count} queues", "Type {text} to confirm", ", "} <= texts()
    assert len(texts()) > 300


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_catalogue_has_the_texts_of_the_code(name: str) -> None:
    assert texts() - set(catalogue(name)) == set()
    assert set(catalogue(name)) - texts() == set()


def test_what_is_wrong_is_told_in_sentences_with_the_plurals_of_the_catalogue() -> None:
    assert len(sentences()) > 30
    plurals = {text: {"one": one, "other": text} for text, one in sentences().items() if one is not None}
    assert plurals
    assert {text: catalogue("en")[text] for text in plurals} == plurals
    assert {text for text in sentences() if "{count}" in text} == set(plurals)


def test_english_has_only_what_has_plurals() -> None:
    assert set(catalogue("en")) <= texts()
    assert [text for text, entry in catalogue("en").items() if isinstance(entry, str)] == []
    assert [text for text, entry in catalogue("en").items() if entry["other"] != text] == []  # type: ignore[index]


@pytest.mark.parametrize("name", CATALOGUES)
def test_each_plural_of_a_language_is_there(name: str) -> None:
    wrong = [
        text
        for text, entry in catalogue(name).items()
        if isinstance(entry, dict) and set(entry) != PLURALS[name]
    ]
    assert wrong == []
    # A language with one form only needs no object.
    if len(PLURALS[name]) > 1:
        plural = {text for text in catalogue("en") if isinstance(catalogue(name)[text], str)}
        assert plural == set()


@pytest.mark.parametrize("name", CATALOGUES)
def test_each_value_and_each_code_of_a_text_is_in_its_translation(name: str) -> None:
    wrong = []
    for text, entry in catalogue(name).items():
        for form in forms(entry):
            missing = set(PLACE.findall(text)) ^ set(PLACE.findall(form))
            # One may be said without its number: the last slot.
            if missing - ({"count"} if isinstance(entry, dict) and entry.get("one") == form else set()):
                wrong.append((text, form))
            if sorted(CODE.findall(text)) != sorted(CODE.findall(form)):
                wrong.append((text, form))
            if not form.strip(" ,、") and text != ", ":
                wrong.append((text, form))
    assert wrong == []


# The code.


def calls() -> Iterator[tuple[Path, str, list[str] | None]]:
    """Each call of `t` and `rich`: its text, and the names of its values, if they are in the call."""
    for path in MODULES:
        if path.name == "language.js":
            continue
        every = tokens(path.read_text())
        for index, token in enumerate(every[:-2]):
            opens = token.kind == "name" and token.text in ("t", "rich") and every[index + 1].text == "("
            if opens:
                yield path, given(every[index + 2 :]), names(every[index + 3 :])


def given(rest: list[Token]) -> str:
    assert (rest[0].kind, rest[1].text in (",", ")")) == ("string", True), rest[:3]
    return rest[0].text


def names(rest: list[Token]) -> list[str] | None:
    """The keys of the object after the text."""
    if rest[0].text == ")" or rest[1].text == ")":
        return []
    if rest[1].text != "{":
        return None
    found, depth = [], 0
    for before, token in pairwise(rest):
        if token.text in "([{" or token.text == "${":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
            if depth == 0:
                break
        elif depth == 1 and token.kind == "name" and before.text in ("{", ","):
            found.append(token.text)
    return found


def test_each_text_gets_its_values() -> None:
    wrong = [
        (path.name, text, values)
        for path, text, values in calls()
        # `count` may only choose the plural.
        if values is not None and set(values) - {"count"} != set(PLACE.findall(text)) - {"count"}
    ]
    assert wrong == []


#: Properties and fields whose values people read.
SHOWN = {"title", "placeholder", "aria-label", "data-label", "label", "caption"}
SHOWN |= {"text", "hint", "action", "done", "more"}
#: Functions whose arguments people read: the first and the last of these.
SAYS = {
    **dict.fromkeys(("h", "s", "hostLink", "viewLink"), (2, 99)),
    **dict.fromkeys(("toast", "empty", "say"), (0, 99)),
    **dict.fromkeys(("section", "fact", "stat", "searchBox", "tabs", "choices", "button"), (0, 0)),
    **dict.fromkeys(("scrolling", "problemList", "number", "moment", "duration", "json"), (1, 1)),
}
WORD = re.compile(r"[A-Za-z]{2}")
SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]|^[A-Z][a-z]+")
#: What is a text nowhere: keys, and functions of the browser.
UNSEEN = {"class", "d", "viewBox", "transform", "role", "preserveAspectRatio"}
BROWSER = {"querySelector", "querySelectorAll", "addEventListener", "closest", "Event"}
#: Names, words of HTTP and of the keyboard; and what the API says, which is compared or removed.
NAMES = {"Airflow", "PGMQ", "PgmqMaintenanceOperator", "p50", "p95", "AbortError", "Tab", "Enter"}
NAMES |= {"Content-Type", "X-Pgmq-Request", "Connection \N{OBJECT REPLACEMENT CHARACTER}: "}


def is_hard_coded(each: Literal) -> bool:
    """Whether people see it, although it is in no catalogue."""
    if is_text(each) or each.text in NAMES or not WORD.search(each.text):
        return False
    if {each.before, each.after} & {"===", "!==", "import", "from", "in"}:
        return False
    call, key = each.call, each.key
    is_code = call.callee == "h" and call.first == "code"
    if is_code or key in UNSEEN or call.callee in BROWSER:
        return False
    first, last = SAYS.get(call.callee, (1, 0))
    said = each.is_argument and first <= call.argument <= last
    return said or key in SHOWN or bool(SENTENCE.search(each.text))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(STATIC)))
def test_no_text_is_hard_coded(path: Path) -> None:
    assert [each.text for each in found_in(path) if is_hard_coded(each)] == []


HARD_CODED = [
    'h("h2", {}, "Queues")',
    'h("p", {}, ok ? "paused" : null)',
    'h("p", {}, [" ", `${n} overdue`])',
    'h("a", { title: "paused" })',
    'h("input", { "aria-label": `Search ${what}` })',
    'const ROWS = [{ id: "a", label: "late" }]',
    "toast(`${name}: deleted`)",
    'const TITLES = { 404: "Not found" }',
    'const HEADS = ["Day"]',
    "empty(t(\"None\"), 'try again')",
    'h("p", {}, t("Yes"), "no")',
]
HARMLESS = [
    'h("p", { class: "muted small" }, t("paused"), " · ", name)',
    'h("code", {}, \'ack="delete"\')',
    'h("p", {}, state === "stopped" ? t("stopped") : null)',
    'const pattern = /"Not found"/; // "Not found"',
    'h("td", { class: on ? "some" : "none off" }, rows.map((row) => cell(row, "gone")))',
    'rich("Type {text} to confirm", { text: h("code", {}, typed) })',
]


@pytest.mark.parametrize("code", HARD_CODED)
def test_hard_coded_texts_are_found(code: str) -> None:
    assert [each for each in literals(code) if is_hard_coded(each)]


@pytest.mark.parametrize("code", HARMLESS)
def test_what_is_no_hard_coded_text_is_left_alone(code: str) -> None:
    assert [each.text for each in literals(code) if is_hard_coded(each)] == []


def test_styles_have_no_texts() -> None:
    contents = re.findall(r"content: \"([^\"]*)\"", "".join(p.read_text() for p in STATIC.rglob("css/*.css")))
    assert [text for text in contents if WORD.search(text)] == []
