"""What MkDocs does besides: the pages are written for the repository, where links may leave docs/ and lists need no blank line.

A link to a file outside docs/ becomes a link to a copy of it in the site; one to a file that does not exist stays, and the strict build
fails. The decisions are found by themselves, so that a new one needs no entry in mkdocs.yml.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
COPIES = "repository"  # the folder of the site in which files from outside docs/ lie
LINK = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)")
FENCE = re.compile(r" *(```|~~~)")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the decisions into the navigation, oldest first."""
    folder = Path(config.docs_dir) / "adr"
    decisions = [f"adr/{path.name}" for path in sorted(folder.glob("*.md"))]
    config.nav = [
        {"Decisions": decisions} if entry == {"Decisions": "adr/"} else entry
        for entry in config.nav or []
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring along the files outside docs/ that pages link to."""
    for file in list(files.documentation_pages()):
        for link in LINK.findall(Path(file.abs_src_path or "").read_text()):
            inside = _outside(file.src_uri, link)
            if inside is not None and files.get_file_from_path(f"{COPIES}/{inside}") is None:
                files.append(
                    File.generated(config, f"{COPIES}/{inside}", abs_src_path=str(ROOT / inside))
                )
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Write links to these copies, and a blank line before every list."""

    def copied(match: re.Match[str]) -> str:
        inside = _outside(page.file.src_uri, match[1])
        if inside is None:
            return match[1]
        return posixpath.relpath(f"{COPIES}/{inside}", posixpath.dirname(page.file.src_uri) or ".")

    return _with_lists_apart(LINK.sub(copied, markdown))


def _outside(page: str, link: str) -> str | None:
    """The path from the root of the repository to a file outside docs/ that a page links to; None for any other link."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    is_outside = not path.startswith(("docs/", "../"))
    return path if is_outside and (ROOT / path).is_file() else None


def _with_lists_apart(markdown: str) -> str:
    lines: list[str] = []
    is_code, is_list = False, False
    for line in markdown.splitlines():
        is_code ^= FENCE.match(line) is not None
        if not is_code:
            if ITEM.match(line):
                if not is_list and lines and lines[-1].strip():
                    lines.append("")
                is_list = True
            elif not line.startswith(" "):
                is_list = False
        lines.append(line)
    return "\n".join(lines) + "\n"
