"""Fidelity: what ONNX Runtime says of original and artifact, in figures that can be checked by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import Config, compress, measure
from sparsebook_compressor.errors import BadData, InternalError, InvalidGraph
from sparsebook_compressor.feeds import Feed, input_specs
from sparsebook_compressor.made_up import Lookups
from sparsebook_compressor.report import Fidelity
from sparsebook_runtime import library_path
from tests.unit.compressor.models import INT64, K, free, graph_of, model_of, node, value, values

X = value("x", ["b", 4])


def model_with(
    *nodes: Any, outputs: list[Any] | None = None, **constants: np.ndarray
) -> ModelProto:
    return model_of(graph_of(list(nodes), [X], outputs or [free("y", 2)], constants))


def scaled(factor: Any) -> ModelProto:
    return model_with(node("Mul", ["x", "f"], ["y"]), f=np.array(factor, np.float32))


def fidelity(
    folder: Path, original: ModelProto, artifact: ModelProto, given: list[Feed] | None = None
) -> Fidelity:
    paths = [folder / "original.onnx", folder / "artifact.onnx"]
    for path, model in zip(paths, (original, artifact), strict=True):
        path.write_bytes(model.SerializeToString())
    return measure.compare(
        *paths,
        input_specs(original),
        given,
        lookups=Lookups(5),
        seed=0,
        output="dense",
        library=None,
        size=paths[0].stat().st_size,
    ).fidelity


def feeds(*rows: list[float]) -> list[Feed]:
    return [{"x": np.array([row], np.float32)} for row in rows]


def test_equal_models_agree(tmp_path: Path) -> None:
    found = fidelity(tmp_path, scaled(2), scaled(2))
    assert (found.inputs, found.samples, found.skipped, found.runs) == (
        "synthetic",
        8,
        None,
        "dense",
    )
    (output,) = found.outputs
    assert (output.name, output.max_error, output.relative_error) == ("y", 0, 0)
    assert output.agreement == 1
    assert output.cosine == pytest.approx(1)


def test_figures_are_those_of_their_definitions(tmp_path: Path) -> None:
    rows = feeds([1, 2, 3, 4], [4, -3, 2, 1])
    found = fidelity(tmp_path, scaled([1, 1, 1, 1]), scaled([1, 1, 3, 1]), rows)
    (output,) = found.outputs
    a = np.array([1, 2, 3, 4, 4, -3, 2, 1.0])
    b = np.array([1, 2, 9, 4, 4, -3, 6, 1.0])
    assert (found.inputs, found.samples) == ("given", 2)
    assert output.max_error == 6
    assert output.relative_error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a))
    assert output.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert (
        output.agreement == 0
    )  # the largest entry moves from the last to the third, and from the first


def test_an_output_of_one_entry_has_no_agreement(tmp_path: Path) -> None:
    sums = node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
    model = model_with(sums, axes=np.array([1]))
    (output,) = fidelity(tmp_path, model, model).outputs
    assert output.agreement is None


def test_all_outputs_that_are_numbers_are_compared(tmp_path: Path) -> None:
    nodes = [
        node("Neg", ["x"], ["y"]),
        node("ArgMax", ["x"], ["i"], axis=1),
        node("Greater", ["x", "zero"], ["g"]),
        node("SequenceConstruct", ["x"], ["s"]),
    ]
    outputs = [
        free("y", 2),
        value("i", ["b", 1], INT64),
        value("g", ["b", 4], TensorProto.BOOL),
    ]
    model = model_with(*nodes, outputs=outputs, zero=np.zeros(1, np.float32))
    sequence = model.graph.output.add(name="s")
    sequence.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    found = fidelity(tmp_path, model, model)
    assert [output.name for output in found.outputs] == ["y", "i", "g", "s"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_artifact_that_gives_no_numbers_is_as_wrong_as_can_be(
    bad: float, tmp_path: Path
) -> None:
    found = fidelity(tmp_path, scaled([1, 1, 1, 1]), scaled([1, 1, 1, bad]), feeds([1, 2, 3, 4]))
    (output,) = found.outputs
    assert output.max_error > 1e38
    assert output.relative_error > 1e30
    numbers = [output.max_error, output.relative_error, output.cosine, output.agreement]
    assert np.isfinite(numbers).all()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_what_the_original_gives_no_numbers_for_is_left_out(tmp_path: Path) -> None:
    found = fidelity(tmp_path, scaled([1, 1, 1, np.nan]), scaled([1, 1, 1, 9]), feeds([1, 2, 3, 4]))
    assert found.outputs[0].relative_error == 0


def test_an_all_zero_output_is_either_right_or_wrong(tmp_path: Path) -> None:
    for factor, error in ((0, 0), (1, 1)):
        (output,) = fidelity(tmp_path, scaled(0), scaled(factor), feeds([1, 2, 3, 4])).outputs
        assert output.relative_error == error
        assert output.cosine == 1 - error


def test_shapes_that_depend_on_values_are_compared_where_they_overlap(tmp_path: Path) -> None:
    def above(threshold: float) -> ModelProto:
        nodes = [node("Greater", ["x", "t"], ["g"]), node("Compress", ["x", "g1"], ["y"], axis=1)]
        nodes.insert(1, node("Squeeze", ["g", "axes"], ["g1"]))
        constants = {"t": np.array([threshold], np.float32), "axes": np.array([0])}
        return model_with(*nodes, **constants)

    found = fidelity(tmp_path, above(1.5), above(2.5), feeds([1, 2, 3, 4]))
    assert found.skipped is None
    (output,) = found.outputs  # [2, 3, 4] and [3, 4] have two columns in common
    assert output.max_error == 1


def test_an_artifact_that_does_not_run_is_a_fault_of_ours(tmp_path: Path) -> None:
    broken = model_with(node("MatMul", ["x", "w"], ["y"]), w=values(3, 3))
    with pytest.raises(InternalError, match="the artifact does not run though the original does"):
        fidelity(tmp_path, scaled(1), broken)


def test_an_original_that_runs_by_luck_alone_is_at_fault_itself(tmp_path: Path) -> None:
    # A scalar where a list belongs: nobody looks at it where the optimiser makes one Split of the two.
    nodes = [
        node("Neg", ["x"], ["n"]),
        node("Slice", ["n", "zero", "two", "one", "step"], ["left"]),
        node("Slice", ["n", "two", "four", "one", "step"], ["right"]),
        node("Concat", ["right", "left"], ["y"], axis=1),
    ]
    numbers = {
        name: np.array([n]) for name, n in {"zero": 0, "one": 1, "two": 2, "four": 4}.items()
    }
    lucky = model_with(*nodes, step=np.array(1), **numbers)
    broken = model_with(node("MatMul", ["x", "w"], ["y"]), w=values(3, 3))
    assert fidelity(tmp_path, lucky, lucky).skipped is None
    with pytest.raises(InvalidGraph, match=r"with no optimisation it fails: .*Slice"):
        fidelity(tmp_path, lucky, broken)


def test_an_original_that_cannot_be_run_is_not_compared(tmp_path: Path) -> None:
    foreign = model_of(
        graph_of([node("Thing", ["x"], ["y"], domain="custom")], [X], [free("y", 2)]),
        opset_imports=[*scaled(1).opset_import, helper.make_opsetid("custom", 1)],
    )
    assert "does not load the original" in str(fidelity(tmp_path, foreign, scaled(1)).skipped)
    never = model_with(node("Reshape", ["x", "to"], ["y"]), to=np.array([1000, 1000]))
    found = fidelity(tmp_path, never, scaled(1))
    assert "does not run on synthetic inputs" in str(found.skipped)
    assert (found.samples, found.outputs) == (0, ())
    with pytest.raises(BadData, match="does not run on the data"):
        fidelity(tmp_path, never, scaled(1), feeds([1, 2, 3, 4]))


def test_free_dimensions_are_tried_until_the_model_runs(tmp_path: Path) -> None:
    """A product that takes 48 columns and nothing else, while the graph leaves them free."""
    model = model_of(
        graph_of(
            [node("MatMul", ["x", "w"], ["y"])],
            [value("x", ["b", "columns"])],
            [free("y", 2)],
            {"w": values(48, 3)},
        )
    )
    found = fidelity(tmp_path, model, model)
    assert (found.skipped, found.samples) == (None, 8)


def test_inputs_that_cannot_be_made_up_do_not_stop_a_compression(tmp_path: Path) -> None:
    words = value("words", ["n"], TensorProto.STRING)
    nodes = [node("MatMul", ["x", "w"], ["y"]), node("Identity", ["words"], ["same"])]
    graph = graph_of(
        nodes,
        [value("x", ["b", K]), words],
        [free("y", 2), value("same", ["n"], TensorProto.STRING)],
        {"w": values(K, 300)},
    )
    path = tmp_path / "words.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    report = compress(path, tmp_path / "out", operator_library=library_path())
    assert "'words' is no tensor of numbers" in str(report.fidelity.skipped)
    assert any("not measured" in note for note in report.notes)


def test_an_operator_artifact_without_its_library_is_not_verified(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = model_of(
        graph_of(
            [node("MatMul", ["x", "w"], ["y"])],
            [value("x", ["b", K])],
            [free("y", 2)],
            {"w": values(K, 300)},
        )
    )
    path.write_bytes(model.SerializeToString())
    report = compress(path, tmp_path / "operator")
    assert "no operator library" in str(report.fidelity.skipped)
    report = compress(path, tmp_path / "portable", Config.parse({"output": "portable"}))
    assert report.fidelity.skipped is None


def test_figures_do_not_depend_on_the_number_of_cores(tmp_path: Path) -> None:
    """How a sum is split among threads decides its last bit: sessions have one."""
    path = tmp_path / "model.onnx"
    path.write_bytes(scaled(2).SerializeToString())
    assert measure.session(path).get_session_options().intra_op_num_threads == 1


def test_whole_numbers_agree_where_they_are_the_same(tmp_path: Path) -> None:
    """Labels: how far 7 is from 1 says nothing."""

    def labelled(bias: list[float]) -> ModelProto:
        moved = node("Add", ["x", "b"], ["h"])
        whole = node("Cast", ["h"], ["y"], to=INT64)
        wanted = [value("y", ["b", 4], INT64)]
        return model_with(moved, whole, outputs=wanted, b=np.array(bias, np.float32))

    given = feeds([1, 2, 3, 4], [5, 6, 7, 8])
    (output,) = fidelity(tmp_path, labelled([0] * 4), labelled([0, 0, 0, 9]), given).outputs
    assert output.agreement == 0.75
    assert output.max_error == 9


def test_a_sequence_of_tensors_is_compared_as_one(tmp_path: Path) -> None:
    def parted(factor: float) -> ModelProto:
        nodes = [node("Mul", ["x", "f"], ["m"]), node("SplitToSequence", ["m"], ["y"], axis=1)]
        output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
        return model_with(*nodes, outputs=[output], f=np.array(factor, np.float32))

    (output,) = fidelity(tmp_path, parted(2), parted(3)).outputs
    assert output.relative_error == pytest.approx(0.5)


def test_text_alone_is_not_compared_and_that_is_said(tmp_path: Path) -> None:
    nodes = [
        node("ArgMax", ["x"], ["i"], axis=1, keepdims=0),
        node(
            "LabelEncoder",
            ["i"],
            ["y"],
            domain="ai.onnx.ml",
            keys_int64s=[0, 1, 2, 3],
            values_strings=list("abcd"),
        ),
    ]
    graph = graph_of(nodes, [X], [value("y", ["b"], TensorProto.STRING)])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    model = model_of(graph, opset_imports=imports)
    found = fidelity(tmp_path, model, model)
    assert found.outputs == ()
    assert found.latency is not None
    assert "no output holds numbers" in (found.skipped or "")


def test_samples_that_were_made_up_elsewhere_are_no_users(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(scaled(2).SerializeToString())
    found = measure.compare(
        path,
        path,
        input_specs(scaled(2)),
        feeds([1, 2, 3, 4]),
        made_up=True,
        lookups=Lookups(5),
        seed=0,
        output="dense",
        library=None,
        size=1,
    ).fidelity
    assert (found.inputs, found.samples) == ("synthetic", 1)
