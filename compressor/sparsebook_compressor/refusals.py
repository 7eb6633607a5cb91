"""What a refusal of a config's key or value adds for who mistyped it: the key that was meant, the unit of a number."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel

UNITS = {
    "max_drop": "it is a fraction of the metric: 0.005 is half a point",
    "density": "it is the share of a weight's elements that is kept: 0.1 is a tenth",
}


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a model of a config, with those that it is under; a name that the caller chooses is `GLOB`."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                chosen = () if kind is field.annotation else ("GLOB",)
                yield from keys(kind, (*above, name, *chosen))


def meant(model: type[BaseModel], given: Sequence[str]) -> str:
    """The key that is most like an unknown one, as in " Did you mean 'budget.max_drop'?"; nothing where none is.

    One of the same section counts before one of the same name elsewhere.
    """
    known = list(keys(model))
    *section, last = given
    if section and section[0] == "weights":
        section = ["weights", "GLOB"]
    beside = [key[-1] for key in known if list(key[:-1]) == section]
    close = get_close_matches(last, beside, 1)
    if close:
        return f" Did you mean '{'.'.join([*given[:-1], close[0]])}'?"
    elsewhere = {key[-1]: key for key in reversed(known)}
    close = get_close_matches(last, elsewhere, 1, 0.8)
    return f" Did you mean '{'.'.join(elsewhere[close[0]])}'?" if close else ""


def unit(key: str) -> str:
    """What a number is, for keys of which people give percents."""
    return f"; {UNITS[key]}" if key in UNITS else ""
