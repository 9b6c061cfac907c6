"""What users install: a wheel that is built the same twice, and a page of the index without dead links."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from airflow_pgmq.errors import documentation
from airflow_pgmq.provider_info import get_provider_info

ROOT = Path(__file__).parents[1]
#: Built once, although several processes test.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

SITE = documentation.SITE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheel and source, built twice."""
    folders = [tmp_path_factory.mktemp("dist") for _ in range(2)]
    for folder in folders:
        # In one process after the other, as on two machines.
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
        subprocess.run(command, check=True, capture_output=True)
    return folders


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_a_build_is_the_same_twice(built: list[Path], kind: str) -> None:
    first, second = (hashlib.sha256(next(folder.glob(kind)).read_bytes()).hexdigest() for folder in built)
    assert first == second


def test_the_package_index_takes_both(built: list[Path]) -> None:
    files = [*built[0].glob("*.whl"), *built[0].glob("*.tar.gz")]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_the_package_index_leads_to_pages_of_the_website(built: list[Path]) -> None:
    with zipfile.ZipFile(next(built[0].glob("*.whl"))) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(wheel.read(name).decode())
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert len(links) > 30
    urls = [url.split(", ")[1] for url in metadata.get_all("Project-URL") or ()]
    # The provider's information imports nothing, so it has a copy of the address.
    (about,) = get_provider_info()["integrations"]
    for url in (*urls, about["external-doc-url"], about["logo"]):
        assert url.startswith(SITE), url
    for link in [*links, *urls]:
        assert link.startswith("https://"), link
        if link.startswith(SITE):
            assert exists(link.removeprefix(SITE).partition("#")[0]), link


def test_airflow_finds_the_examples(built: list[Path]) -> None:
    """Where Airflow looks for them: in `example_dags` of a package with the distribution's name."""
    with zipfile.ZipFile(next(built[0].glob("*.whl"))) as wheel:
        examples = {Path(name).name for name in wheel.namelist() if "/example_dags/" in name}
    assert examples >= {path.name for path in (ROOT / "dags").glob("*.py")}


def exists(path: str) -> bool:
    """Whether the website has this page or file; `docs/website/build.py` makes its pages of these."""
    elsewhere = {
        "changelog/": "CHANGELOG.md",
        "contributing/": "CONTRIBUTING.md",
        "examples/": "dags/README.md",
        "security/": "SECURITY.md",
    }
    places = [
        ROOT / elsewhere.get(path, "?"),
        ROOT / "docs" / f"{path.rstrip('/')}.md",
        ROOT / "docs" / path / "index.md",
        ROOT / "docs" / path / "README.md",
    ]
    return any(place.exists() for place in places) or (ROOT / "docs" / path).is_file()
