"""Strict reading of JSON objects: every key is known, has its type and lies in its range."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from sparsebook_training.errors import Failed, Problem

# Another program wrote these files; what is larger than this was not written by it.
MOST_BYTES = 64 << 20


class Fields:
    """A JSON object whose keys are taken one by one; `end` refuses what is left.

    Every method raises `Failed` with the place and the rule that is violated.

    Args:
        values: the parsed object.
        place: how messages call it, as "order.json".
        problem: the slug of violations.
    """

    def __init__(self, values: object, place: str, problem: Problem) -> None:
        self._place = place
        self._problem = problem
        if not isinstance(values, dict):
            self.fail("a JSON object is expected")
        self._values: dict[str, Any] = dict(values)

    def fail(self, message: str) -> NoReturn:
        """Raise `Failed`."""
        raise Failed(self._problem, f"{self._place}: {message}")

    def take(self, key: str) -> Any:
        """The value of a key, of any type."""
        if key not in self._values:
            self.fail(f"the key {key!r} is missing")
        return self._values.pop(key)

    def integer(self, key: str, least: int, most: int) -> int:
        """An integer in [least, most]."""
        value = self.take(key)
        if type(value) is not int or not least <= value <= most:
            self.fail(f"{key!r} must be an integer from {least} to {most}, not {value!r}")
        return value

    def number(self, key: str, least: float, *, exclusive: bool = False) -> float:
        """A finite number that is at least, or with `exclusive` above, a bound."""
        value = self.take(key)
        if type(value) not in (int, float) or not math.isfinite(value):
            self.fail(f"{key!r} must be a finite number, not {value!r}")
        if value < least or (exclusive and value == least):
            self.fail(f"{key!r} must be {'above' if exclusive else 'at least'} {least:g}")
        return float(value)

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.take(key)
        if type(value) is not bool:
            self.fail(f"{key!r} must be true or false, not {value!r}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of some strings."""
        value = self.take(key)
        if not isinstance(value, str) or value not in choices:
            self.fail(f"{key!r} must be one of {', '.join(choices)}, not {value!r}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of different, non-empty strings, at least one."""
        value = self.take(key)
        if not isinstance(value, list) or not value:
            self.fail(f"{key!r} must be a list of names, at least one")
        if not all(isinstance(name, str) and name for name in value):
            self.fail(f"{key!r} must hold non-empty strings only")
        if len(set(value)) != len(value):
            self.fail(f"{key!r} names something twice")
        return tuple(value)

    def files(self, key: str) -> dict[str, str]:
        """An object from names to plain file names; nothing where the key is missing."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict) or not all(value):
            self.fail(f"{key!r} must be an object from names to files")
        for file in value.values():
            if not isinstance(file, str) or file in ("", ".", "..") or Path(file).name != file:
                self.fail(f"{key!r}: {file!r} is no plain file name")
        return value

    def shares(self, key: str) -> dict[str, float]:
        """An object from names to numbers above 0 and below 1; nothing where the key is missing."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict) or not all(value):
            self.fail(f"{key!r} must be an object from names to numbers")
        for share in value.values():
            if type(share) is not float or not 0 < share < 1:
                self.fail(f"{key!r}: {share!r} is not above 0 and below 1")
        return value

    def offsets(self, key: str, most: int) -> dict[str, int]:
        """An object from names to integers from 1 to `most`; nothing where the key is missing."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict) or not all(value):
            self.fail(f"{key!r} must be an object from names to integers")
        for offset in value.values():
            if type(offset) is not int or not 1 <= offset <= most:
                self.fail(f"{key!r}: {offset!r} is no integer from 1 to {most}")
        return value

    def end(self) -> None:
        """Refuse keys that were not taken."""
        if self._values:
            self.fail(f"unknown key {min(self._values)!r}")


def read(path: Path, problem: Problem) -> Fields:
    """A JSON file as fields.

    Raises:
        Failed: it is missing, too large, or no JSON object.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Failed(problem, f"{path.name}: {size} bytes are more than such a file has")
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Failed(problem, f"{path.name} is missing in {path.parent}") from error
    except UnicodeDecodeError as error:
        raise Failed(problem, f"{path.name}: not UTF-8: {error}") from error
    try:
        return Fields(json.loads(text), path.name, problem)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Failed(problem, f"{path.name}: not JSON: {error}") from error


def finite(value: float | None) -> float | None:
    """The value, or None where JSON could not say it: NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def dump(values: Mapping[str, object]) -> str:
    """JSON of a file, the same text for the same values."""
    return json.dumps(values, indent=1, allow_nan=False) + "\n"
