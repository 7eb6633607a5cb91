"""Tables of options, from the models that check them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from sparsebook_compressor.config import Config, WeightOverride
from sparsebook_service.settings import PREFIX, Settings

GIB, MIB = 1 << 30, 1 << 20
# How a description names a page; on the pages it is a link.
NAMED = re.compile(r"docs/([\w-]+\.md)(#[\w-]+)?")
BY_DEFAULT = re.compile(r"; by default (.+)$")


def config() -> str:
    """Every key of a job's config, those of a section behind its name."""
    rows = [
        f"| `{name}` | {_values(schema)} | {_written(schema.get('default', {}))} | {_linked(schema['description'])} |"
        for name, schema in _options(Config.model_json_schema())
    ]
    return table("| key | values | default | meaning |", rows)


def overrides() -> str:
    """Every key of what a glob sets; null, which leaves the preset's choice, goes without saying."""
    rows = [
        f"| `{name}` | {_values(schema).removesuffix(', or null')} | {_linked(schema['description'])} |"
        for name, schema in _options(WeightOverride.model_json_schema())
    ]
    return table("| key | values | meaning |", rows)


def settings() -> str:
    """Every setting of the service."""
    rows = []
    for name, field in Settings.model_fields.items():
        meaning = field.description or ""
        default, meaning = _default(field, meaning), BY_DEFAULT.sub("", meaning)
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {_linked(meaning)} |")
    return table("| variable | default | what it sets |", rows)


def table(head: str, rows: list[str]) -> str:
    """A table in Markdown, from the lines of its head and its rows."""
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows]) + "\n"


def _linked(meaning: str) -> str:
    return NAMED.sub(r"[\1](\1\2)", meaning)


def _options(
    schema: dict[str, Any], parts: dict[str, Any] | None = None, prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the JSON schema of every option, sections taken apart."""
    parts = schema.get("$defs", {}) if parts is None else parts
    for name, each in schema["properties"].items():
        if "$ref" in each:
            section = parts[each["$ref"].rsplit("/", 1)[-1]]
            yield from _options(section, parts, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", each


def _values(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return ", or ".join(_values(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]))
    kinds = {"null": "null", "boolean": "true, false", "object": "an object"}
    return kinds.get(schema["type"]) or _range(schema)


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    over, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if schema["type"] == "integer" and below is not None:
        high, below = below - 1, None
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    bounds = {"at least": low, "over": over, "at most": high, "below": below}
    return ", ".join(f"{word} {_number(each)}" for word, each in bounds.items() if each is not None)


def _number(value: float) -> str:
    if value == (1 << 63) - 1:
        return "2^63 - 1"
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _default(field: FieldInfo, meaning: str) -> str:
    """A setting's default; what a machine decides is said by the meaning."""
    if field.default_factory is not None:
        found = BY_DEFAULT.search(meaning)
        assert found, f"the description of a computed default ends in '; by default …': {meaning}"
        return found[1]
    value = field.default
    if isinstance(value, tuple):
        return _written(",".join(f"{each:g}" for each in value)) if value else "none"
    return "none" if value is None else _written(value)


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "`true`", False: "`false`"}[value]
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        whole = value % GIB == 0
        return f"{value} ({value // (GIB if whole else MIB)} {'GiB' if whole else 'MiB'})"
    return f"`{value}`" if not isinstance(value, float) else f"`{value:g}`"


TABLES: dict[str, Callable[[], str]] = {
    "config": config,
    "overrides": overrides,
    "settings": settings,
}
