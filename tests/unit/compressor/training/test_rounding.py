"""Weights that are trained while the graph sees their centroids: what it sees, and what gradient they get."""

from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor.stages.share import nearest
from sparsebook_compressor.training.orders.parameters import Fill, prune, restore
from sparsebook_compressor.training.orders.rounding import Bins, rounded
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
        parameters[name] = rounded(model, parameter, Bins.of(CODEBOOKS[name], weight[weight != 0]))
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


def test_codes_are_those_that_the_graph_saw_however_near_the_border(tmp_path: Path) -> None:
    """All elements lie within a bin of a border between two centroids, most on the other side than their bin's middle."""
    model, fill, seen = training_graph(), {}, {}
    rng = np.random.default_rng(1)
    for name, codebook in CODEBOOKS.items():
        borders = (codebook[1:] + codebook[:-1]) / 2
        elements = pruned(name, 1.0).size
        weight = rng.choice(borders, elements) + 1e-5 * rng.uniform(-1, 1, elements)
        weight = weight.astype(np.float32)
        parameter = prune(model, name, lambda weight=weight: weight)
        fill.update(parameter.fill)
        bins = Bins.of(codebook, weight)
        rounded(model, parameter, bins)
        seen[name] = codebook[bins.codes(weight) - 1]
        assert (seen[name] != snapped(name, weight)).any()
    loss, _, _ = run(model, fill, tmp_path / "order")
    assert loss == pytest.approx(by_hand(*seen.values()), rel=1e-4)


def test_a_weight_of_one_value_can_be_rounded(tmp_path: Path) -> None:
    model, fill = training_graph(), {}
    weights = {name: np.full_like(pruned(name, 1.0), 0.25) for name in CODEBOOKS}
    for name, weight in weights.items():
        parameter = prune(model, name, lambda weight=weight: weight)
        fill.update(parameter.fill)
        rounded(model, parameter, Bins.of(np.array([0.25], np.float32), weight))
    loss, _, _ = run(model, fill, tmp_path / "order")
    assert loss == pytest.approx(by_hand(*weights.values()), rel=1e-4)
