"""Writes what pages of docs/ have from elsewhere: `make reference`. A test says when a page is behind.

It stands between two comments, `<!-- generated: NAME -->` and `<!-- /generated -->`. A table of figures whose script has written nothing yet has been
put there by hand, and stays.
"""

import re
import sys
from pathlib import Path

from docs.site import figures, reference

DOCS = Path(__file__).parents[1]
PAGES = ("benchmarks.md", "configuration.md", "http.md", "scaling.md")
NAMES = (*reference.TABLES, *figures.NAMES)
BLOCK = re.compile(
    r"(?<=<!-- generated: )(?P<name>[\w-]+) -->\n.*?(?=^<!-- /generated -->)", re.M | re.S
)


def page(text: str) -> str:
    """A page with everything as it is to be.

    Raises:
        ValueError: a name that nothing makes.
    """
    makers = reference.TABLES | figures.there()

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in NAMES:
            raise ValueError(f"nothing makes {name!r}; there are {', '.join(NAMES)}")
        return f"{name} -->\n{makers[name]()}" if name in makers else found[0]

    return BLOCK.sub(made, text)


def main() -> None:
    """Take over what scripts wrote, and write the pages again."""
    for name in figures.take_over():
        sys.stdout.write(f"benchmarks/results/{name}.json: from build/benchmarks\n")
    for path in (DOCS / name for name in PAGES):
        path.write_text(page(path.read_text()))


if __name__ == "__main__":
    main()
