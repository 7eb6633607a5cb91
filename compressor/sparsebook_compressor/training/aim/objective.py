"""What training minimises and what is measured, decided from the data, the way the graph ends, and the config.

Nothing is guessed silently: labels that suit no loss are refused with the shapes that would.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from onnx import ModelProto

from sparsebook_compressor.errors import BadData, BadValue, NotTrainable
from sparsebook_compressor.training.aim.ending import Ending, ending
from sparsebook_compressor.training.aim.labels import LabelReading, Target
from sparsebook_compressor.training.aim.own import OwnGraph, OwnRun
from sparsebook_compressor.training.data.dataset import LABELS, Dataset
from sparsebook_compressor.training.data.probe import Probe

LossKind: TypeAlias = Literal[
    "cross-entropy",  # integer labels: the right class
    "labels-and-original",  # the mean of cross-entropy and distil-classes
    "soft-cross-entropy",  # float labels: a probability of every class
    "binary-cross-entropy",  # labels 0 and 1, or probabilities, behind a Sigmoid
    "squared-error",  # float labels: values
    "distil-classes",  # the original's softmax at a temperature
    "distil-binary",  # the original's probabilities behind a Sigmoid
    "distil-choice",  # the class that the original's ArgMax chose
    "distil-outputs",  # the original's outputs, as values
    "distil-embedding",  # the direction of the original's embedding
    "own",
]
MetricKind: TypeAlias = Literal["accuracy", "agreement", "retrieval", "fidelity", "own"]

TEMPERATURE = 2.0
"""Of distillation between classifiers, as Hinton et al. (arXiv 1503.02531); the loss is scaled by its square."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Loss and metric of a job.

    Attributes:
        loss: what training minimises.
        metric: what is measured; the higher the better.
        against: what the metric compares the outputs with.
        target: what the labels are to the first output; None without labels that it is compared with.
        outputs: names of all outputs, in the graph's order.
        floats: indices of the outputs that are floats.
        axis: of the classes in the first output's scores, counted from the front; None where there are none.
        classes: how many; None where the graph ends in an ArgMax and only choices are seen.
        chosen: the first output is an ArgMax's: classes, not scores.
        rank: of the first output's scores.
        embedding: index of the output that retrieval compares.
        embedding_rank: its rank; [samples, ..., values] is averaged over what lies between.
        batched: whether several samples are fed at once.
        own_loss: the caller's, where `loss` is "own".
        own_metric: the caller's, where `metric` is "own".
    """

    loss: LossKind
    metric: MetricKind
    against: Literal["labels", "original"]
    target: Target | None
    outputs: tuple[str, ...]
    floats: tuple[int, ...]
    axis: int | None
    classes: int | None
    chosen: bool
    rank: int
    embedding: int
    embedding_rank: int
    batched: bool
    own_loss: OwnGraph | None = None
    own_metric: OwnGraph | None = None

    @property
    def form(self) -> Literal["mean", "one-minus-rms"]:
        """How the metric comes from the two sums that the training graph gives."""
        return "one-minus-rms" if self.graph_metric == "fidelity" else "mean"

    @property
    def graph_metric(self) -> MetricKind:
        """The metric inside the training graph: neighbours cannot be found where samples come one by one."""
        return "fidelity" if self.metric == "retrieval" and not self.batched else self.metric

    @property
    def imitates(self) -> bool:
        """Whether the loss is at its least, exactly, where the model is the original."""
        return self.loss.startswith("distil")

    @property
    def teachers(self) -> tuple[int, ...]:
        """Outputs whose values from the original the training graph reads as `teacher_<index>`."""
        wanted: set[int] = set()
        if self.loss == "distil-outputs":
            wanted.update(self.floats)
        elif self.loss == "distil-embedding":
            wanted.add(self.embedding)
        elif self.loss.startswith("distil") or self.loss == "labels-and-original":
            wanted.add(0)
        if self.own_loss is not None:
            wanted.update(self.own_loss.teachers)
        wanted.update(self._reference_of(self.graph_metric))
        return tuple(sorted(wanted))

    @property
    def arrays(self) -> tuple[str, ...]:
        """Arrays that the training graph reads besides the model's inputs and the original's outputs."""
        own = [graph for graph in (self.own_loss, self.own_metric) if graph is not None]
        wanted = [name for graph in own for name in graph.arrays]
        if self.loss in _LABEL_LOSSES.values() or self.loss == "labels-and-original":
            wanted.append(LABELS)
        if self.graph_metric != "own" and self.against == "labels":
            wanted.append(LABELS)
        return tuple(dict.fromkeys(wanted))

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the outputs that the loss is a function of."""
        if self.own_loss is not None:
            return tuple(self.outputs[index] for index in self.own_loss.learned)
        by_loss = {"distil-outputs": self.floats, "distil-embedding": (self.embedding,)}
        wanted = by_loss.get(self.loss, (0,))
        return tuple(self.outputs[index] for index in wanted)

    @property
    def reference(self) -> tuple[int, ...]:
        """Outputs of the original that the metric reads."""
        return self._reference_of(self.metric)

    def _reference_of(self, metric: MetricKind) -> tuple[int, ...]:
        if metric == "own":
            assert self.own_metric is not None
            return self.own_metric.teachers
        if self.against == "labels":
            return ()
        if metric == "fidelity":
            return self.floats
        return (self.embedding,) if metric == "retrieval" else (0,)

    def describe(self) -> dict[str, Any]:
        """For the report: JSON data, in words where that says more."""
        facts: dict[str, Any] = {
            "loss": _LOSS_WORDS[self.loss].format(
                output=self.outputs[0],
                embedding=self.outputs[self.embedding],
                own=_name(self.own_loss),
            ),
            "metric": self._metric_words(),
            "metric_is_share": self.metric in _SHARES or None,
            "against": self.against,
            "classes": self.classes,
            "temperature": TEMPERATURE
            if self.loss in ("distil-classes", "labels-and-original")
            else None,
        }
        for key, own in (("own_loss", self.own_loss), ("own_metric", self.own_metric)):
            if own is not None:
                facts[key] = {"name": own.name, "sha256": own.sha256}
        return facts

    def _metric_words(self) -> str:
        return _METRIC_WORDS[self.metric].format(
            output=self.outputs[self.embedding if self.metric == "retrieval" else 0],
            against="labels" if self.against == "labels" else "original's",
            own=_name(self.own_metric),
        )


_LOSS_WORDS: dict[LossKind, str] = {
    "cross-entropy": "cross-entropy of {output!r} with the labels",
    "labels-and-original": "half cross-entropy of {output!r} with the labels, half distillation: cross-entropy with the "
    f"original's softmax, both at temperature {TEMPERATURE:g}, times {TEMPERATURE**2:g}",
    "soft-cross-entropy": "cross-entropy of {output!r} with the labels' probabilities",
    "binary-cross-entropy": "binary cross-entropy of {output!r} with the labels",
    "squared-error": "mean squared error of {output!r} against the labels",
    "distil-classes": "distillation: cross-entropy of {output!r} with the original's softmax, "
    f"both at temperature {TEMPERATURE:g}, times {TEMPERATURE**2:g}",
    "distil-binary": "distillation: binary cross-entropy of {output!r} with the original's probabilities",
    "distil-choice": "distillation: cross-entropy with the class that the original's {output!r} chose",
    "distil-outputs": "distillation: mean squared error of every output over the original's mean square",
    "distil-embedding": "distillation: squared distance of {embedding!r} from the original's, both at length 1",
    "own": "the caller's own loss {own}",
}
_METRIC_WORDS: dict[MetricKind, str] = {
    "accuracy": "top-1 accuracy of {output!r}: the share of positions where it meets the labels",
    "agreement": "agreement of {output!r}: the share of positions whose argmax equals the original's",
    "retrieval": "top-1 retrieval agreement of {output!r}: the share of samples whose nearest neighbour is the original's",
    "fidelity": "1 minus the relative RMS error against the {against}",
    "own": "the caller's own metric {own}, averaged over samples",
}
# Of these it is known how far chance moves them.
_SHARES: tuple[MetricKind, ...] = ("accuracy", "agreement", "retrieval")


def _name(own: OwnGraph | None) -> str:
    return "" if own is None else own.name


def decide(
    model: ModelProto,
    dataset: Dataset,
    probe: Probe,
    *,
    loss: str = "auto",
    metric: str = "auto",
    own_loss: OwnGraph | None = None,
    own_metric: OwnGraph | None = None,
) -> Objective:
    """Decide loss and metric.

    Args:
        model: the graph, whose nodes are looked at.
        dataset: the data.
        probe: what the original makes of it.
        loss: "auto", "labels" or "distill"; an own loss goes before.
        metric: "auto", "accuracy", "agreement", "retrieval" or "fidelity"; an own metric goes before.
        own_loss: the caller's loss.
        own_metric: the caller's metric.

    Raises:
        BadData: labels are wanted and there are none, they suit no loss, or one is out of range; an own graph gives NaN.
        BadValue: a metric that this model's outputs do not have; an own graph that does not run on the first sample.
        NotTrainable: a distillation is wanted and no output can be learned from.
    """
    for own in (own_loss, own_metric):
        if own is not None:
            OwnRun(own)(probe.values, probe.feed, probe.values)
    return _Decision(model, dataset, probe).decide(loss, metric, own_loss, own_metric)


class _Decision:
    def __init__(self, model: ModelProto, dataset: Dataset, probe: Probe) -> None:
        self.dataset = dataset
        self.probe = probe
        self.first = probe.outputs[0]
        self.end: Ending = ending(model, self.first.name)
        self.chosen = self.end.kind == "argmax" and not self.first.is_float
        self.rank = len(self.first.shape) + (self.chosen and not self.end.keeps_axis)

    def decide(
        self, loss: str, metric: str, own_loss: OwnGraph | None, own_metric: OwnGraph | None
    ) -> Objective:
        target: Target | None = None
        axis = self._class_axis()
        for_loss = own_loss is None and loss in ("auto", "labels")
        for_metric = own_metric is None and metric in ("auto", "accuracy")
        needed = (for_loss and loss == "labels") or (for_metric and metric == "accuracy")
        if needed and not self.dataset.has_labels:
            what = "the loss 'labels'" if loss == "labels" else "the metric 'accuracy'"
            raise BadData(
                f"{self.dataset.files}: {what} needs labels; add an array 'labels' to the data (and eval_labels, test_labels), "
                "or choose another"
            )
        if self.dataset.has_labels and (for_loss or for_metric):
            # Labels that only a loss of the caller's own understands are no fault of theirs.
            tolerant = own_loss is not None and metric == "auto"
            with contextlib.suppress(BadData) if tolerant else contextlib.nullcontext():
                target, axis = LabelReading(
                    self.dataset, self.probe, self.end, chosen=self.chosen
                ).read(axis)
        classes = None if axis is None or self.chosen else self.first.shape[axis]
        kind = self._loss(loss, target, axis, metric, own_loss)
        measured = self._metric(metric, target, axis, own_metric)
        against: Literal["labels", "original"] = (
            "labels"
            if measured == "accuracy" or (measured == "fidelity" and metric == "auto" and target)
            else "original"
        )
        return Objective(
            loss=kind,
            metric=measured,
            against=against,
            target=target,
            outputs=tuple(output.name for output in self.probe.outputs),
            floats=tuple(i for i, output in enumerate(self.probe.outputs) if output.is_float),
            axis=axis,
            classes=classes,
            chosen=self.chosen,
            rank=self.rank,
            embedding=self._embedding(),
            embedding_rank=len(self.probe.outputs[self._embedding()].shape),
            batched=self.probe.batched,
            own_loss=own_loss,
            own_metric=own_metric,
        )

    def _class_axis(self) -> int | None:
        """The axis that a final Softmax or ArgMax looks along, else the last; None where that has one entry."""
        if self.rank == 0:
            return None
        axis = (self.rank - 1) if self.end.axis is None else self.end.axis % self.rank
        if self.chosen:
            return axis
        return axis if self.first.is_float and self.first.shape[axis] >= 2 else None

    def _loss(
        self,
        loss: str,
        target: Target | None,
        axis: int | None,
        metric: str,
        own: OwnGraph | None,
    ) -> LossKind:
        if own is not None:
            return "own"
        if target == "class" and loss == "auto" and self.first.is_float:
            return "labels-and-original"
        if target is not None and loss != "distill":
            return _LABEL_LOSSES[target]
        if self.chosen:
            return "distil-choice"
        if not any(output.is_float for output in self.probe.outputs):
            raise NotTrainable(
                "no output of the model is a tensor of floats, and none is a final ArgMax: there is nothing to learn from "
                'the original; compress without retraining ("train": {"loss": "none"})'
            )
        if self.first.is_float and self.end.kind == "sigmoid":
            return "distil-binary"
        classifies = self.end.kind != "none" or metric in ("accuracy", "agreement")
        classifies = classifies or target == "class"
        if self.first.is_float and axis is not None and classifies:
            return "distil-classes"
        embedding = self.probe.outputs[self._embedding()]
        vector = embedding.is_float and len(embedding.shape) == 2 and self.probe.batched
        # Neighbours are found by direction; states of tokens, or padding among them, do not matter to them.
        return "distil-embedding" if metric == "retrieval" and vector else "distil-outputs"

    def _metric(
        self, metric: str, target: Target | None, axis: int | None, own: OwnGraph | None
    ) -> MetricKind:
        if own is not None:
            return "own"
        match metric:
            case "accuracy":
                if target == "values":
                    raise BadData(
                        f"{self.dataset.files}: the metric 'accuracy' needs labels that number classes, 'labels' holds floats; "
                        "save the numbers as integers, or choose 'fidelity'"
                    )
                return "accuracy"
            case "agreement":
                if axis is None:
                    raise BadValue(
                        f"config budget.metric: the first output {self.first.name!r} of shape {self.first.shape} has no "
                        "classes that could agree; use 'fidelity'"
                    )
                return "agreement"
            case "retrieval":
                if not self.probe.outputs[self._embedding()].is_float:
                    raise BadValue(
                        "config budget.metric: no output is an embedding of floats; use 'agreement'"
                    )
                return "retrieval"
            case "fidelity":
                return self._fidelity()
        if target is not None:
            return "fidelity" if target == "values" else "accuracy"
        if axis is not None and self.end.kind != "none":
            return "agreement"
        return self._fidelity()

    def _fidelity(self) -> MetricKind:
        if not any(output.is_float for output in self.probe.outputs):
            raise BadValue(
                "no output of the model is a tensor of floats, so that the relative error is not defined; give a metric of "
                "your own (--metric)"
            )
        return "fidelity"

    def _embedding(self) -> int:
        """The first output of floats with one vector a sample, else the first of floats."""
        floats = [i for i, output in enumerate(self.probe.outputs) if output.is_float]
        vectors = [i for i in floats if len(self.probe.outputs[i].shape) == 2]
        return next(iter(vectors + floats), 0)


_LABEL_LOSSES: dict[Target, LossKind] = {
    "class": "cross-entropy",
    "probabilities": "soft-cross-entropy",
    "binary": "binary-cross-entropy",
    "values": "squared-error",
}
