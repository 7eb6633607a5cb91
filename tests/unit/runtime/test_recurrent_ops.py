"""LSTM and GRU against ONNX Runtime's own, given the dense weights."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.unit.runtime.models import graph, node, normal, session, weight

GATES = {"LSTM": 4, "GRU": 3}
OUTPUTS = {"LSTM": ["y", "y_h", "y_c"], "GRU": ["y", "y_h"]}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def layer(op, domain, outputs, inputs, **attributes):
    made = node(op, inputs, domain, **attributes)
    made.output[:] = outputs
    return made


def run(made, inputs, initializers):
    """Every output of the node that has a name."""
    model = graph([made], inputs, initializers)
    model.graph.output[0].name = next(name for name in made.output if name)
    for name in list(filter(None, made.output))[1:]:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return session(model).run(None, dict(inputs))


def both(
    op,
    *,
    steps=5,
    batch=3,
    into=7,
    hidden=9,
    density=0.3,
    direction="forward",
    bias=False,
    lengths=None,
    states=False,
    outputs=None,
    **attributes,
):
    """The operator's outputs, and those of ONNX's of the same name."""
    count, gates = DIRECTIONS[direction], GATES[op]
    w, dense_w = weight((count, gates * hidden, into), density, seed=1)
    r, dense_r = weight((count, gates * hidden, hidden), density, seed=2)
    inputs = {"x": normal(steps, batch, into)}
    names = ["x", "w", "r", "", "", "", ""][: 7 if op == "LSTM" else 6]
    if bias:
        inputs["b"] = normal(count, 2 * gates * hidden, seed=3)
        names[3] = "b"
    if lengths is not None:
        inputs["lengths"] = np.array(lengths, np.int32)
        names[4] = "lengths"
    if states:
        for place, name in ((5, "h"), (6, "c"))[: len(names) - 5]:
            inputs[name] = normal(count, batch, hidden, seed=place)
            names[place] = name
    while not names[-1]:
        names.pop()
    outputs = OUTPUTS[op] if outputs is None else outputs
    attributes = {"hidden_size": hidden, "direction": direction, **attributes}
    found = run(layer(op, "sparsebook", outputs, names, **attributes), inputs, {"w": w, "r": r})
    expected = run(
        layer(op, "", outputs, names, **attributes), inputs, {"w": dense_w, "r": dense_r}
    )
    return found, expected


def check(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


VARIATIONS = list(
    itertools.product(DIRECTIONS, [False, True], [None, [5, 2, 4], [1, 0, 5]], [False, True])
)


@pytest.mark.parametrize(("direction", "bias", "lengths", "states"), VARIATIONS)
def test_lstm(direction, bias, lengths, states):
    check(*both("LSTM", direction=direction, bias=bias, lengths=lengths, states=states))


@pytest.mark.parametrize("reset_behind", [0, 1])
@pytest.mark.parametrize(("direction", "bias", "lengths", "states"), VARIATIONS)
def test_gru(direction, bias, lengths, states, reset_behind):
    settings = {"bias": bias, "lengths": lengths, "states": states}
    check(*both("GRU", direction=direction, linear_before_reset=reset_behind, **settings))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("batch", [1, 4, 17, 70])
def test_batches(op, direction, batch):
    check(*both(op, direction=direction, batch=batch, hidden=33, into=20, bias=True, states=True))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 1, 64, 128), (2, 2, 130, 3)])
def test_sizes(op, sizes, density):
    steps, batch, into, hidden = sizes
    settings = {"steps": steps, "batch": batch, "into": into, "hidden": hidden}
    check(*both(op, density=density, direction="bidirectional", bias=True, **settings))


@pytest.mark.parametrize("op", GATES)
def test_many_steps(op):
    check(*both(op, steps=200, batch=2, density=0.1, direction="bidirectional", bias=True))


@pytest.mark.parametrize(
    ("op", "outputs"),
    [
        ("LSTM", ["y"]),
        ("LSTM", ["", "y_h"]),
        ("LSTM", ["", "", "y_c"]),
        ("LSTM", ["y", "", "y_c"]),
        ("LSTM", ["", "y_h", "y_c"]),
        ("GRU", ["y"]),
        ("GRU", ["", "y_h"]),
    ],
)
def test_outputs_that_nobody_wants(op, outputs):
    check(*both(op, direction="bidirectional", lengths=[3, 5, 1], outputs=outputs))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize(("steps", "batch"), [(4, 0), (0, 2)])
def test_nothing_to_do(op, steps, batch):
    w, _ = weight((1, GATES[op] * 9, 7))
    r, _ = weight((1, GATES[op] * 9, 9))
    made = layer(op, "sparsebook", ["y", "y_h"], ["x", "w", "r"], hidden_size=9)
    y, h = run(made, {"x": normal(steps, batch, 7)}, {"w": w, "r": r})
    assert y.shape == (steps, 1, batch, 9)
    np.testing.assert_array_equal(h, np.zeros((1, batch, 9)))


@pytest.mark.parametrize("op", GATES)
def test_no_number_stays_with_its_sequence(op):
    payloads = {"w": weight((1, GATES[op] * 9, 7), 1.0)[0], "r": weight((1, GATES[op] * 9, 9))[0]}
    x = normal(5, 3, 7)
    x[2, 1] = np.nan
    made = layer(op, "sparsebook", ["y"], ["x", "w", "r"], hidden_size=9)
    (y,) = run(made, {"x": x}, payloads)
    assert np.isnan(y[2:, 0, 1]).all()
    assert np.isfinite(y[:2]).all()
    assert np.isfinite(y[:, 0, [0, 2]]).all()


def sound(op):
    gates = GATES[op]
    return {
        "w": weight((1, gates * 9, 7))[0],
        "r": weight((1, gates * 9, 9))[0],
    }


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("which", ["w", "r"])
def test_the_damaged_payload_is_named(op, which):
    payloads = sound(op)
    payloads[which] = payloads[which].copy()
    payloads[which][30] ^= 4
    made = layer(op, "sparsebook", ["y"], ["x", "w", "r"], hidden_size=9)
    with pytest.raises(Exception, match=f"sparsebook: weight '{which}': payload: checksum: "):
        run(made, {"x": normal(5, 3, 7)}, payloads)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("LSTM", {}, "weight 'w': the attribute 'hidden_size' is needed"),
        ("LSTM", {"hidden_size": 0}, "weight 'w': hidden_size is 0"),
        (
            "LSTM",
            {"hidden_size": 8},
            r"weight 'w': the weight's shape is \[1, 36, 7\], where .* \[1, 32, ",
        ),
        (
            "GRU",
            {"hidden_size": 12},
            r"weight 'w': the weight's shape is \[1, 27, 7\], where .* \[1, 36, ",
        ),
        (
            "LSTM",
            {"hidden_size": 9, "direction": "bidirectional"},
            r"where the node wants \[2, 36, ",
        ),
        ("LSTM", {"hidden_size": 9, "direction": "up"}, "direction 'up' is not known"),
        ("GRU", {"hidden_size": 9, "layout": 1}, "layout is 1, which must be 0"),
        ("LSTM", {"hidden_size": 9, "input_forget": 1}, "input_forget is 1, which must be 0"),
        ("LSTM", {"hidden_size": 9, "clip": 3.0}, "the attribute 'clip' is not known here"),
    ],
)
def test_a_node_that_does_not_fit_fails_the_session(op, attributes, message):
    made = layer(op, "sparsebook", ["y"], ["x", "w", "r"], **attributes)
    with pytest.raises(Exception, match=message):
        session(graph([made], {"x": normal(5, 3, 7)}, sound(op)))


def test_weights_that_do_not_fit_each_other_fail_the_session():
    payloads = {"w": sound("LSTM")["w"], "r": weight((1, 36, 8))[0]}
    made = layer("LSTM", "sparsebook", ["y"], ["x", "w", "r"], hidden_size=9)
    with pytest.raises(Exception, match=r"weight 'r': the weight's shape is \[1, 36, 8\], where"):
        session(graph([made], {"x": normal(5, 3, 7)}, payloads))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", normal(5, 3, 8), r"X has shape \[5, 3, 8\], which must be \[steps, batch, 7\]"),
        ("x", normal(5, 7), r"X has shape \[5, 7\]"),
        ("b", normal(1, 36), r"B has shape \[1, 36\], which must be \[1, 72\]"),
        ("lengths", np.array([1, 2], np.int32), r"sequence_lens has shape \[2\]"),
        ("lengths", np.array([1, 6, 2], np.int32), "sequence_lens has 6 where X has 5 steps"),
        ("lengths", np.array([1, -1, 2], np.int32), "sequence_lens has -1"),
        ("h", normal(1, 3, 8), r"initial_h has shape \[1, 3, 8\], which must be \[1, 3, 9\]"),
        ("c", normal(2, 3, 9), r"initial_c has shape \[2, 3, 9\]"),
    ],
)
def test_an_input_that_does_not_fit_fails_the_run(name, value, message):
    inputs = {"x": normal(5, 3, 7), name: value}
    names = ["x", "w", "r"] + [n if n == name else "" for n in ("b", "lengths", "h", "c")]
    made = layer("LSTM", "sparsebook", ["y"], names, hidden_size=9)
    with pytest.raises(Exception, match=f"sparsebook: weight 'w': {message}"):
        run(made, inputs, sound("LSTM"))
