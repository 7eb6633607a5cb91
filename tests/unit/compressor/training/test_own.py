"""Losses and metrics of the caller's own: joined to the graph, run outside, and refused with what is expected."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.errors import BadData, BadValue, NotTrainable
from sparsebook_compressor.training.aim import own as own_module
from sparsebook_compressor.training.aim.metrics import record_teacher
from sparsebook_compressor.training.aim.own import OwnGraph, OwnRun, read_own
from sparsebook_compressor.training.losses.attach import attach
from tests.unit.compressor.models import INT64, graph_of, model_of, node, value
from tests.unit.compressor.training.cases import TARGETS, X, heads
from tests.unit.compressor.training.data import Job, linear
from tests.unit.compressor.training.test_losses import session


def scalar(
    *nodes: Any, inputs: list[Any] | None = None, outputs: list[Any] | None = None, **options: Any
) -> ModelProto:
    """A graph over the output z that gives `value`."""
    constants = options.pop("constants", None)
    graph = graph_of(
        list(nodes), inputs or [value("z", ["n", 4])], outputs or [value("value", [])], constants
    )
    return model_of(graph, **options)


MEAN = node("ReduceMean", ["z"], ["value"], keepdims=0)


def save(folder: Path, model: ModelProto) -> Path:
    path = folder / "own.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def own(folder: Path, model: ModelProto, outputs: tuple[str, ...] = ("z",)) -> OwnGraph:
    return read_own(save(folder, model), "loss", outputs)


def test_inputs_are_outputs_the_originals_outputs_or_arrays(tmp_path: Path) -> None:
    given = [value(name, ["n"]) for name in ("z", "teacher_large", "teacher_gone", "boxes")]
    graph = own(tmp_path, scalar(MEAN, inputs=given), ("z", "i", "large"))
    assert graph.inputs == {
        "z": ("output", 0),
        "teacher_large": ("teacher", 2),
        "teacher_gone": ("array", "teacher_gone"),
        "boxes": ("array", "boxes"),
    }
    assert graph.teachers == (2,)
    assert graph.arrays == ("teacher_gone", "boxes")


def foreign() -> ModelProto:
    model = scalar(MEAN)
    model.graph.node[0].domain = "custom"
    model.opset_import.append(helper.make_opsetid("custom", 1))
    return model


def with_function() -> ModelProto:
    model = scalar(MEAN)
    body = [node("Identity", ["a"], ["b"])]
    function = helper.make_function("f", "Same", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("f", 1))
    return model


def external() -> ModelProto:
    model = scalar(node("Mul", ["z", "w"], ["m"]), node("ReduceMean", ["m"], ["value"], keepdims=0))
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return model


def sparse() -> ModelProto:
    model = scalar(MEAN)
    held = helper.make_tensor("s", 1, [1], [1.0])
    places = helper.make_tensor("s.indices", 7, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(held, places, [4]))
    return model


REFUSED: dict[str, tuple[ModelProto, str]] = {
    "another domain": (foreign(), "uses the domain 'custom'"),
    "local functions": (with_function(), "local functions; inline"),
    "data elsewhere": (external(), "keeps data in another file"),
    "sparse initializers": (sparse(), "sparse initializers"),
    "no output of the model": (
        scalar(
            node("ReduceMean", ["boxes"], ["value"], keepdims=0), inputs=[value("boxes", ["n"])]
        ),
        r"none of its inputs \(boxes\) is an output of the model \(z\)",
    ),
    "text for an input": (
        scalar(MEAN, inputs=[value("z", ["n", 4]), value("t", ["n"], TensorProto.STRING)]),
        r"the input 't' is string \[n\]; declare a tensor of float32",
    ),
    "a vector for a scalar": (
        scalar(
            node("ReduceMean", ["z"], ["value"], axes=[0], keepdims=0),
            outputs=[value("value", [4])],
        ),
        r"'value' is float \[4\]; it must be one float32: take the mean",
    ),
    "an integer": (
        scalar(node("Size", ["z"], ["value"]), outputs=[value("value", [], INT64)]),
        r"'value' is int64 \[\]; it must be one float32",
    ),
    "a choice": (
        scalar(
            node("ArgMax", ["z"], ["c"], axis=-1),
            node("Cast", ["c"], ["f"], to=1),
            node("ReduceMean", ["f"], ["value"], keepdims=0),
        ),
        "has no gradient: the model's output 'z' does not reach its value, or only .*ArgMax",
    ),
    "a number of its own": (
        scalar(node("ReduceMean", ["w"], ["value"], keepdims=0), constants={"w": np.ones(3, "f4")}),
        "has no gradient: the model's output 'z' does not reach its value",
    ),
    "an operator without a gradient": (
        scalar(
            node("Transpose", ["z"], ["turned"]),
            node("MatMul", ["turned", "z"], ["square"]),
            node("Det", ["square"], ["d"]),
            node("ReduceMean", ["d"], ["value"], keepdims=0),
        ),
        r"cannot be trained for the output 'z': .*Det.*docs/trainable\.md",
    ),
    "an operator of no opset that is trained": (
        scalar(node("TensorScatter", ["z", "z"], ["s"]), MEAN, opset=24, ir=12),
        "TensorScatter",
    ),
}


for _name in ("loss", "metric_weight", "sparsebook.original.0"):
    REFUSED[f"an array {_name}"] = (
        scalar(
            node("Add", ["z", _name], ["s"]),
            node("ReduceMean", ["s"], ["value"], keepdims=0),
            inputs=[value("z", ["n", 4]), value(_name, ["n", 1])],
        ),
        f"reads an array {_name!r}.*rename",
    )


@pytest.mark.parametrize("kind", REFUSED)
def test_graphs_that_cannot_be_used_are_refused(kind: str, tmp_path: Path) -> None:
    model, words = REFUSED[kind]
    with pytest.raises(BadValue, match=r"loss own\.onnx: .*" + words):
        own(tmp_path, model)


def test_a_loss_is_one_of_the_outputs_that_it_has_a_gradient_for(tmp_path: Path) -> None:
    """It may look at others: through an ArgMax, here, at what is taken into account."""
    model = scalar(
        node("ArgMax", ["large"], ["c"], axis=-1, keepdims=0),
        node("Cast", ["c"], ["f"], to=1),
        node("ReduceMean", ["z"], ["m"], axes=[1], keepdims=0),
        node("Mul", ["m", "f"], ["weighted"]),
        node("ReduceMean", ["weighted"], ["value"], keepdims=0),
        inputs=[value("z", ["n", 4]), value("large", ["n", 4])],
    )
    graph = own(tmp_path, model, ("z", "i", "large"))
    assert graph.learned == (0,)
    job = Job(tmp_path, heads(0, 17), {"x": X}, own_loss=graph)
    assert job.objective.learned == ("z",)


@pytest.mark.parametrize("ignored", [{}, {"ignore_index": -100}])
def test_a_cross_entropy_is_a_loss_with_labels_of_any_name(
    ignored: dict[str, int], tmp_path: Path
) -> None:
    model = scalar(
        node("SoftmaxCrossEntropyLoss", ["z", "letters"], ["value"], **ignored),
        inputs=[value("z", ["n", 4]), value("letters", ["n"], INT64)],
    )
    graph = own(tmp_path, model)
    assert graph.learned == (0,)
    z = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
    letters = np.array([1, 3, -100 if ignored else 0])
    logs = z - np.log(np.exp(z).sum(1, keepdims=True))
    expected = -np.mean([logs[0, 1], logs[1, 3], *([] if ignored else [logs[2, 0]])])
    assert OwnRun(graph)([z], {"letters": letters}, [z]) == pytest.approx(expected, rel=1e-5)


def test_large_constants_stay_in_a_graph_that_is_rebuilt(tmp_path: Path) -> None:
    table = np.random.default_rng(1).standard_normal((300, 4)).astype(np.float32)
    held = node("Constant", [], ["table"], value=numpy_helper.from_array(table))
    model = scalar(
        held,
        node("ReduceMean", ["table"], ["row"], axes=[0], keepdims=1),
        node("Mul", ["z", "row"], ["weighted"]),
        node("ReduceMean", ["weighted"], ["value"], keepdims=0),
    )
    run = OwnRun(own(tmp_path, model))
    z = np.ones((2, 4), np.float32)
    assert run([z], {}, [z]) == pytest.approx(float(table.mean()), rel=1e-4)


def test_files_that_are_no_graph_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadValue, match=r"metric own\.onnx: cannot be read"):
        read_own(tmp_path / "own.onnx", "metric", ("z",))
    (tmp_path / "own.onnx").write_bytes(b"def loss(z): return z.mean()")
    with pytest.raises(BadValue, match=r"loss own\.onnx: cannot be used: not an ONNX file"):
        read_own(tmp_path / "own.onnx", "loss", ("z",))
    path = save(tmp_path, scalar(MEAN))
    monkeypatch.setattr(own_module, "MOST_BYTES", 50)
    with pytest.raises(BadValue, match="a loss is a small graph of at most 50"):
        read_own(path, "loss", ("z",))


FAILING: dict[str, tuple[ModelProto, type[Exception], str]] = {
    "shapes that do not suit": (
        scalar(
            node("Add", ["z", "five"], ["s"]),
            node("ReduceMean", ["s"], ["value"], keepdims=0),
            inputs=[value("z", ["n", "c"])],
            constants={"five": np.zeros(5, np.float32)},
        ),
        BadValue,
        r"does not run on the model's outputs and the data \(z \[2, 4\]\).*make it fit these shapes",
    ),
    "shapes that suit one sample alone": (
        scalar(
            node("Add", ["z", "t"], ["s"]),
            node("ReduceMean", ["s"], ["value"], keepdims=0),
            inputs=[value("z", ["n", "c"]), value("t", ["n"])],
        ),
        BadValue,
        r"does not run on the model's outputs and the data \(z \[2, 4\], t \[2\]\)",
    ),
    "a vector after all": (
        scalar(
            node("ReduceMean", ["z"], ["value"], axes=[0], keepdims=0),
            outputs=[helper.make_tensor_value_info("value", 1, None)],
        ),
        BadValue,
        r"first output has shape \[4\]; one number is expected: take the mean",
    ),
    # 0 * mean, whose logarithm is minus infinity
    "no number": (
        scalar(
            node("ReduceMean", ["z"], ["h"], keepdims=0),
            node("Mul", ["h", "zero"], ["m"]),
            node("Log", ["m"], ["value"]),
            constants={"zero": np.array(0, np.float32)},
        ),
        BadData,
        "gives -?(inf|nan) on the data; keep what goes into a Log",
    ),
}


@pytest.mark.parametrize("kind", FAILING)
def test_graphs_are_tried_on_the_data_before_anything_is_trained(kind: str, tmp_path: Path) -> None:
    model, error, words = FAILING[kind]
    with pytest.raises(error, match=r"own\.onnx: .*" + words):
        Job(tmp_path, linear(), {"x": X, "t": X[:, 0]}, own_loss=own(tmp_path, model))


def test_a_graph_of_a_newer_opset_than_the_model_is_refused_with_the_one_to_export_for(
    tmp_path: Path,
) -> None:
    graph = own(
        tmp_path,
        scalar(node("Sub", ["z", "z"], ["d"]), node("ReduceMean", ["d"], ["value"], keepdims=0)),
    )
    job = Job(tmp_path, linear(opset=12), {"x": X}, own_loss=graph)
    with pytest.raises(
        BadValue,
        match=r"own\.onnx: cannot be converted from opset 17 to 12.*export it for opset 12",
    ):
        attach(job.model, job.objective, job.dataset)


def test_names_inside_a_graph_do_not_meet_those_of_the_model(tmp_path: Path) -> None:
    """The loss has a node, a constant and values named as the model's."""
    nodes = [
        node("Mul", ["z", "w"], ["h"]),
        node("ReduceMean", ["h"], ["loss"], keepdims=0),
    ]
    model = scalar(
        *nodes, outputs=[value("loss", [])], constants={"w": np.array([1, 2, 3, 4], np.float32)}
    )
    job = Job(tmp_path, linear(), {"x": X}, own_loss=own(tmp_path, model))
    record_teacher(job.path, job.dataset, job.objective)
    graph = attach(job.model, job.objective, job.dataset)
    onnx.checker.check_model(graph, full_check=True)
    names = [given.name for given in graph.graph.input]
    (feed,) = job.dataset.batches("train", 64, names)
    (scores,) = session(job.model).run(None, {"x": feed["x"]})
    loss = session(graph).run(["loss"], feed)[0]
    assert loss == pytest.approx(float((scores * [1, 2, 3, 4]).mean()), rel=1e-5)


def test_what_the_original_says_is_kept_under_a_name_that_no_array_has(tmp_path: Path) -> None:
    """Arrays, an input and values of the model that are named teacher_0, beside the original's outputs."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.standard_normal((3, 4)).astype(np.float32)}
    nodes = [
        node("MatMul", ["teacher_0", "w"], ["teacher_1"]),
        node("Relu", ["teacher_1"], ["z"]),
    ]
    model = model_of(
        graph_of(nodes, [value("teacher_0", ["n", 3])], [value("z", ["n", 4])], weights)
    )
    loss = scalar(
        node("Sub", ["z", "teacher_z"], ["e"]),
        node("Mul", ["e", "teacher_2"], ["f"]),
        node("ReduceMean", ["f"], ["value"], keepdims=0),
        inputs=[
            value("z", ["n", 4]),
            value("teacher_z", ["n", 4]),
            value("teacher_2", ["n", 4]),
        ],
    )
    arrays = {"teacher_0": X, "teacher_2": TARGETS}
    job = Job(tmp_path, model, arrays, own_loss=own(tmp_path, loss))
    record_teacher(job.path, job.dataset, job.objective)
    graph = attach(model, job.objective, job.dataset)
    onnx.checker.check_model(graph, full_check=True)
    names = [given.name for given in graph.graph.input]
    assert sorted(names) == ["sparsebook.original.0", "teacher_0", "teacher_2"]
    (feed,) = job.dataset.batches("train", 64, names)
    (scores,) = session(model).run(None, {"teacher_0": feed["teacher_0"]})
    assert (feed["sparsebook.original.0"] == scores).all()
    assert session(graph).run(["loss"], feed)[0] == 0
    feed["sparsebook.original.0"] = scores - 2
    expected = float((2 * feed["teacher_2"]).mean())
    assert session(graph).run(["loss"], feed)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["loss", "labels"])
def test_a_weight_with_a_name_that_the_training_graph_needs_is_refused(
    name: str, tmp_path: Path
) -> None:
    model = linear()
    for each in (*model.graph.initializer, *model.graph.node):
        if isinstance(each, TensorProto):
            each.name = each.name.replace("w", name)
        else:
            each.input[:] = [given.replace("w", name) for given in each.input]
    job = Job(tmp_path, model, {"x": X, "labels": np.zeros(len(X), int)})
    with pytest.raises(NotTrainable, match=f"a weight of the model is named '{name}'.*rename"):
        attach(job.model, job.objective, job.dataset)


@pytest.mark.parametrize("batched", [True, False])
def test_an_own_metric_is_the_mean_over_samples_inside_and_outside(
    batched: bool, tmp_path: Path
) -> None:
    """1 - mean((z - target)^2), with the labels as an array among others, and integers cast to what it takes."""
    nodes = [
        node("Sub", ["z", "target"], ["e"]),
        node("Mul", ["e", "e"], ["q"]),
        node("ReduceMean", ["q"], ["m"], keepdims=0),
        node("Sub", ["offset", "m"], ["d"]),
        node("ReduceMean", ["d"], ["value"], keepdims=0),
    ]
    given = [value("z", ["n", 4]), value("target", ["n", 4]), value("offset", ["n"])]
    graph = read_own(save(tmp_path, scalar(*nodes, inputs=given)), "metric", ("z",))
    offset = np.arange(len(X))
    arrays = {"x": X, "target": TARGETS, "offset": offset}
    model = linear(shape=["n" if batched else 1, 3])
    job = Job(tmp_path, model, arrays, own_metric=graph)
    assert (job.objective.metric, job.objective.form) == ("own", "mean")
    assert job.objective.batched == batched
    found = job.measure(job.path, "eval")
    total, count = 0.0, 0
    for feed in job.dataset.batches("eval", 64):
        scores = session(model).run(None, {"x": feed["x"]})[0].astype(np.float64)
        per = feed["offset"] - np.square(scores - feed["target"]).mean(1)
        total, count = total + float(per.sum()), count + len(per)
    assert count == 4
    assert found == pytest.approx(total / count, rel=1e-6)
    record_teacher(job.path, job.dataset, job.objective)
    attached = attach(model, job.objective, job.dataset)
    running = session(attached)
    names = [each.name for each in attached.graph.input]
    sums = np.sum(
        [running.run(None, feed)[1:] for feed in job.dataset.batches("eval", 64, names)], axis=0
    )
    assert sums[1] == 4
    assert sums[0] / sums[1] == pytest.approx(found, rel=1e-4)


def test_a_metric_may_read_several_outputs_and_the_originals(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["i"], ["f"], to=1),
        node("Cast", ["teacher_i"], ["t"], to=1),
        node("Sub", ["f", "t"], ["e"]),
        node("ReduceMean", ["e"], ["value"], keepdims=0),
    ]
    given = [value("i", ["n"], INT64), value("teacher_i", ["n"], TensorProto.INT32)]
    path = save(tmp_path, scalar(*nodes, inputs=given))
    graph = read_own(path, "metric", ("z", "i", "large"))
    job = Job(tmp_path, heads(0, 17), {"x": X}, own_metric=graph)
    assert job.objective.reference == (1,)
    same = job.measure(job.path, "eval")
    assert same == 0
    other = tmp_path / "other.onnx"
    other.write_bytes(heads(1, 17).SerializeToString())
    assert job.measure(other, "train") != 0


def test_the_example_in_the_docs_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[4] / "docs/data.md").read_text()
    example = next(
        block for block in text.split("```python\n") if block.startswith("import onnx\n")
    ).split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/data.md", "exec"), {})
    graph = read_own(tmp_path / "loss.onnx", "loss", ("scores", "boxes"))
    assert graph.inputs == {
        "boxes": ("output", 1),
        "teacher_boxes": ("teacher", 1),
        "weight": ("array", "weight"),
    }
    boxes, weight = np.full((2, 100, 4), 3.0), np.full((2, 100, 1), 0.5)
    value = OwnRun(graph)([None, boxes], {"weight": weight}, [None, boxes - 2])
    assert value == 2
