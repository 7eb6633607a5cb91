"""Numbers in headers and parameters: decimal digits as RFC 9110 and JSON have them, and nothing else that Python takes for a number.

`int()` and pydantic also read `+10`, `1_0`, `10.0`, and blanks of other alphabets around the digits. A proxy before the service, and the
packages behind it, may read those as something else, or not at all: then two parts of one road would not mean the same number.
"""

import re

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


# They stand behind the Query or Header that has the range: in front of it, the contract would not know the range.
WHOLE = BeforeValidator(_whole)
"""Of an `int` in a request."""

DECIMAL = BeforeValidator(_decimal)
"""Of a `float` in a request, with or without a fraction."""
