"""Numbers in headers and parameters: decimal digits as RFC 9110 and JSON have them, and nothing else that Python takes for a number.

`int()` and pydantic also read `+10`, `1_0`, `10.0`, and blanks of other alphabets around the digits. A proxy before the service, and the
packages behind it, may read those as something else, or not at all: then two parts of one road would not mean the same number.
"""

import re
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

# With a sign, so that -1 is told its range. Nothing that is counted here has more digits.
_WHOLE = re.compile(r"-?[0-9]{1,30}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)


def _whole(given: object) -> object:
    """Let a whole number's text pass.

    >>> _whole("10")
    '10'
    """
    if isinstance(given, str) and not _WHOLE.fullmatch(given):
        raise PydanticCustomError("digits", "a whole number is digits 0 to 9 and nothing else")
    return given


def _decimal(given: object) -> object:
    """Let a number's text pass.

    >>> _decimal("2.5e1")
    '2.5e1'
    """
    if isinstance(given, str) and not _DECIMAL.fullmatch(given):
        raise PydanticCustomError(
            "number",
            "a number is digits 0 to 9, with a decimal point or an exponent, as JSON has it",
        )
    return given


Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
"""A whole number of a request."""

Decimal: TypeAlias = Annotated[float, BeforeValidator(_decimal)]
"""A number of a request, with or without a fraction."""
