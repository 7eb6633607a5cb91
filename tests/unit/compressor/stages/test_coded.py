"""The table gives every element the code that a look at each alone gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.stages.coded import CodeTable, one_by_one
from sparsebook_compressor.stages.prune import Cut

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    values=st.lists(FLOATS, min_size=1, max_size=60),
    steps=st.lists(FLOATS, max_size=40),
    threshold=st.sampled_from([-1.0, 0.0, 0.05, float("inf")]) | FLOATS.map(abs),
    ties=st.integers(0, 5),
)
def test_table_and_search_agree(
    values: list[float], steps: list[float], threshold: float, ties: int
) -> None:
    middles = np.unique(np.array(steps, np.float32))
    # Values on the steps, and next to them, are where a table could be wrong.
    near = [np.nextafter(middles, np.float32(side)) for side in (-3e38, 3e38)]
    edges = np.array([threshold, -threshold], np.float32)
    weight = np.concatenate([np.array(values, np.float32), middles, *near, edges])
    weight = weight[np.isfinite(weight)].astype(np.float32)
    cut = Cut(threshold, ties)
    expected, left = one_by_one(weight, cut, ties, middles)
    found = np.empty(len(weight), np.uint8)
    assert CodeTable.of(cut, middles).codes(weight, ties, found) == left
    np.testing.assert_array_equal(found, expected)
