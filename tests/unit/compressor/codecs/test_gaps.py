"""Gaps and fillers, against a loop over the elements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.codecs import gaps
from sparsebook_compressor.errors import PayloadError

WIDEST = [(1 << bits) - 1 for bits in range(1, 9)]


def slow_encode(positions: list[int], codes: list[int], widest: int) -> list[tuple[int, int]]:
    pairs = []
    at = -1
    for position, code in zip(positions, codes, strict=True):
        while position - at - 1 > widest:
            pairs.append((widest, 0))
            at += widest + 1
        pairs.append((position - at - 1, code))
        at = position
    return pairs


@given(
    st.lists(st.one_of(st.integers(0, 3), st.integers(0, 1000)), max_size=60),
    st.sampled_from(WIDEST),
)
def test_gaps_are_those_of_the_loop_and_lead_back(steps: list[int], widest: int) -> None:
    positions = (np.cumsum(np.array(steps, np.int64) + 1) - 1).astype(np.int64)
    codes = (np.arange(len(positions)) % 255 + 1).astype(np.uint8)
    symbols, kept = gaps.encode(positions, codes, widest)
    assert list(zip(symbols.tolist(), kept.tolist(), strict=True)) == slow_encode(
        positions.tolist(), codes.tolist(), widest
    )
    found = gaps.decode(symbols, int(positions[-1]) + 1 if len(positions) else 0)
    assert found[kept > 0].tolist() == positions.tolist()


@pytest.mark.parametrize("widest", WIDEST)
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_fillers_at_the_very_edge_of_the_symbol(widest: int, more: int, times: int) -> None:
    zeros = times * (widest + 1) + more
    symbols, codes = gaps.encode(np.array([zeros]), np.array([9], np.uint8), widest)
    fillers = zeros // (widest + 1)
    assert symbols.tolist() == [widest] * fillers + [zeros % (widest + 1)]
    assert codes.tolist() == [0] * fillers + [9]


def test_no_pairs_have_no_positions() -> None:
    symbols, codes = gaps.encode(np.zeros(0, np.int64), np.zeros(0, np.uint8), 3)
    assert len(symbols) == len(codes) == 0
    assert len(gaps.decode(symbols, 0)) == 0


def test_a_pair_outside_the_weight_is_refused() -> None:
    symbols = np.array([3, 3], np.uint8)
    assert gaps.decode(symbols, 8).tolist() == [3, 7]
    with pytest.raises(PayloadError) as caught:
        gaps.decode(symbols, 7)
    assert caught.value.rule == "position"
    assert "7" in str(caught.value)
