"""docs/format.md, the Python decoder and the C++ decoder say the same: constants and error ids."""

import ast
import re
from pathlib import Path

import pytest

from sparsebook_compressor import payload_layout
from tests.contract.page import PAGE, ROOT, constants, error_ids

HEADER = ROOT / "runtime" / "decode" / "layout.h"
CONSTANTS = constants()


def cpp_constants() -> dict[str, int | bytes]:
    """Every `inline constexpr … NAME = value;` of the header, evaluated."""
    found: dict[str, int | bytes] = {}
    text = HEADER.read_text()
    for line in re.findall(r"^inline constexpr (.+);", text, re.MULTILINE):
        left, right = line.split(" = ", 1)
        name = re.match(r"[A-Z0-9_]+", left.split()[-1])[0]
        if right.startswith("{"):
            found[name] = bytes(int(item, 16) for item in right.strip("{}").split(","))
        else:
            found[name] = _evaluate(right, found)
    return found


def _evaluate(text: str, known: dict[str, int | bytes]) -> int:
    """A C++ integer expression of literals, known names, * / and <<."""
    plain = re.sub(r"\b(\d+)(?:ull|u)\b", r"\1", text).replace("/", "//")
    tree = ast.parse(plain, mode="eval")
    allowed = (ast.Expression, ast.BinOp, ast.Constant, ast.Name, ast.Load, ast.operator)
    assert all(isinstance(node, allowed) for node in ast.walk(tree)), text
    return eval(compile(tree, "layout.h", "eval"), {}, dict(known))


def python_constants() -> dict[str, int | bytes]:
    return {name: value for name, value in vars(payload_layout).items() if name.isupper()}


def raised_in_python() -> set[str]:
    """First arguments of `PayloadError(…)` and `_require(…, rule, …)` in the sources."""
    folder = Path(payload_layout.__file__).parent
    names = ("payload.py", "payload_context.py", "payload_header.py")
    files = [*(folder / name for name in names), *folder.glob("codecs/*.py")]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"PayloadError": 0, "_require": 1}.get(node.func.id)
                if place is not None and isinstance(node.args[place], ast.Constant):
                    found.add(node.args[place].value)
    return found


def raised_in_cpp() -> set[str]:
    """Literals with which runtime/decode throws: `PayloadError("id"`, `fail("id"` and `expect(…, "id"`."""
    text = "\n".join(file.read_text() for file in sorted((ROOT / "runtime/decode").glob("*.cc")))
    direct = re.findall(r'(?:PayloadError|fail)\(\s*"([a-z-]+)"', text)
    expected = re.findall(r'\bexpect\([^;]*?,\s*"([a-z-]+)"', text)
    return {*direct, *expected}


def test_the_table_of_constants_is_read() -> None:
    assert {"MAGIC", "VERSION", "HEAD_BYTES", "MAX_CODE_LENGTH", "SEGMENT_SYMBOLS"} <= set(
        CONSTANTS
    )
    assert CONSTANTS["MAGIC"] == b"SBKP"
    assert CONSTANTS["MAX_ELEMENTS"] == 2**36


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_of_the_page_is_that_of_python_and_of_cpp(name: str) -> None:
    assert python_constants()[name] == CONSTANTS[name]
    assert cpp_constants()[name] == CONSTANTS[name]


def test_constants_that_the_page_tells_in_words_agree_too() -> None:
    python, cpp = python_constants(), cpp_constants()
    shared = set(python) & set(cpp)
    assert {
        "LAYOUT_GAPS",
        "CODEC_HUFFMAN",
        "NIBBLE_ZERO_RUN",
        "MAX_RUN",
        "MAX_SEGMENT_BYTES",
    } <= shared
    assert {name: python[name] for name in shared} == {name: cpp[name] for name in shared}
    page = PAGE.read_text()
    assert {"MASK_GROUPS", "LAYOUT_CONTEXT", "CODEC_CONTEXT"} <= shared
    assert f"at most 4096 x 12 / 8 = {python['MAX_SEGMENT_BYTES']}" in page
    low, high = python["MIN_RUN"], python["MAX_RUN"]
    assert f"the next x + {low} symbols ({low}..{high}) have length 0" in page
    assert high == low + 15


def test_both_decoders_raise_exactly_the_ids_of_the_page() -> None:
    ids = error_ids()
    assert len(ids) == len(set(ids)) == 26
    assert raised_in_python() == set(ids)
    assert raised_in_cpp() == set(ids)
