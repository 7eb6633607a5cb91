"""Weights that are trained while the graph sees their centroids: what it sees, and what gradient they get."""

from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor.stages.share import nearest
from sparsebook_compressor.training.orders.parameters import Fill, prune, restore
from sparsebook_compressor.training.orders.rounding import rounded
from tests.unit.compressor.training.test_parameters import (
    RATE,
    by_hand,
    dense_gradients,
    pruned,
    run,
    step,
    training_graph,
)

CODEBOOKS = {
    "w1": np.array([-1.5, -0.4, 0.1, 0.6], np.float32),
    "w2": np.array([-0.8, 0.7], np.float32),
}


def snapped(name: str, weight: np.ndarray) -> np.ndarray:
    """What a weight is with the nearest centroid for every element that is not zero."""
    centroids = CODEBOOKS[name][nearest(weight, CODEBOOKS[name]) - 1]
    return np.where(weight != 0, centroids, np.float32(0))


def entered(density: float) -> tuple[object, dict[str, object], Fill, dict[str, np.ndarray]]:
    model, fill, parameters = training_graph(), {}, {}
    weights = {name: pruned(name, density) for name in CODEBOOKS}
    for name, weight in weights.items():
        parameter = prune(model, name, lambda weight=weight: weight)
        fill.update(parameter.fill)
        parameters[name] = rounded(model, parameter, CODEBOOKS[name], weight[weight != 0])
    return model, parameters, fill, weights


@pytest.mark.parametrize("density", [1.0, 0.9, 0.2, 1 / 240])
def test_the_graph_sees_the_nearest_centroids(density: float, tmp_path: Path) -> None:
    model, _, fill, weights = entered(density)
    loss, _, _ = run(model, fill, tmp_path / "order")
    expected = by_hand(*(snapped(name, weight) for name, weight in weights.items()))
    assert loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("density", [0.9, 0.2])
def test_the_gradient_is_that_of_the_centroids(density: float, tmp_path: Path) -> None:
    model, parameters, fill, weights = entered(density)
    after = step(tmp_path, model, fill, [each.name for each in parameters.values()])
    seen = {name: snapped(name, weight) for name, weight in weights.items()}
    gradients = dense_gradients(tmp_path / "dense", seen)
    for name, weight in weights.items():
        alive = weight != 0
        found = restore(weight, after[parameters[name].name])
        assert (found[~alive] == 0).all()
        moved = (weight - found) / RATE
        np.testing.assert_allclose(moved[alive], gradients[name][alive], atol=2e-3)
        assert np.abs(moved[alive]).max() > 0.01


def test_a_weight_of_one_value_can_be_rounded(tmp_path: Path) -> None:
    model, fill = training_graph(), {}
    weights = {name: np.full_like(pruned(name, 1.0), 0.25) for name in CODEBOOKS}
    for name, weight in weights.items():
        parameter = prune(model, name, lambda weight=weight: weight)
        fill.update(parameter.fill)
        rounded(model, parameter, np.array([0.25], np.float32), weight)
    loss, _, _ = run(model, fill, tmp_path / "order")
    assert loss == pytest.approx(by_hand(*weights.values()), rel=1e-4)
