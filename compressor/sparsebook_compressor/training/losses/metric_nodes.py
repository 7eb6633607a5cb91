"""Metrics as nodes of the training graph: two scalar sums over the feed, from which the worker has the value."""

from sparsebook_compressor.training.data.dataset import teacher_name
from sparsebook_compressor.training.losses.graft import graft
from sparsebook_compressor.training.losses.wires import Wires


def add_metric(wires: Wires) -> tuple[str, str]:
    """Append the objective's metric; the names of sum and weight."""
    objective = wires.objective
    match objective.graph_metric:
        case "accuracy":
            return _share(wires, *_against_labels(wires))
        case "agreement":
            nodes = wires.nodes
            chosen = _choice(wires, wires.output(0))
            return _share(wires, chosen, _choice(wires, wires.teacher(0)))
        case "retrieval":
            nearest = _nearest(wires, wires.output(objective.embedding))
            return _share(wires, nearest, _nearest(wires, wires.teacher(objective.embedding)))
        case "fidelity":
            return _squares(wires)
        case "own":
            assert objective.own_metric is not None
            nodes = wires.nodes
            weight = _samples(wires)
            return nodes.add("Mul", graft(wires, objective.own_metric), weight), weight


def _share(wires: Wires, found: str, expected: str) -> tuple[str, str]:
    """How many of two rows of classes are the same, and how many there are."""
    nodes = wires.nodes
    hits = nodes.floats(nodes.add("Equal", found, expected))
    return nodes.total(hits), nodes.count(hits)


def _against_labels(wires: Wires) -> tuple[str, str]:
    nodes, objective = wires.nodes, wires.objective
    if objective.target == "binary":
        half = nodes.constant(0.5)
        found = nodes.row(nodes.add("Greater", wires.output(0), half))
        return found, nodes.add("Greater", wires.label_values(), half)
    if objective.target == "probabilities":
        return _choice(wires, wires.output(0)), _choice(wires, wires.array("labels"))
    return _choice(wires, wires.output(0)), wires.labels()


def _choice(wires: Wires, value: str) -> str:
    """The class of every position, on one axis."""
    if wires.objective.chosen:
        return wires.nodes.row(value)
    assert wires.objective.axis is not None
    chosen = wires.nodes.add("ArgMax", value, axis=wires.objective.axis, keepdims=0)
    return wires.nodes.row(chosen)


def _nearest(wires: Wires, embedding: str) -> str:
    """For each sample of the feed the most similar other one, by cosine: int64 [samples]."""
    nodes = wires.nodes
    if wires.objective.embedding_rank > 2:
        embedding = nodes.mean_over(embedding, list(range(1, wires.objective.embedding_rank - 1)))
    unit = nodes.unit_rows(embedding)
    similar = nodes.add("MatMul", unit, nodes.add("Transpose", unit, perm=[1, 0]))
    # Similarities lie in [-1, 1]: a sample's own one, less 4, is never the largest.
    own = nodes.add("Mul", nodes.add("EyeLike", similar), nodes.constant(4.0))
    return nodes.add("ArgMax", nodes.add("Sub", similar, own), axis=1, keepdims=0)


def _squares(wires: Wires) -> tuple[str, str]:
    """Squared error and squared reference, every output over its reference's mean square, so that each counts alike."""
    nodes, objective = wires.nodes, wires.objective
    if objective.against == "labels":
        labels = wires.label_values()
        error = nodes.add("Sub", wires.row(0), labels)
        return nodes.total(nodes.square(error)), nodes.total(nodes.square(labels))
    errors, references = [], []
    for index in objective.floats:
        teacher = wires.teacher(index)
        scale = nodes.constant(1 / (wires.dataset.mean_square(teacher_name(index)) or 1.0))
        scale = nodes.add("Div", scale, nodes.count(teacher))
        scale = nodes.add("Mul", scale, _samples(wires))
        error = nodes.add("Sub", wires.output(index), teacher)
        errors.append(nodes.add("Mul", nodes.total(nodes.square(error)), scale))
        references.append(nodes.add("Mul", nodes.total(nodes.square(teacher)), scale))
    return nodes.sum_of(errors), nodes.sum_of(references)


def _samples(wires: Wires) -> str:
    """How many samples the feed has: a float scalar."""
    nodes = wires.nodes
    if not wires.objective.batched:
        return nodes.constant(1.0)
    shape = nodes.add("Shape", wires.dataset.specs[0].name)
    first = nodes.add("Gather", shape, nodes.constant(0, int))
    return nodes.floats(first)
