"""What PyTorch's exporter leaves for debugging is not in the artifact; what anybody else wrote is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from sparsebook_compressor import Config, compress, estimate
from sparsebook_compressor.rewrite.traces import leave_out_traces
from tests.unit.compressor.models import (
    constant,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)

KEPT = {"layer_ann": "gpu", "note": "mine", "pkg.acme.colour": "red"}
TRACES = {
    "namespace": ": Net/fc: torch.nn.Linear",
    "pkg.torch.onnx.stack_trace": "File net.py, line 1, in forward\n" * 40,
    "pkg.onnxscript.rewriter.rule_name": "CollapseSlice",
}


def traced() -> ModelProto:
    """A product, and one in a branch and in a local function; everything that can has metadata of both kinds."""
    then = graph_of([node("MatMul", ["h", "v"], ["t"])], [], [value("t", None)])
    other = graph_of([node("Neg", ["h"], ["e"])], [], [value("e", None)])
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        constant("yes", np.array(True)),
        node("If", ["yes"], ["i"], then_branch=then, else_branch=other),
        node("Twice", ["i"], ["y"], domain="local"),
    ]
    graph = graph_of(nodes, [value("x", ["n", 24])], [free("y", 2)], {"w": values(24, 32)})
    graph.initializer.append(onnx.numpy_helper.from_array(values(32, 32), "v"))
    graph.value_info.append(value("h", ["n", 32]))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    body = [node("Add", ["a", "a"], ["c"])]
    twice = helper.make_function("local", "Twice", ["a"], ["c"], body, imports[:1])
    made = model_of(graph, opset_imports=imports, functions=[twice])
    for holder in holders(made):
        for key, text in {**TRACES, **KEPT}.items():
            holder.metadata_props.add(key=key, value=text)
    return made


def holders(model: ModelProto) -> list[object]:
    graph, (function,) = model.graph, model.functions
    branches = [each.g for found in graph.node for each in found.attribute if each.HasField("g")]
    inner = [found for each in branches for found in each.node]
    lists = (graph.node, graph.initializer, graph.input, graph.output, graph.value_info)
    return [
        graph,
        function,
        *branches,
        *inner,
        *function.node,
        *(each for a in lists for each in a),
    ]


def test_traces_go_and_all_else_stays() -> None:
    model = traced()
    own = {entry.key: entry.value for entry in model.metadata_props}
    before = model.ByteSize()
    gone = leave_out_traces(model)
    assert before - model.ByteSize() == pytest.approx(gone, rel=0.05)
    for holder in holders(model):
        assert {entry.key: entry.value for entry in holder.metadata_props} == KEPT
    assert {entry.key: entry.value for entry in model.metadata_props} == own
    assert leave_out_traces(model) == 0


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
def test_an_artifact_is_without_them_and_the_report_says_so(output: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(traced().SerializeToString())
    config = Config.parse({"output": output})
    report = compress(path, tmp_path / "out", config, verify=False)
    text = (tmp_path / "out/model.onnx").read_bytes()
    assert b"pkg.torch" not in text
    assert b"pkg.acme.colour" in text
    assert any("stack traces" in note for note in report.notes)
    assert estimate(path, config).ratio == pytest.approx(report.ratio, rel=0.3)


def test_a_goal_knows_that_they_go(tmp_path: Path) -> None:
    """They are three quarters of the file: a goal that counted them would never be met."""
    path = tmp_path / "model.onnx"
    path.write_bytes(traced().SerializeToString())
    config = Config.parse({"preset": "small", "budget": {"min_ratio": 6}})
    report = compress(path, tmp_path / "out", config, verify=False)
    assert report.calibration is not None
    assert report.calibration.met
    assert report.ratio >= 6
