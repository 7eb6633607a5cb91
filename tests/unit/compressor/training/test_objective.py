"""What is decided from data, graph and config; and what is refused, with the shapes that would do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from sparsebook_compressor.errors import BadData, BadValue, NotTrainable
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.training.aim.metrics import record_teacher
from sparsebook_compressor.training.aim.objective import decide
from sparsebook_compressor.training.data.dataset import Dataset, teacher_name
from sparsebook_compressor.training.data.probe import probe
from sparsebook_compressor.training.losses.attach import attach
from tests.unit.compressor.models import INT64, graph_of, model_of, node, value
from tests.unit.compressor.training.cases import (
    ARGMAX,
    CHOICE,
    CLASS,
    IMAGES,
    PIXELS,
    SIGMOID,
    SOFTMAX,
    TARGETS,
    YES,
    X,
    convolved,
    heads,
    plain,
)
from tests.unit.compressor.training.data import CLASSES, Job, inputs, linear, write

EMBEDDING = inputs(40)


@pytest.mark.parametrize(
    ("ending", "metric"),
    [(None, "fidelity"), (SOFTMAX, "agreement"), (SIGMOID, "agreement"), (ARGMAX, "agreement")],
)
def test_without_labels_a_final_function_of_scores_says_classification(
    ending: Any, metric: str, tmp_path: Path
) -> None:
    options = CHOICE if ending is ARGMAX else {}
    make = plain(*([ending] if ending else []), **options)
    objective = Job(tmp_path, make(0, 17), {"x": X}).objective
    assert (objective.metric, objective.against) == (metric, "original")


def test_one_sigmoid_has_no_classes_to_agree(tmp_path: Path) -> None:
    objective = Job(tmp_path, plain(SIGMOID, columns=1)(0, 17), {"x": X}).objective
    assert (objective.loss, objective.metric) == ("distil-binary", "fidelity")


def test_regression_is_measured_against_its_labels(tmp_path: Path) -> None:
    objective = Job(tmp_path, plain()(0, 17), {"x": X, "labels": TARGETS}).objective
    assert (objective.metric, objective.against, objective.reference) == ("fidelity", "labels", ())
    asked = Job(
        tmp_path / "asked", plain()(0, 17), {"x": X, "labels": TARGETS}, metric="fidelity"
    ).objective
    assert (asked.metric, asked.against, asked.reference) == ("fidelity", "original", (0,))


def test_the_classes_of_pixels_are_found_by_the_labels_without_a_softmax(tmp_path: Path) -> None:
    model = convolved(1)(0, 17)
    del model.graph.node[-1:]
    model.graph.output[0].name = "z"
    objective = Job(tmp_path, model, {"x": IMAGES, "labels": PIXELS}, loss="labels").objective
    assert (objective.loss, objective.axis, objective.classes) == ("cross-entropy", 1, CLASSES)


@pytest.mark.parametrize("labels", [np.array([0, 4]), np.array([-1, 2])])
def test_labels_out_of_range_are_refused_wherever_they_are(
    labels: np.ndarray, tmp_path: Path
) -> None:
    arrays = {"x": X, "labels": CLASS, "test_x": X[:2], "test_labels": labels}
    words = (
        r"data\.npz: array 'test_labels', sample [01], holds (4|-1), but .* from 0 to 3; correct it"
    )
    with pytest.raises(BadData, match=words):
        Job(tmp_path, plain(SOFTMAX)(0, 17), arrays)


@pytest.mark.parametrize("sample", range(0, 40, 3))
def test_a_label_out_of_range_is_named_as_the_caller_has_it(sample: int, tmp_path: Path) -> None:
    """Its file and its index there, whichever part the sample was split off to."""
    wrong = CLASS.copy()
    wrong[sample] = 99
    files = [
        write(tmp_path / "0.npz", x=X, labels=CLASS),
        write(tmp_path / "1.npz", x=X, labels=wrong),
        write(tmp_path / "2.npz", x=X, labels=CLASS),
    ]
    model = plain(SOFTMAX)(0, 17)
    path = tmp_path / "original.onnx"
    path.write_bytes(model.SerializeToString())
    dataset = Dataset.prepare(files, input_specs(model), tmp_path / "data", 0)
    words = rf"^1\.npz: array 'labels', sample {sample}, holds 99, but the classes of the output 'y' are"
    with pytest.raises(BadData, match=words):
        decide(model, dataset, probe(path, dataset))


def test_a_choice_cannot_be_negative(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match="holds -1, but the classes of the output 'y' are numbered from 0 on"
    ):
        Job(tmp_path, plain(ARGMAX, **CHOICE)(0, 17), {"x": X, "labels": CLASS - 1})


UNSUITABLE: dict[str, tuple[Any, np.ndarray]] = {
    "one label too many a sample": (SOFTMAX, YES[:, :2]),
    "integers for one output without a Sigmoid": (
        None,
        CLASS[:, None, None] * np.ones((1, 2, 2), int),
    ),
    "floats of another shape": (SOFTMAX, TARGETS[:, :3]),
    "floats for choices": (ARGMAX, TARGETS[:, 0]),
}


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_labels_that_suit_no_loss_are_refused_with_both_shapes(kind: str, tmp_path: Path) -> None:
    ending, labels = UNSUITABLE[kind]
    make = plain(*([ending] if ending else []), **(CHOICE if ending is ARGMAX else {}))
    with pytest.raises(
        BadData, match=r"'labels' has .* for every sample, the first output '[yz]' has"
    ):
        Job(tmp_path, make(0, 17), {"x": X, "labels": labels})


def test_scores_behind_a_label_are_named(tmp_path: Path) -> None:
    """As scikit-learn's classifiers come: integers first, which nothing can be trained through."""
    model = plain(SOFTMAX)(0, 17)
    scores = model.graph.output.pop()
    model.graph.node.append(helper.make_node("Cast", [scores.name], ["label"], to=INT64))
    model.graph.output.extend(
        [helper.make_tensor_value_info("label", INT64, ["N", CLASSES]), scores]
    )
    words = f"the first output 'label' is int64, not the scores that labels are compared with; make '{scores.name}' the first"
    with pytest.raises(BadData, match=words):
        Job(tmp_path, model, {"x": X, "labels": CLASS})


@pytest.mark.parametrize(("ending", "words"), [(SOFTMAX, "Softmax"), (SIGMOID, "Sigmoid")])
def test_probabilities_lie_between_0_and_1(ending: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match=f"sample [0-9]+, holds .*, but the output 'y' is a {words}'s"
    ):
        Job(tmp_path, plain(ending)(0, 17), {"x": X, "labels": TARGETS * 9})


def test_yes_and_no_are_0_and_1(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="0 to 1"):
        Job(tmp_path, plain(SIGMOID)(0, 17), {"x": X, "labels": YES + 1})


@pytest.mark.parametrize("choice", [{"loss": "labels"}, {"metric": "accuracy"}])
def test_what_needs_labels_says_so(choice: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"needs labels; add an array 'labels'"):
        Job(tmp_path, plain(SOFTMAX)(0, 17), {"x": X}, **choice)


def test_accuracy_needs_classes(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="needs labels that number classes"):
        Job(tmp_path, plain()(0, 17), {"x": X, "labels": TARGETS}, metric="accuracy")


def integers_only(opset: int = 17) -> Any:
    nodes = [node("Greater", ["x", "half"], ["y"])]
    graph = graph_of(
        nodes,
        [value("x", ["n", 3])],
        [value("y", ["n", 3], TensorProto.BOOL)],
        {"half": np.array(0.5, np.float32)},
    )
    return model_of(graph, opset=opset)


def test_nothing_can_be_learned_from_outputs_that_are_no_floats(tmp_path: Path) -> None:
    model = linear(node("ArgMax", ["z"], ["y"], axis=1, keepdims=0), kind=TensorProto.INT64)
    with pytest.raises(BadValue, match="no output of the model is a tensor of floats"):
        Job(tmp_path / "fidelity", model, {"x": X}, metric="fidelity")
    with pytest.raises(NotTrainable, match="there is nothing to learn from"):
        Job(tmp_path / "loss", integers_only(), {"x": X})


@pytest.mark.parametrize("metric", ["agreement", "retrieval"])
def test_metrics_that_the_outputs_do_not_have_are_refused(metric: str, tmp_path: Path) -> None:
    model = linear(columns=1) if metric == "agreement" else integers_only()
    with pytest.raises((BadValue, NotTrainable), match=r"budget\.metric|no output"):
        Job(tmp_path, model, {"x": X}, metric=metric)


def test_an_embedding_is_the_first_output_of_one_vector_a_sample(tmp_path: Path) -> None:
    nodes = [
        node("Unsqueeze", ["x", "one"], ["tokens"]),
        node("Mul", ["x", "two"], ["sentence"]),
    ]
    outputs = [value("tokens", ["n", 1, 3]), value("sentence", ["n", 3])]
    constants = {"one": np.array([1]), "two": np.array(2, np.float32)}
    model = model_of(graph_of(nodes, [value("x", ["n", 3])], outputs, constants))
    objective = Job(tmp_path, model, {"x": X}, metric="retrieval").objective
    assert (objective.embedding, objective.reference) == (1, (1,))
    assert "'sentence'" in objective.describe()["metric"]


def test_outputs_that_are_no_tensors_are_passed_over(tmp_path: Path) -> None:
    model = heads(0, 17)
    model.graph.node.append(node("SequenceConstruct", ["z"], ["s"]))
    sequence = model.graph.output.add(name="s")
    sequence.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    objective = Job(tmp_path, model, {"x": X}).objective
    assert objective.outputs == ("z", "i", "large", "s")
    assert objective.floats == (0, 2)


def test_data_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    model = linear(shape=["n", "features"])
    with pytest.raises(
        BadData, match=r"data\.npz: array 'x', sample [0-9]+: the model does not run on it"
    ):
        Job(tmp_path, model, {"x": inputs(20, (5,))})


def test_a_graph_made_for_one_sample_is_fed_one_by_one(tmp_path: Path) -> None:
    """Exported with a free first dimension, but a Reshape inside knows one sample only."""
    nodes = [node("Reshape", ["x", "to"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    constants = {"to": np.array([1, 3]), "w": np.ones((3, 2), np.float32)}
    graph = graph_of(nodes, [value("x", ["n", 3])], [value("y", ["n", 2])], constants)
    assert not Job(tmp_path, model_of(graph), {"x": X}).objective.batched


def test_outputs_that_mix_samples_are_fed_one_by_one(tmp_path: Path) -> None:
    nodes = [node("Transpose", ["x"], ["y"], perm=[1, 0])]
    graph = graph_of(nodes, [value("x", ["n", 3])], [value("y", [3, "n"])])
    assert not Job(tmp_path, model_of(graph), {"x": X}).objective.batched


def test_the_report_says_it_in_words(tmp_path: Path) -> None:
    objective = Job(tmp_path, plain(SOFTMAX)(0, 17), {"x": X}).objective
    facts = objective.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["loss"].startswith("distillation: cross-entropy of 'y'")
    assert facts["temperature"] == 2
    assert "agreement of 'y'" in facts["metric"]


def test_an_argmax_keeps_its_axis_squeezes_it_or_hides_it(tmp_path: Path) -> None:
    """The scores are found through keepdims=1 and a Squeeze behind it; not through a Reshape."""

    def model(*moves: Any, **constants: np.ndarray) -> Any:
        made = linear(node("ArgMax", ["z"], ["c"], axis=-1, keepdims=1), *moves, kind=INT64)
        made.graph.initializer.extend(
            helper.make_tensor(name, INT64, array.shape, array) for name, array in constants.items()
        )
        return made

    squeeze = model(node("Squeeze", ["c", "last"], ["y"]), last=np.array([1]))
    job = Job(tmp_path / "squeeze", squeeze, {"x": X, "labels": CLASS}, loss="labels")
    assert (job.objective.chosen, job.objective.axis, job.objective.rank) == (True, 1, 2)
    reshape = model(node("Reshape", ["c", "flat"], ["y"]), flat=np.array([-1]))
    with pytest.raises(BadData, match=r"'labels' has (one value|values .*), int64"):
        Job(tmp_path / "reshape", reshape, {"x": X, "labels": CLASS}, loss="labels")


@pytest.mark.parametrize("arrays", [{"x": X}, {"x": X, "labels": CLASS}])
def test_the_loss_in_words_has_the_temperature_of_a_distillation(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    described = Job(tmp_path, plain(SOFTMAX)(0, 17), arrays).objective.describe()
    assert described["temperature"] == 2
    assert "the original's softmax, both at temperature 2, times 4" in described["loss"]


@pytest.mark.parametrize("batched", [True, False])
def test_a_worker_is_offered_what_its_graph_takes_and_no_more(
    batched: bool, tmp_path: Path
) -> None:
    """Labels and outputs that neither loss nor metric reads; neighbours that one sample does not have."""
    model = heads(0, 17)
    if not batched:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    arrays = {"x": X, "labels": TARGETS}
    choice = {"loss": "distill", "metric": "retrieval"}
    job = Job(tmp_path, model, arrays, **choice)
    record_teacher(job.path, job.dataset, job.objective)
    graph = attach(heads(1, 17), job.objective, job.dataset)
    described = json.loads((job.dataset.shared / "dataset.json").read_text())
    wanted = ["x", teacher_name(0), *([] if batched else [teacher_name(2)])]
    assert described["inputs"] == wanted
    assert {given.name for given in graph.graph.input} == set(wanted)
    assert job.objective.form == ("mean" if batched else "one-minus-rms")
