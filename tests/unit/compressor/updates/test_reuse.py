"""A weight in the codebook of its base: as few codes changed as its error allows, and never far more non-zeros."""

import numpy as np
import pytest

from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.reuse import ALLOWED, MOST_NONZEROS, reuse
from sparsebook_compressor.stages.prune import cut_by_density
from sparsebook_compressor.stages.share import Shared, share

FLOAT = 1


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(5000).astype(np.float32)


def shared(values: np.ndarray, density: float) -> Shared:
    return share(values, cut_by_density(values, density), 15, "linear", None, 0)


def coded(made: Shared) -> CodedWeight:
    return CodedWeight((len(made.codes),), FLOAT, 4, made.codebook, made.codes)


def test_a_little_retrained_few_codes_change_and_the_error_stays_in_bounds(
    values: np.ndarray,
) -> None:
    base = coded(shared(values, 0.5))
    moved = (values + 0.01 * np.random.default_rng(1).standard_normal(5000)).astype(np.float32)
    fresh = shared(moved, 0.5)
    found = reuse(moved, base, cut_by_density(moved, 0.5), fresh.codes, fresh.squared_error)
    assert found is not None
    codes, error = found
    table = np.concatenate([[0], base.codebook]).astype(np.float32)
    assert error == pytest.approx(float(np.square(moved - table[codes], dtype=np.float64).sum()))
    pruned = float(np.square(moved[fresh.codes == 0], dtype=np.float64).sum())
    # Of sharing alone: what was pruned has its error either way.
    assert error - pruned <= ALLOWED**2 * (fresh.squared_error - pruned)
    assert 0 < np.count_nonzero(codes != base.codes) < 0.02 * len(codes)


def test_a_base_with_far_more_nonzeros_is_not_reused(values: np.ndarray) -> None:
    """What survived then keeps a centroid: none of them is wrong, and together they are too many."""
    base, fresh = coded(shared(values, 0.5)), shared(values, 0.3)
    assert np.count_nonzero(base.codes) > MOST_NONZEROS * np.count_nonzero(fresh.codes)
    cut = cut_by_density(values, 0.3)
    assert reuse(values, base, cut, fresh.codes, fresh.squared_error) is None


def test_a_codebook_that_does_not_fit_any_more_is_not_reused(values: np.ndarray) -> None:
    base = coded(shared(values, 0.5))
    wider = CodedWeight(base.shape, FLOAT, 4, base.codebook * np.float32(1.2), base.codes)
    fresh = shared(values, 0.5)
    cut = cut_by_density(values, 0.5)
    assert reuse(values, base, cut, fresh.codes, fresh.squared_error) is not None
    assert reuse(values, wider, cut, fresh.codes, fresh.squared_error) is None
