"""The blocks of code of a page, with what comments before them say."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = {"console", "bash", "python"}
NOT_RUN = {"c", "cpp", "js", "json", "text"}  # excerpts of programs that other tests run, and data

_BLOCK = re.compile(
    r"(?P<marks>(?:^<!--(?:(?!-->).)*-->\n)*)^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->", re.DOTALL)
_BEFORE = re.compile(r"<!-- before:\n(.+?)\n-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`page` is relative to the repository, `line` that of the fence; `before` runs first and is not shown."""

    page: str
    line: int
    language: str
    code: str
    before: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All pages that people read to do something."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    found = []
    for match in _BLOCK.finditer(text):
        reason, before = _NOT_RUN.search(match["marks"]), _BEFORE.search(match["marks"])
        line = text.count("\n", 0, match.start("indent")) + 1
        code = re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        found.append(
            Block(
                page,
                line,
                match["language"],
                code,
                before[1] if before else "",
                reason[1] if reason else None,
            )
        )
    assert text.count("```") == 2 * len(found), f"{page}: a block that is not closed, or not found"
    return found
