"""Every rule of docs/format.md, section 5, broken in a file of its own: both decoders say which."""

import json
import math
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsebook_compressor.counting import cell_edges
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload import decode
from sparsebook_compressor.payload_contents import contents
from tests import native
from tests.contract.page import error_ids
from tests.malformed.make import SOUND, cases

FOLDER = Path(__file__).parent
TABLE = json.loads((FOLDER / "cases.json").read_text())


def rule_against(data: bytes, read: Callable[[bytes], object] = decode) -> str:
    try:
        read(data)
    except PayloadError as error:
        return re.match(r"payload: ([a-z-]+): ", str(error))[1]
    return ""


@pytest.mark.parametrize("file", TABLE)
def test_python_names_the_rule(file: str) -> None:
    assert rule_against((FOLDER / file).read_bytes()) == TABLE[file]["rule"]


@pytest.mark.parametrize("file", TABLE)
def test_counting_names_the_rule(file: str) -> None:
    data = (FOLDER / file).read_bytes()
    assert rule_against(data, lambda data: contents(data, cell_edges)) == TABLE[file]["rule"]


@pytest.mark.parametrize("file", TABLE)
def test_cpp_names_the_rule(file: str) -> None:
    data = (FOLDER / file).read_bytes()
    assert native.rule_against(data, tuple(TABLE[file]["shape"])) == TABLE[file]["rule"]


def test_the_table_lists_every_file() -> None:
    assert {path.name for path in FOLDER.glob("*.sbkp")} == set(TABLE)


def test_every_rule_of_the_page_is_broken() -> None:
    assert {row["rule"] for row in TABLE.values()} - {""} == set(error_ids())


def test_the_files_are_those_that_the_script_writes() -> None:
    assert [case.file for case in cases()] == [file for file in TABLE if TABLE[file]["rule"]]
    for case in cases():
        assert (FOLDER / case.file).read_bytes() == case.data, case.file


def mutated(seed: int) -> tuple[bytes, tuple[int, ...]]:
    """A sound payload with one to three bytes changed under a right checksum, and the shape that it declares then."""
    draw = random.Random(seed)
    body = bytearray(draw.choice(SOUND).body())
    for _ in range(draw.randint(1, 3)):
        # The first bytes are all rules of their own; most changes go behind them.
        at = draw.randrange(8, len(body)) if draw.random() < 0.9 else draw.randrange(len(body))
        body[at] = draw.choice([0, 1, 2, 255, draw.randrange(256)])
    rank = min(body[6], (len(body) - 24) // 4)
    shape = struct.unpack_from(f"<{rank}I", body, 24)
    return bytes(body) + struct.pack("<I", zlib.crc32(body)), shape


def test_both_decoders_judge_damage_under_a_right_checksum_alike() -> None:
    seen = set()
    for seed in range(300):
        data, shape = mutated(seed)
        if math.prod(shape) > 1 << 20:  # sound, perhaps, and far too large to be decoded here
            continue
        rule = rule_against(data)
        seen.add(rule)
        assert native.rule_against(data, shape) == rule, (seed, rule)
    assert len(seen) > 10
