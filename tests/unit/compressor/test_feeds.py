"""The inputs of a graph, and made-up samples that fit it."""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.feeds import InputSpec, input_specs, synthetic
from tests.unit.compressor.models import INT64, free, graph_of, model_of, node, value, values
from tests.unit.compressor.training.data import SPECS

FLAG = InputSpec("flag", np.dtype(bool), (), ())


def model_with(*inputs: Any) -> ModelProto:
    product = node("MatMul", ["x", "w"], ["y"])
    weights = {"w": values(4, 4), "bias": values(4)}
    return model_of(graph_of([product], list(inputs), [free("y", 2)], weights))


def test_specs_are_the_inputs_that_are_not_initializers() -> None:
    inputs = [
        value("x", ["n", 4]),
        value("w", [4, 4]),
        value("ids", [2, "t"], INT64),
        value("half", [0, -1, 5], TensorProto.FLOAT16),
        value("flag", [], TensorProto.BOOL),
    ]
    assert input_specs(model_with(*inputs)) == (
        InputSpec("x", np.dtype(np.float32), (None, 4), ("n", "")),
        InputSpec("ids", np.dtype(np.int64), (2, None), ("", "t")),
        InputSpec("half", np.dtype(np.float16), (None, None, 5), ("", "", "")),
        InputSpec("flag", np.dtype(bool), (), ()),
    )


def test_inputs_that_are_no_tensors_of_numbers_have_no_dtype() -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [2])
    words = value("words", ["n"], TensorProto.STRING)
    unknown = value("unknown", ["n"], 70)
    specs = input_specs(model_with(value("x", ["n", 4]), sequence, words, unknown))
    assert {spec.name: spec.dtype for spec in specs} == {
        "x": np.dtype(np.float32),
        "s": None,
        "words": None,
        "unknown": None,
    }


def test_synthetic_samples_have_the_shapes_and_ranges_of_the_inputs() -> None:
    mask = InputSpec("attention_mask", np.dtype(np.int64), (None, None), ("n", "t"))
    turned = InputSpec("state", np.dtype(np.float64), (2, None, 3), ("", "n", ""))
    found = synthetic((*SPECS, FLAG, mask, turned), 17, 9, seed=3, samples=4)
    assert len(found) == 4
    for feed in found:
        assert feed["image"].shape == (1, 3, 4)
        assert feed["ids"].shape == (1, 17)
        assert (feed["ids"] >= 0).all()
        assert (feed["ids"] < 9).all()
        assert (feed["attention_mask"] == 1).all()
        assert feed["state"].shape == (2, 1, 3)  # n is the batch wherever it stands
        for spec in (*SPECS, FLAG, mask, turned):
            assert feed[spec.name].dtype == spec.dtype
    assert (found[0]["image"] != found[1]["image"]).any()
    again = synthetic((*SPECS, FLAG, mask, turned), 17, 9, seed=3, samples=4)
    assert all((a[name] == b[name]).all() for a, b in zip(found, again, strict=True) for name in a)


def test_a_question_mark_names_no_length() -> None:
    """Paddle's exporter writes it for every free axis."""
    free = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["?", 3, "?", "?"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [free], [free])
    (spec,) = input_specs(helper.make_model(graph))
    assert spec.symbols == ("", "", "", "")
