"""The pages of docs/zh have the structure, the code and the links of the English ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.unit.support import ROOT

CHINESE = ROOT / "docs" / "zh"
CODE = re.compile(r"^```.*?^```$", re.M | re.S)
#: Only here, and with no English original.
OWN = {CHINESE / "terms.md"}


def original_of(path: Path) -> Path:
    """The English page of a Chinese one; any other path is its own."""
    if path == CHINESE / "README.md":
        return ROOT / "README.md"
    return ROOT / "docs" / path.relative_to(CHINESE) if path.is_relative_to(CHINESE) else path


PAGES = sorted(set(CHINESE.rglob("*.md")) - OWN)
TRANSLATED = {original_of(page) for page in PAGES}


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def prose(self) -> str:
        return CODE.sub("", self.text)

    @property
    def headings(self) -> list[str]:
        return re.findall(r"^#+ (.+)$", self.prose, re.M)


@dataclass(frozen=True)
class Part:
    """A heading, paragraph, list, table or block of code; `kind` has what must be the same."""

    kind: str
    begins: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.begins})"


NOTHING = Part("nothing", "")


def page_at(path: Path) -> Page:
    return Page(path, path.read_text(encoding="utf-8"))


def parts(page: Page) -> Iterator[Part]:
    at = 0
    for code in [*CODE.finditer(page.text), None]:
        for block in re.split(r"\n\s*\n|\n(?=#)", page.text[at : code.start() if code else None]):
            if block.strip():
                yield Part(kind_of(block.strip()), block.strip().splitlines()[0][:60])
        if code:
            yield Part(code[0], "code")
            at = code.end()


def kind_of(block: str) -> str:
    if heading := re.match("#+", block):
        return f"heading {heading[0]}"
    if block.startswith("|"):
        columns = block.splitlines()[1].count("---")
        return f"table of {len(block.splitlines())} lines, {columns} columns"
    if re.match(r"- |\d\. ", block):
        items = re.findall(r"^(?:-|\d\.) ", block, re.M)
        return f"list of {len(items)} items"
    if re.match(r"\[?!\[", block):
        return f"{block.count('![')} pictures"
    return "paragraph"


def targets(page: Page) -> Iterator[str]:
    """Where the links and pictures of a page lead: of a translated page, to the English one."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.prose):
        if "://" in link:
            yield link
            continue
        name, _, anchor = link.partition("#")
        file = Path(os.path.normpath(page.path.parent / name)) if name else page.path
        if file not in OWN:
            place = place_of(anchor, page if file == page.path else file)
            yield f"{original_of(file).relative_to(ROOT)}{place}"


def place_of(anchor: str, target: Page | Path) -> str:
    """An anchor as the number of its heading, which is the same in both languages."""
    if not anchor:
        return ""
    if isinstance(target, Path):
        if target.suffix != ".md":
            return f"#{anchor}"
        target = page_at(target)
    anchors = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in target.headings]
    return f"#{anchors.index(anchor)}" if anchor in anchors else f"#{anchor}"


def names(page: Page) -> set[str]:
    """What is written as code in the text, whatever lines it is on."""
    return {" ".join(each.split()) for each in re.findall(r"`([^`]+)`", page.prose)}


def figures(page: Page) -> set[str]:
    text = re.sub(r"`[^`]+`|\]\([^)]+\)|^\d\. ", "", page.prose, flags=re.M)
    return set(re.findall(r"\d(?:[\d.,:]*\d)?", text))


def differences(original: Page, translated: Page) -> Iterator[str]:
    under = "the top"
    for here, there in zip_longest(parts(original), parts(translated), fillvalue=NOTHING):
        if here.kind != there.kind:
            yield f"Under {under}\nEnglish: {here}\nChinese: {there}"
            # What follows is out of step.
            break
        under = here.begins if here.kind.startswith("heading") else under
    for kind, of in (("links", targets), ("names in code", names), ("figures", figures)):
        here, there = sorted(of(original)), sorted(of(translated))
        if here != there:
            yield f"{kind}, English: {lacking(here, there)}, Chinese: {lacking(there, here)}"
    yield from (f"is translated: {each}" for each in english_ways(original, translated))


def lacking(some: list[str], others: list[str]) -> list[str]:
    """Those of `some` that `others` has less often."""
    return sorted({each for each in some if some.count(each) > others.count(each)})


def english_ways(original: Page, translated: Page) -> Iterator[Path]:
    """English pages to which a Chinese page leads although they are there in Chinese."""
    for name in re.findall(r"\]\((?!\w+:)([^)#\s]+)", translated.prose):
        file = Path(os.path.normpath(translated.path.parent / name))
        if file in TRANSLATED and file != original.path:
            yield file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHINESE)))
def test_a_chinese_page_is_in_step_with_the_english_one(page: Path) -> None:
    found = list(differences(page_at(original_of(page)), page_at(page)))
    assert not found, "\n".join(found)


def test_there_are_chinese_pages() -> None:
    assert len(PAGES) >= 11
    assert all(path.exists() for path in TRANSLATED)


ENGLISH = """\
# Slots

A slot is an `instant`, see [below](#deploys) and [send once](../guides/dedup.md#keys-of-dag-runs).

```console
$ airflow pgmq peek hello
```

| count | meaning |
|---|---|
| `late` | after its time, 7 days at most |

## Deploys

- They take back [jobs](../guides/periodic.md).
- They send [the rest](https://example.com/a).

![A tick](../img/tick.svg#only-light)
"""
IN_CHINESE = """\
# 调度时刻

调度时刻是一个 `instant`，见[下文](#部署)和[只发送一次](../../guides/dedup.md#keys-of-dag-runs)。

```console
$ airflow pgmq peek hello
```

| 计数 | 含义 |
|---|---|
| `late` | 晚于其时间，最多 7 天 |

## 部署

- 撤回[作业](../guides/periodic.md)。
- 发送[其余](https://example.com/a)。

![一次 tick](../../img/tick.svg#only-light)
"""
CHANGES = {
    "a heading is new": ("## 部署", "## 时间\n\n## 部署"),
    "a heading has another level": ("## 部署", "### 部署"),
    "code differs": ("peek hello", "peek  hello"),
    "code is in another language": ("```console", "```bash"),
    "a row is missing": ("| `late` | 晚于其时间，最多 7 天 |\n", ""),
    "a paragraph is missing": ("\n调度时刻是一个", "\n\n时间。\n\n调度时刻是一个"),
    "an item is missing": ("- 发送[其余](https://example.com/a)。\n", ""),
    "a link leads elsewhere": ("https://example.com/a", "https://example.com/b"),
    "a link is missing": ("[作业](../guides/periodic.md)", "作业"),
    "an anchor leads elsewhere": ("(#部署)", "(#调度时刻)"),
    "an anchor of another page differs": ("#keys-of-dag-runs", "#the-two-scopes"),
    "a translated page is left aside": ("(../guides/periodic.md)", "(../../guides/periodic.md)"),
    "a picture differs": ("only-light", "only-dark"),
    "a name in code differs": ("`late`", "`lateness`"),
    "a figure differs": ("7 天", "8 天"),
}


def test_pages_in_step_do_not_differ() -> None:
    assert list(differences(*pair())) == []


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_one_page_is_seen(before: str, after: str) -> None:
    original, translated = pair()
    assert translated.text.count(before) == 1
    changed = replace(translated, text=translated.text.replace(before, after))
    assert list(differences(original, changed))


def test_a_difference_says_which_part_it_is() -> None:
    original, translated = pair()
    changed = replace(original, text=original.text.replace("## Deploys", "## Time\n\n## Deploys"))
    (said,) = [each for each in differences(changed, translated) if "heading" in each]
    assert said == (
        "Under ## Time\n"
        "English: heading ## (## Deploys)\n"
        "Chinese: list of 2 items (- 撤回[作业](../guides/periodic.md)。)"
    )


def pair() -> tuple[Page, Page]:
    return (
        Page(ROOT / "docs" / "concepts" / "made_up.md", ENGLISH),
        Page(CHINESE / "concepts" / "made_up.md", IN_CHINESE),
    )
