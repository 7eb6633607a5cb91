"""How templates are read, here and in the service: all that they show is escaped, and what they do not know is an error."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sparsebook_compressor import words


def environment(package: str, folder: str) -> Environment:
    """The templates in a folder of a package, with the filters that every one may want."""
    made = Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"size": words.size, "percent": words.percent, "duration": words.duration}
    made.filters |= {"figure": figure, "span": words.span, "breakable": breakable}
    return made


def breakable(name: str) -> Markup:
    """A name that may be broken after what separates its words, and nowhere else; a number stays with what it counts."""
    parts = re.split(r"(?<=[/._:])(?=[^\W\d_])", name)
    return Markup("<wbr>").join(escape(part) for part in parts)


def figure(value: float | None, digits: int = 4) -> str:
    """A number for people; what is none is said to be unknown."""
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"
