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
    """Ids of section 5, in the order of their checks."""
    section = PAGE.read_text().split("## 5. Validation", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)


def _value(text: str) -> int | bytes:
    if found := re.match(r"`((?:[0-9A-F]{2} ?)+)`", text):
        return bytes.fromhex(found[1])
    base, _, exponent = text.partition("^")
    return int(base) ** int(exponent or 1)
