"""The site is built as `make docs` does, without a warning, and asks nobody for anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

MKDOCS = ROOT / ".venv-docs/bin/mkdocs"
# What a browser fetches by itself. A link that a reader may follow is no request.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(?:https?:)?//[^>]*>"
    r"|<link\b(?![^>]*rel=\"?(?:canonical|next|prev))[^>]*href=\"?(?:https?:)?//[^>]*>"
)


def build(into: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    assert MKDOCS.exists(), "make .venv-docs brings what this needs"
    return subprocess.run(
        [MKDOCS, "build", "--strict", "--config-file", config, "--site-dir", into],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    names = {"README.md": "index"}
    built = {page.with_name(f"{names.get(page.name, page.stem)}.html") for page in written}
    assert built <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_it_asks_nobody_for_anything(site: Path) -> None:
    asked = {
        (path.name, found)
        for path in site.rglob("*.html")
        for found in FETCHED.findall(path.read_text())
    }
    assert not asked


def test_files_outside_the_folder_are_brought_along(site: Path) -> None:
    copy = site / "repository/examples/c/run.c"
    assert copy.read_bytes() == (ROOT / "examples/c/run.c").read_bytes()
    assert 'href="repository/examples/c/run.c"' in (site / "languages.html").read_text()


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](index.md#nowhere)", "[a](../nowhere.c)"])
def test_a_broken_link_fails(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# Home\n\n{link}\n")
    (tmp_path / "docs/adr").mkdir()
    text = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[0]
    text = text.replace("docs/site/hooks.py", str(ROOT / "docs/site/hooks.py"))
    (tmp_path / "mkdocs.yml").write_text(text + "\nnav: [index.md]\n")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
