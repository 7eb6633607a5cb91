"""Gemm and MatMul against ONNX Runtime's own, given the dense weight."""

import numpy as np
import pytest

from tests.unit.runtime.models import node, normal, run, weight

TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def both(op, x, payload, dense, extra=None, **attributes):
    """The operator's result, and that of ONNX's of the same name without a fused activation."""
    inputs = ["x", "w", *(extra or {})]
    found = run(node(op, inputs, **attributes), {"x": x}, {"w": payload, **(extra or {})})
    plain = {k: v for k, v in attributes.items() if k in {"alpha", "beta", "transA", "transB"}}
    if op == "MatMul" and plain.pop("transB", 0):
        dense = np.ascontiguousarray(dense.T)
    expected = run(node(op, inputs, domain="", **plain), {"x": x}, {"w": dense, **(extra or {})})
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    return found, expected


@pytest.mark.parametrize("rows", [0, 1, 2, 4, 5, 8, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("trans_a", [0, 1])
def test_gemm(rows, trans_a, trans_b):
    k, n = 70, 45
    payload, dense = weight((n, k) if trans_b else (k, n), 0.2)
    x = normal(k, rows) if trans_a else normal(rows, k)
    attributes = {"alpha": 0.75, "beta": -1.5, "transA": trans_a, "transB": trans_b}
    found, expected = both("Gemm", x, payload, dense, {"b": normal(n, seed=2)}, **attributes)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("shape", [(), (1,), (9,), (1, 9), (6, 1), (1, 1), (6, 9)])
def test_gemm_broadcasts_the_bias(shape):
    payload, dense = weight((12, 9))
    bias = np.asarray(normal(*shape, seed=3), np.float32).reshape(shape)
    found, expected = both("Gemm", normal(6, 12), payload, dense, {"b": bias})
    np.testing.assert_allclose(found, expected, **TOLERANCE)


def test_gemm_bias_of_a_single_row():
    payload, dense = weight((12, 1))
    found, expected = both("Gemm", normal(1, 12), payload, dense, {"b": normal(1, 1)})
    np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("shape", [(70,), (1, 70), (7, 70), (0, 70), (2, 3, 70), (2, 0, 5, 70)])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_matmul(shape, trans_b):
    payload, dense = weight((45, 70) if trans_b else (70, 45))
    found, expected = both("MatMul", normal(*shape), payload, dense, transB=trans_b)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("shape", [(70,), (0, 70), (1, 70), (9, 70), (40, 70), (2, 3, 70)])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_matmul_adds_a_bias_to_every_row(shape, trans_b, activation):
    payload, dense = weight((45, 70) if trans_b else (70, 45))
    x, bias = normal(*shape), normal(45, seed=2)
    made = node("MatMul", ["x", "w", "b"], transB=trans_b, activation=activation)
    found = run(made, {"x": x}, {"w": payload, "b": bias})
    expected = x @ (dense.T if trans_b else dense) + bias
    assert found.shape == expected.shape
    low = 0 if activation == "relu" else -np.inf
    np.testing.assert_allclose(found, np.maximum(expected, low), **TOLERANCE)


def test_the_bias_of_matmul_may_be_computed_and_may_be_left_out():
    payload, dense = weight((30, 20))
    x, bias = normal(5, 30), normal(20, seed=2)
    inputs = {"x": x, "b": bias}
    found = run(node("MatMul", ["x", "w", "b"]), inputs, {"w": payload})
    np.testing.assert_allclose(found, x @ dense + bias, **TOLERANCE)
    plain = run(node("MatMul", ["x", "w", ""]), {"x": x}, {"w": payload})
    np.testing.assert_allclose(plain, x @ dense, **TOLERANCE)


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 2, 3000, 65_537])
def test_matmul_densities(k, density):
    payload, dense = weight((k, 3), density)
    for rows in (1, 3, 40):
        found, expected = both("MatMul", normal(rows, k), payload, dense)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.sqrt(k))


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
@pytest.mark.parametrize(
    ("attributes", "low", "high"),
    [
        ({"activation": "none"}, -np.inf, np.inf),
        ({"activation": "relu"}, 0, np.inf),
        ({"activation": "clip", "low": -0.5, "high": 1.0}, -0.5, 1.0),
        ({"activation": "clip", "high": 6.0}, -np.inf, 6.0),
        ({"activation": "clip", "low": 0.0}, 0, np.inf),
    ],
)
def test_activation(op, attributes, low, high):
    payload, dense = weight((30, 20))
    found, plain = both(op, normal(5, 30), payload, dense, **attributes)
    np.testing.assert_allclose(found, np.clip(plain, low, high), **TOLERANCE)


def test_not_a_number_passes_the_activation():
    payload, _ = weight((3, 2), 1.0)
    x = np.full((2, 3), np.nan, np.float32)
    found = run(node("MatMul", ["x", "w"], activation="relu"), {"x": x}, {"w": payload})
    assert np.isnan(found).all()
