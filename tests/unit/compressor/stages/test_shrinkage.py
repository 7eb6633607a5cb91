"""Second moments from few vectors are drawn towards the identity; from many they stay."""

import numpy as np
import pytest

from sparsebook_compressor.stages.feedback import feed_back
from sparsebook_compressor.stages.grids import entropy, even_levels
from sparsebook_compressor.stages.moments import Factor, shrunk

SIZE = 64


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """Vectors of a covariance whose eigenvalues fall by half every four."""
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((SIZE, SIZE)))[0]
    found: np.ndarray = (
        rng.standard_normal((count, SIZE)) * 2.0 ** (-np.arange(SIZE) / 8)
    ) @ basis.T
    return found


def moments(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors.T @ vectors / len(vectors)
    return found


def test_many_vectors_are_believed_and_few_are_not() -> None:
    rng = np.random.default_rng(0)
    truth = moments(drawn(rng, 100_000))
    few = moments(drawn(rng, 40))
    many = shrunk(truth, 100_000, 100_000)
    assert np.abs(many - truth).max() < 1e-2 * np.abs(truth).max()
    close = shrunk(few, 40, 40)
    assert np.linalg.norm(close - truth) < 0.9 * np.linalg.norm(few - truth)
    assert np.trace(close) == pytest.approx(np.trace(few))
    # As many vectors of fewer samples are worth less.
    less = np.linalg.norm(shrunk(few, 40, 4) - few)
    assert less > np.linalg.norm(close - few)


@pytest.mark.parametrize("second", [np.zeros((4, 4)), np.eye(4), np.full((1, 1), 2.0)])
def test_what_has_nothing_to_draw_stays(second: np.ndarray) -> None:
    assert np.array_equal(shrunk(second, 10, 10), second)


def test_feedback_by_few_vectors_is_better_on_others() -> None:
    """Half a bit of what bits and error come to together: at high resolution a bit is worth a quarter of the squared error."""
    rng = np.random.default_rng(1)
    truth = moments(drawn(rng, 20_000))
    weight = rng.standard_normal((96, SIZE)).astype(np.float32)
    levels = even_levels(weight, weight.reshape(-1).astype(np.float64), 0.5)
    seen = moments(drawn(rng, 48))
    worth = []
    for second in (seen, shrunk(seen, 48, 48)):
        factor = Factor.of(second)
        fed = feed_back(weight[:, factor.order], factor.upper, levels, 0.02)
        found = levels.values[fed.chosen] - weight[:, factor.order]
        error = found[:, np.argsort(factor.order)]
        cost = float(np.einsum("ij,ij->", error @ truth, error))
        worth.append(entropy(np.bincount(fed.chosen.reshape(-1))) + np.log2(cost) / 2)
    assert worth[1] < worth[0] - 0.5
