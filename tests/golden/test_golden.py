"""Frozen payloads: all decoders read them, today's and every later one."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor.payload import decode
from sparsebook_compressor.payload_header import read_header
from tests import native
from tests.golden.make import facts

FOLDER = Path(__file__).parent
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
HEADER_FACTS = (
    "dtype",
    "layout",
    "bits",
    "gap_bits",
    "codebook_dtype",
    "code_codec",
    "gap_codec",
    "centroids",
    "symbols",
)


def sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


def test_the_manifest_lists_every_file() -> None:
    assert {path.name for path in FOLDER.glob("*.sbkp")} == set(MANIFEST)
    assert len(MANIFEST) > 60


@pytest.mark.parametrize("file", MANIFEST)
def test_the_file_is_the_one_that_was_frozen(file: str) -> None:
    data = (FOLDER / file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == MANIFEST[file]["sha256"]
    assert len(data) <= 4096


@pytest.mark.parametrize("file", MANIFEST)
def test_the_plain_decoder_finds_the_facts(file: str) -> None:
    assert facts((FOLDER / file).read_bytes()) == MANIFEST[file]


@pytest.mark.parametrize("file", MANIFEST)
def test_python_decodes_it(file: str) -> None:
    expected = MANIFEST[file]
    data = (FOLDER / file).read_bytes()
    header = read_header(data)
    assert {name: getattr(header, name) for name in HEADER_FACTS} == {
        name: expected[name] for name in HEADER_FACTS
    }
    weight = decode(data)
    assert list(weight.shape) == expected["shape"]
    assert np.count_nonzero(weight.codes) == expected["nonzeros"]
    assert sha256(weight.values()) == expected["values_sha256"]


@pytest.mark.parametrize("file", MANIFEST)
def test_cpp_decodes_it(file: str) -> None:
    shape = tuple(MANIFEST[file]["shape"])
    values = native.decode((FOLDER / file).read_bytes(), shape)
    assert values.shape == shape
    assert values.size == math.prod(shape)
    assert sha256(values) == MANIFEST[file]["values_sha256"]


def test_the_set_is_broad() -> None:
    rows = MANIFEST.values()
    forms = {(row["layout"], row["code_codec"], row["gap_codec"]) for row in rows}
    assert forms == {(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 2, 0)}
    for layout in (0, 1, 2):
        assert {row["bits"] for row in rows if row["layout"] == layout} == set(range(1, 9))
    assert {row["gap_bits"] for row in rows} == set(range(9))
    assert {row["dtype"] for row in rows} == {1, 10, 11, 16}
    assert {row["codebook_dtype"] for row in rows} == {1, 10}
    assert {len(row["shape"]) for row in rows} >= {0, 1, 2, 3, 8}
