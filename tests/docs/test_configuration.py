"""The tables of docs/configuration.md have what the model of the config has."""

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from sparsebook_compressor.config import Config, WeightOverride
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text()


def options(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default of every option, with its section before it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from options(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind, field.get_default(call_default_factory=True)


def choices(kind: Any) -> set[str]:
    """The words that a type allows, of `X | None` those of X."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return set().union(*(choices(part) for part in typing.get_args(kind)))
    return (
        {str(word) for word in typing.get_args(kind)}
        if typing.get_origin(kind) is typing.Literal
        else set()
    )


def written(default: Any) -> str:
    """A default as the page writes it."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, str | dict):
        return f"`{default}`"
    return f"{default:g}"


def table(head: str) -> dict[str, list[str]]:
    """The rows under a head, by key: the cells behind it."""
    rows = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return {row[0].strip("`"): row[1:] for row in cells}


OPTIONS = table("| key | values | default | meaning |")
OVERRIDES = table("| key | values | meaning |")


def test_the_page_has_every_key_and_no_other() -> None:
    assert set(OPTIONS) == {name for name, _, _ in options(Config)}
    assert set(OVERRIDES) == {name for name, _, _ in options(WeightOverride)}


@pytest.mark.parametrize(("name", "kind", "default"), list(options(Config)))
def test_values_and_default_are_those_of_the_model(name: str, kind: Any, default: Any) -> None:
    values, shown, _ = OPTIONS[name]
    assert shown == written(default)
    if choices(kind):
        assert set(re.findall(r"`(\w+)`", values)) == choices(kind)
