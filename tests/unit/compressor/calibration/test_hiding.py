"""Calibration on made-up inputs, for a weight in every place where it can hide."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.calibration import synthetic
from sparsebook_compressor.errors import BadValue, NothingToCompress
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.made_up import table_rows
from sparsebook_runtime import library_path
from tests.unit.compressor import models
from tests.unit.compressor.models import (
    HIDING,
    Hiding,
    constant,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: str(hiding.name))
def test_every_model_compresses(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    config = Config.parse({"preset": "small", "calibrate": {"samples": 8}})
    out = tmp_path / "out"
    if "function" in hiding.name:
        # Functions have no initializers that could be replaced on the workbench: some leave nothing to calibrate.
        with contextlib.suppress(NothingToCompress):
            compress(path, out, config, operator_library=library_path())
        return
    report = compress(path, out, config, operator_library=library_path())
    assert report.calibration is not None
    assert report.calibration.inputs == "synthetic"
    assert (out / "model.onnx").exists()


def test_token_ids_stay_below_the_table_that_they_look_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "words": rng.standard_normal((500, 16)).astype(np.float32),
        "kinds": rng.standard_normal((2, 128)).astype(np.float32)[:, :16].repeat(8, 1),
    }
    nodes = [
        node("Cast", ["ids"], ["wide"], to=models.INT64),
        node("Gather", ["words", "wide"], ["a"]),
        node("Gather", ["kinds", "kind"], ["b"]),
        node("ReduceSum", ["b"], ["s"], keepdims=0),
        node("Add", ["a", "s"], ["y"]),
    ]
    inputs = [value(name, ["n", "t"], models.INT64) for name in ("ids", "kind", "mask")]
    nodes.append(node("Identity", ["mask"], ["m"]))
    outputs = [free("y", 3), value("m", ["n", "t"], models.INT64)]
    model = model_of(graph_of(nodes, inputs, outputs, constants))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    view = survey(model, path)
    assert table_rows(model, view) == {"ids": 500, "kind": 2}
    to = synthetic.write(path, model, view, input_specs(model), 0, tmp_path / "made.npz")
    with np.load(to) as made:
        assert {name: len(made[name]) for name in made.files if "ids" in name} == {
            prefix + "ids": count for prefix, count in synthetic.PARTS.items()
        }
        assert made["ids"].max() > 400
        assert made["ids"].max() < 500
        assert set(np.unique(made["kind"])) == {0, 1}
        assert (made["mask"] == 1).all()


def small(model: ModelProto, folder: Path, **config: object) -> Report:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return compress(
        path, folder / "out", Config.parse({"preset": "small", "output": "portable", **config})
    )


def test_a_weight_in_a_function_lets_the_main_graph_be_calibrated(tmp_path: Path) -> None:
    """Their order is that of the file: the main graph's weight lies on the workbench before the function's comes up."""
    inner = [constant("k", values(48, 40)), node("MatMul", ["a", "k"], ["c"])]
    calls = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Block", ["h"], ["y"], domain="local"),
    ]
    block = helper.make_function(
        "local", "Block", ["a"], ["c"], inner, [helper.make_opsetid("", 17)]
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    graph = graph_of(calls, [value("x", ["n", 32])], [free("y", 2)], {"w": values(32, 48)})
    model = helper.make_model(graph, functions=[block], opset_imports=imports, ir_version=8)
    report = small(model, tmp_path)
    assert report.calibration is not None
    assert [row.name for row in report.calibration.weights] == ["w"]
    assert len(report.weights) == 2
    assert report.fidelity.outputs[0].relative_error < 0.1


def test_a_weight_of_equal_elements_is_kept(tmp_path: Path) -> None:
    """It costs no bits at any price, and the search must not begin at one where all of it is dropped."""
    product = node("MatMul", ["x", "w"], ["y"])
    weights = {"w": np.full((64, 48), 0.5, np.float32)}
    report = small(
        model_of(graph_of([product], [value("x", ["n", 64])], [free("y", 2)], weights)), tmp_path
    )
    assert report.calibration is not None
    assert report.calibration.met
    assert report.calibration.weights[0].density == 1
    assert str(report.calibration.weights[0].bits) == "0.0"
    assert report.fidelity.outputs[0].relative_error < 1e-3


@pytest.mark.parametrize(
    ("nodes", "given", "output", "said"),
    [
        (
            [node("Magic", ["x"], ["h"], domain="acme"), node("MatMul", ["h", "w"], ["y"])],
            value("x", ["n", 64]),
            free("y", 2),
            "ONNX Runtime does not load the model",
        ),
        (
            [node("MatMul", ["x", "w"], ["h"]), node("Cast", ["h"], ["y"], to=TensorProto.STRING)],
            value("x", ["n", 64]),
            value("y", ["n", 48], TensorProto.STRING),
            "nothing to judge by",
        ),
        (
            [
                node("ConcatFromSequence", ["x"], ["h"], axis=0),
                node("MatMul", ["h", "w"], ["y"]),
            ],
            helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["n", 64]),
            free("y", 2),
            "'x' is no tensor of numbers",
        ),
    ],
    ids=["unknown operator", "no floats", "sequences"],
)
def test_what_cannot_be_run_or_judged_is_for_another_preset(
    nodes: list[NodeProto],
    given: ValueInfoProto,
    output: ValueInfoProto,
    said: str,
    tmp_path: Path,
) -> None:
    graph = graph_of(nodes, [given], [output], {"w": values(64, 48)})
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    with pytest.raises(BadValue, match=said) as caught:
        small(model, tmp_path)
    assert "'safe'" in str(caught.value)
    path = tmp_path / "model.onnx"
    assert compress(path, tmp_path / "safe", Config(output="portable")).ratio > 3
