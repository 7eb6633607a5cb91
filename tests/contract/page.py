"""docs/format.md taken apart: its table of constants and its table of error ids."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "format.md"


def constants() -> dict[str, int | bytes]:
    """Names and values of the table of constants."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    return {name: _value(text.strip()) for name, text in rows}


def error_ids() -> list[str]:
    """Ids of sections 5 and 10, in the order of their checks, each once."""
    page = PAGE.read_text()
    found: dict[str, None] = {}
    for title in ("## 5. Validation", "## 10. Version 2: validation"):
        section = page.split(title, 1)[1].split("\n## ", 1)[0]
        for row in re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", section, re.MULTILINE):
            found.update(dict.fromkeys(re.findall(r"`([a-z-]+)`", row)))
    return list(found)


def _value(text: str) -> int | bytes:
    if found := re.match(r"`((?:[0-9A-F]{2} ?)+)`", text):
        return bytes.fromhex(found[1])
    base, _, exponent = text.partition("^")
    return int(base) ** int(exponent or 1)
