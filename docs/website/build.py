"""Builds the website in `build/site`; with `--serve` shows it instead.

The pages are those of `docs/` and a few other files of the repository. They are gathered in `build/docs`,
where the links between them are those of the site; Zensical makes HTML of them. Every warning is an error.
"""

from __future__ import annotations

import ast
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
CONFIG = DOCS / "website" / "zensical.toml"

#: Files outside `docs/` that are pages, too.
ELSEWHERE = {
    "dags/README.md": "examples/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
#: Files of the repository that pages show, and that are no pages.
FILES = ("docker-compose.airflow.yml", "docker/*")
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")
#: How docstrings name pages.
NAMED = re.compile(r"\bdocs/([\w/-]+)\.md(#[\w-]+)?")


def main(arguments: list[str]) -> int:
    gather()
    (BUILD / "zensical.toml").write_text(config(), encoding="utf-8")
    zensical = [sys.executable, "-m", "zensical"]
    if "--serve" in arguments:
        return subprocess.run([*zensical, "serve", "-f", BUILD / "zensical.toml"]).returncode
    built = subprocess.run(
        [*zensical, "build", "--strict", "--clean", "-f", BUILD / "zensical.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sys.stdout.write(built.stdout)
    if not built.returncode:
        link_docstrings()
    # What is wrong with a docstring is only said.
    return built.returncode or int("griffe: " in built.stdout)


def gather() -> None:
    """Copy every page, picture and style to where Zensical reads them."""
    pages = BUILD / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    tools = shutil.ignore_patterns("*.py", "*.mjs", "package*.json", "*.toml", "*.txt", "*.d2")
    shutil.copytree(DOCS, pages, ignore=tools)
    # As the README in English: `index.md` is in its place.
    (pages / "zh" / "README.md").unlink()
    for page in pages.rglob("*.md"):
        target = page.relative_to(pages).as_posix()
        page.write_text(moved(page.read_text(encoding="utf-8"), f"docs/{target}", target), encoding="utf-8")
    for source, target in ELSEWHERE.items():
        (pages / target).parent.mkdir(exist_ok=True)
        text = (ROOT / source).read_text(encoding="utf-8")
        (pages / target).write_text(moved(text, source, target), encoding="utf-8")
    for pattern in FILES:
        for file in ROOT.glob(pattern):
            # A name that a browser shows as text.
            copy = pages / "files" / f"{file.name}.txt"
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(file, copy)
    for dag in sorted((ROOT / "dags").glob("*.py")):
        (pages / "examples" / f"{dag.stem}.md").write_text(example(dag), encoding="utf-8")


def moved(text: str, source: str, target: str) -> str:
    """The text of a file of the repository, with links as they are on the site."""

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        return f"]({posixpath.relpath(address(path), posixpath.dirname(target) or '.')}{found[2] or ''})"

    return LINK.sub(link, text)


def address(path: str) -> str:
    """The page that a file of the repository becomes."""
    if path in ("README.md", "docs/zh/README.md"):
        return path.removeprefix("docs/").replace("README", "index")
    if found := re.fullmatch(r"dags/(\w+)\.py", path):
        return f"examples/{found[1]}.md"
    if path in ("dags", "docs/why/decisions"):
        return "examples/index.md" if path == "dags" else "why/decisions/README.md"
    if any(fnmatch(path, pattern) for pattern in FILES):
        return f"files/{posixpath.basename(path)}.txt"
    return ELSEWHERE.get(path) or path.removeprefix("docs/")


def example(dag: Path) -> str:
    """The page of an example Dag: what it is for, and all of its code."""
    code = dag.read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(code)) or ""
    title = dag.stem.removeprefix("pgmq_").replace("_", " ").capitalize()
    return f'# {title}\n\n{said}\n\n```python title="dags/{dag.name}"\n{code}```\n'


def config() -> str:
    """The configuration, with the pages of each folder that `nav` names, and the version of the package."""
    text = CONFIG.read_text(encoding="utf-8")
    listed = set(re.findall(r'"([\w/-]+\.md)"', text))
    nav = text.partition("nav = [")[2].partition("\n]\n")[0]
    for folder in re.findall(r'= "([\w/-]+)" }', nav):
        pages = sorted(address_of(page) for page in (BUILD / "docs" / folder).glob("*.md"))
        # The page about the folder is the first.
        pages.sort(key=lambda page: not page.endswith(("/index.md", "/README.md")))
        listed.update(pages)
        text = text.replace(f'= "{folder}" }}', f"= {json.dumps(pages)} }}")
    there = {address_of(page) for page in (BUILD / "docs").rglob("*.md")}
    if listed != there:
        sys.exit(f"`nav` of {CONFIG} and the pages differ: {', '.join(sorted(listed ^ there))}.")
    code = (ROOT / "airflow_pgmq" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', code, re.M)
    return text.replace("[project]\n", f'[project]\ncopyright = "Version {version} · Apache-2.0"\n', 1)


def address_of(page: Path) -> str:
    """A gathered page as `nav` names it."""
    return page.relative_to(BUILD / "docs").as_posix()


def link_docstrings() -> None:
    """In the reference, make links of the pages that docstrings name."""
    for page in (BUILD / "site" / "reference" / "api").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for name in {found[0] for found in NAMED.finditer(text)}:
            text = text.replace(name, link_to(name, page))
        page.write_text(text, encoding="utf-8")


def link_to(name: str, page: Path) -> str:
    path, _, anchor = name.removeprefix("docs/").partition(".md")
    target = BUILD / "site" / path
    if not (target / "index.html").exists():
        sys.exit(f"A docstring names {name}, which is no page.")
    return f'<a href="{os.path.relpath(target, page.parent)}/{anchor}">{target.name.replace("_", " ")}</a>'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
