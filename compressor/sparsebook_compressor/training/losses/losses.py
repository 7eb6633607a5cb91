"""Losses as nodes of the training graph: each a scalar float, the mean over the feed."""

from collections.abc import Callable

from sparsebook_compressor.training.aim.objective import TEMPERATURE, LossKind
from sparsebook_compressor.training.data.dataset import LABELS, teacher_name
from sparsebook_compressor.training.losses.graft import graft
from sparsebook_compressor.training.losses.wires import Wires


def add_loss(wires: Wires) -> str:
    """Append the objective's loss; the scalar's name."""
    return _LOSSES[wires.objective.loss](wires)


def _cross_entropy(wires: Wires, classes: str) -> str:
    """Mean of -log softmax(scores)[class]; `classes` int64 [positions]."""
    nodes = wires.nodes
    if wires.objective.classes is None:
        return _cross_entropy_of_choices(wires, classes)
    # The gradient is built from the second output, which has to be there.
    outputs = (nodes.fresh("loss"), nodes.fresh("log_probabilities"))
    inputs = (wires.scores(), classes)
    return nodes.add_many("SoftmaxCrossEntropyLoss", inputs, outputs, reduction="mean")[0]


def _cross_entropy_of_choices(wires: Wires, classes: str) -> str:
    """The same where the number of classes is not known until the graph runs, so that no label could be checked.

    SoftmaxCrossEntropyLoss reads past its scores for a label out of range; OneHot gives such a label no class.
    """
    nodes, scores = wires.nodes, wires.scores()
    depth = nodes.add("Gather", nodes.add("Shape", scores), nodes.constant([1], int))
    one_hot = nodes.add("OneHot", classes, depth, nodes.constant([0.0, 1.0]))
    return _soft_cross_entropy(wires, scores, one_hot)


def _soft_cross_entropy(wires: Wires, scores: str, probabilities: str) -> str:
    """Mean over positions of -sum_c p_c log softmax(scores)_c; both [positions, classes].

    The sum of all p stands for the number of positions: it is that where every p is a distribution.
    """
    nodes = wires.nodes
    logs = nodes.add("LogSoftmax", scores, axis=1)
    gained = nodes.total(nodes.add("Mul", probabilities, logs))
    mass = nodes.add("Max", nodes.total(probabilities), nodes.constant(1e-12))
    return nodes.add("Neg", nodes.add("Div", gained, mass))


def _binary_cross_entropy(wires: Wires, targets: str) -> str:
    """Mean of -y log s(z) - (1 - y) log(1 - s(z)) with s the sigmoid; `targets` y [elements] in 0 to 1.

    A sigmoid is the softmax of (0, z): its cross-entropy is exact for every z, where log(s(z)) overflows.
    """
    nodes = wires.nodes
    column = nodes.constant([-1, 1], int)
    z = nodes.add("Reshape", wires.score_values(), column)
    y = nodes.add("Reshape", targets, column)
    pair = nodes.add("Mul", z, nodes.constant([[0.0, 1.0]]))
    both = nodes.add(
        "Add", nodes.add("Mul", y, nodes.constant([[-1.0, 1.0]])), nodes.constant([[1.0, 0.0]])
    )
    return _soft_cross_entropy(wires, pair, both)


def _labelled(wires: Wires) -> str:
    return _cross_entropy(wires, wires.labels())


def _labelled_softly(wires: Wires) -> str:
    return _soft_cross_entropy(wires, wires.scores(), wires.by_class(wires.array(LABELS)))


def _labelled_binary(wires: Wires) -> str:
    return _binary_cross_entropy(wires, wires.label_values())


def _distil_binary(wires: Wires) -> str:
    return _binary_cross_entropy(wires, wires.nodes.row(wires.teacher(0)))


def _distil_choice(wires: Wires) -> str:
    return _cross_entropy(wires, wires.nodes.row(wires.teacher(0)))


def _squared_error(wires: Wires) -> str:
    nodes = wires.nodes
    error = nodes.add("Sub", wires.row(0), wires.label_values())
    return nodes.mean(nodes.square(error))


def _distil_classes(wires: Wires) -> str:
    """T^2 times the cross-entropy with softmax(teacher / T) of softmax(scores / T) (arXiv 1503.02531, section 2)."""
    nodes = wires.nodes
    heat = nodes.constant(TEMPERATURE)
    teacher = nodes.add("Div", wires.teacher_scores(), heat)
    loss = _soft_cross_entropy(
        wires,
        nodes.add("Div", wires.scores(), heat),
        nodes.add("Softmax", teacher, axis=1),
    )
    return nodes.add("Mul", loss, nodes.constant(TEMPERATURE**2))


def _labels_and_original(wires: Wires) -> str:
    """The mean of both: the label says which class is right, the original how alike the others are."""
    nodes = wires.nodes
    both = nodes.add("Add", _labelled(wires), _distil_classes(wires))
    return nodes.add("Mul", both, nodes.constant(0.5))


def _distil_outputs(wires: Wires) -> str:
    """Mean over the outputs of their mean squared error over the teacher's mean square: no output's scale matters."""
    nodes, floats = wires.nodes, wires.objective.floats
    terms = []
    for index in floats:
        error = nodes.add("Sub", wires.output(index), wires.teacher(index))
        scale = 1 / (wires.dataset.mean_square(teacher_name(index)) or 1.0) / len(floats)
        terms.append(nodes.add("Mul", nodes.mean(nodes.square(error)), nodes.constant(scale)))
    return nodes.sum_of(terms)


def _distil_embedding(wires: Wires) -> str:
    """Mean over samples of |u - v|^2 = 2 - 2 cos, where u and v are the embedding and the original's at length 1."""
    nodes, index = wires.nodes, wires.objective.embedding
    found, expected = nodes.unit_rows(wires.output(index)), nodes.unit_rows(wires.teacher(index))
    error = nodes.sum_over(nodes.square(nodes.add("Sub", found, expected)), 1)
    return nodes.mean(error)


def _own(wires: Wires) -> str:
    assert wires.objective.own_loss is not None
    return graft(wires, wires.objective.own_loss)


_LOSSES: dict[LossKind, Callable[[Wires], str]] = {
    "cross-entropy": _labelled,
    "soft-cross-entropy": _labelled_softly,
    "binary-cross-entropy": _labelled_binary,
    "squared-error": _squared_error,
    "labels-and-original": _labels_and_original,
    "distil-classes": _distil_classes,
    "distil-binary": _distil_binary,
    "distil-choice": _distil_choice,
    "distil-outputs": _distil_outputs,
    "distil-embedding": _distil_embedding,
    "own": _own,
}
