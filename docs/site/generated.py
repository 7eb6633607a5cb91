"""Writes what pages of docs/ have from elsewhere: `make reference`. A test says when a page is behind.

It stands between two comments, `<!-- generated: NAME -->` and `<!-- /generated -->`.
"""

import re
from pathlib import Path

from docs.site import figures, reference

DOCS = Path(__file__).parents[1]
PAGES = ("benchmarks.md", "configuration.md", "http.md")
TABLES = reference.TABLES | figures.TABLES
BLOCK = re.compile(
    r"(?<=<!-- generated: )(?P<name>[\w-]+) -->\n.*?(?=^<!-- /generated -->)", re.M | re.S
)


def page(text: str) -> str:
    """A page with everything as it is to be."""
    return BLOCK.sub(lambda found: f"{found['name']} -->\n{TABLES[found['name']]()}", text)


def main() -> None:
    """Write the pages again."""
    for path in (DOCS / name for name in PAGES):
        path.write_text(page(path.read_text()))


if __name__ == "__main__":
    main()
