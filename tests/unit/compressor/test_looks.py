"""Looks: counted from a payload they are what they are counted from the codes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor import counting, looks
from sparsebook_compressor.looking import look_at, look_inside
from sparsebook_compressor.payload import CodedWeight, decode, encode

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*.sbkp"))


def coded(elements: int, density: float, centroids: int, seed: int) -> CodedWeight:
    generator = np.random.default_rng(seed)
    codes = generator.integers(1, centroids + 1, elements) * (generator.random(elements) < density)
    codebook = np.linspace(-1, 1, centroids, dtype=np.float32)
    bits = max(1, centroids.bit_length())
    return CodedWeight((elements,), 1, bits, codebook, codes.astype(np.uint8))


@given(
    elements=st.integers(0, 3000),
    density=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]),
    centroids=st.sampled_from([1, 2, 31, 255]),
    seed=st.integers(0, 9),
)
def test_a_payload_looks_as_its_codes_do(
    elements: int, density: float, centroids: int, seed: int
) -> None:
    weight = coded(elements, density, centroids, seed)
    payload, facts = encode(weight)
    look = look_inside("w", payload)
    assert look == look_at("w", weight, facts, None)
    assert len(look.strip) == min(looks.CELLS, elements)
    assert sum(look.codes) == facts.symbols
    assert len(look.codes) <= looks.MOST_BARS
    parts = look.parts
    assert parts.codes + parts.gaps + parts.codebook + parts.tables == len(payload)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_payload_can_be_looked_into(path: Path) -> None:
    data = path.read_bytes()
    weight = decode(data)
    cells = counting.nonzeros_by_cell(weight.codes)
    assert look_inside("w", data).strip == counting.strip(cells, len(weight.codes))


def test_a_strip_says_where_the_non_zeros_are() -> None:
    codes = np.zeros(looks.CELLS * 1000, np.uint8)
    codes[:1000] = 1
    codes[5000] = 1
    strip = counting.strip(counting.nonzeros_by_cell(codes), len(codes))
    assert (strip[0], strip[5], sum(strip)) == (1000, 1, 1001)


def test_a_histogram_has_both_states_in_the_same_bins() -> None:
    before = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    after = np.where(np.abs(before) > 1, before, np.float32(0))
    found = counting.histogram(before, after)
    assert found == counting.histogram(before, lambda some: some[np.abs(some) > 1])
    assert found.limit == pytest.approx(4, rel=0.02)
    assert sum(found.before) == 50_000
    assert sum(found.after) == np.count_nonzero(after)
    middle = looks.BINS // 2
    assert max(found.before[middle - 1 : middle + 1]) == max(found.before)
    assert found.after[middle] == 0
    assert counting.histogram(np.zeros(4, np.float32), np.zeros(4, np.float32)).limit == 1.0


def test_a_large_weight_is_looked_at_here_and_there() -> None:
    before = np.tile(np.array([-1, 1, 1, 1], np.float32), 1 << 19)
    found = counting.histogram(before, before)
    assert sum(found.before) < 1 << 20
    shares = [count / sum(found.before) for count in found.before if count]
    assert shares == pytest.approx([0.25, 0.75], abs=0.001)  # all columns alike
