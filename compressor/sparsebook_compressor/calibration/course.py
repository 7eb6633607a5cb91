"""Calibration from beginning to end: look at the weights, search the price, pack what the best pass made."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto
from threadpoolctl import threadpool_limits

from sparsebook_compressor.calibrated import Calibration, CalibrationRow, PassRow
from sparsebook_compressor.calibration import passing
from sparsebook_compressor.calibration.allocation import Curve
from sparsebook_compressor.calibration.biases import biases
from sparsebook_compressor.calibration.curves import Felt, feel
from sparsebook_compressor.calibration.passing import Passed
from sparsebook_compressor.calibration.search import Found, Goal, search
from sparsebook_compressor.calibration.sites import sites
from sparsebook_compressor.calibration.subject import Origin, Subject
from sparsebook_compressor.calibration.workbench import Workbench, constants_named, overwrite
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, SharedWeight, encode_weight
from sparsebook_compressor.config import Budget, Config, Output
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    BudgetNotMet,
    NothingToCompress,
    NotTrainable,
)
from sparsebook_compressor.execution import execute
from sparsebook_compressor.graph.view import GraphView, Kept, Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.presets import CALIBRATED
from sparsebook_compressor.replacing import expected_bytes, not_smaller, replace_by_floats
from sparsebook_compressor.replacing import replace as put
from sparsebook_compressor.rewrite.halves import F16
from sparsebook_compressor.rewrite.halves import replace as put_halves
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.stages.grids import entropy
from sparsebook_compressor.summary import Done
from sparsebook_compressor.training.aim.metrics import evaluate, keep_reference
from sparsebook_compressor.training.aim.objective import Objective, decide
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.probe import probe

# What the preset allows by itself: half a point where answers are counted, a twentieth of the outputs' RMS where they are not.
_DROP, _ERROR = 0.005, 0.05
_NODE_BYTES = 256
_TOO_COARSE = "the error that was asked for is finer than 255 values give here"
_HALVES = "its floats are rounded to 16 bits"
_SEEN = {"table": "rows by use", "plain": "channels alike"}


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What came of it: to be packed, and to be reported."""

    subject: Subject
    felt: list[Felt]
    goal: Goal
    found: Found
    before: float | None
    after: float | None

    def pack(
        self, surgeon: Surgeon, view: GraphView, plan: Plan, config: Config, clock: Clock
    ) -> Done:
        """Encode what the best pass made and put it into the model; other weights go the usual way.

        Args:
            surgeon: on the model that `view` is of, which is changed.
            view: of the calibrated model, or of another copy of it.
            plan: for all weights.
            config: the caller's.
            clock: is told.
        """
        weights = {weight.name: weight for weight in view.weights}
        rows = {row.name: row for row in plan.rows}
        mine = {site.weight.name for site in self.subject.sites}
        others = replace(plan, rows=tuple(row for row in plan.rows if row.name not in mine))
        done = execute(surgeon, view, others, config, clock)
        coded: list[Coded] = list(done.coded)
        left = list(done.kept)
        for made in passing.made(self.subject, self.found.best):
            weight = weights[made.weight.name]
            if made.coded is None:
                left.append(_left(surgeon, weight, made.halves, config.output))
                continue
            with clock.stage("encode"):
                row = _settled(rows[weight.name], made.coded.codes)
                result, payload = encode_weight(weight, row, _shared(weight, made.coded))
            expected = expected_bytes(result, payload, config.output)
            if expected >= weight.stored_bytes:
                left.append(
                    Kept(weight.name, weight.shape, weight.stored_bytes, not_smaller(expected))
                )
                continue
            with clock.stage("pack"):
                size = put(surgeon, weight, result, made.coded, payload, config.output)
                if made.bias is not None:
                    name = self.subject.biases[weight.name].name
                    for tensor in constants_named(surgeon.model.graph, name):
                        overwrite(tensor, made.bias)
            coded.append(result.stored_as(size))
        return Done(tuple(coded), tuple(left))

    def facts(self) -> Calibration:
        """For the report."""
        dataset = self.subject.dataset
        passes = self.found.passes
        return Calibration(
            inputs=self.subject.origin,
            samples=self.subject.used,
            eval_samples=dataset.samples("eval"),
            test_samples=dataset.samples("test"),
            metric=str(self.subject.objective.describe()["metric"]),
            goal=_words(self.goal),
            met=self.goal.met(self.found.best),
            before=self.before,
            after=self.after,
            passes=tuple(PassRow(each.price, each.bytes, each.metric) for each in passes),
            kept=passes.index(self.found.best),
            weights=tuple(self._rows()),
        )

    def fault(self) -> BudgetNotMet | None:
        """That what the caller asked for was not reached."""
        if self.goal.met(self.found.best) or not self.goal.asked:
            return None
        best = self.found.best
        reached = (
            f"{self.goal.ratio(best):.4g} times smaller"
            if self.goal.kind == "ratio"
            else f"a drop of {self.goal.drop(best):.4g}"
        )
        return BudgetNotMet(
            f"{_words(self.goal)}: the best of {len(self.found.passes)} passes came to {reached}; the bundle is there all the same. "
            "Allow more, or give more samples"
        )

    def _rows(self) -> Iterator[CalibrationRow]:
        best = self.found.best
        every = passing.made(self.subject, best)
        for felt, made in zip(self.felt, every, strict=True):
            weight = made.weight
            if made.coded is None:
                size = weight.stored_bytes if made.halves is None else made.halves.nbytes
                density, bits = 1.0, 8.0 * size / weight.elements
            else:
                counts = np.bincount(made.coded.codes)
                density, bits = 1 - int(counts[0]) / weight.elements, entropy(counts)
            yield CalibrationRow(
                name=weight.name,
                seen=_SEEN.get(felt.site.kind, "second moments"),
                vectors=felt.vectors,
                sensitivity=felt.response.first,
                density=density,
                bits=bits,
                loss=best.losses[weight.name],
                bias=made.bias is not None,
            )


@dataclass(frozen=True, eq=False)
class Originally:
    """The user's model: its file, what was parsed of it, its weights, what is planned for them, its bytes, and how many go anyway."""

    path: Path
    parsed: ModelProto
    view: GraphView
    plan: Plan
    bytes: int
    traces: int = 0


@dataclass(frozen=True, eq=False)
class Ready:
    """A model whose weights were looked at, so that passes at any price can be made.

    Attributes:
        subject: on its workbench.
        felt: what is known of every weight.
        goal: what is wanted.
        reference: what the original gives on the eval part.
        clock: is told.
    """

    subject: Subject
    felt: list[Felt]
    goal: Goal
    reference: Path
    clock: Clock

    @property
    def curves(self) -> list[Curve]:
        """Bits against the outputs' error, of every weight."""
        return [each.curve for each in self.felt]

    def run(self, price: float, number: int) -> Passed:
        """Make a pass at a price of a bit."""
        return passing.run(self.subject, self.felt, price, self.reference, self.clock, number)

    def settle(self, found: Found) -> Calibrated:
        """Keep the best of some passes, measured on the test part."""
        with self.clock.stage("share"):
            ends = _ends(self.subject, found.best)
        return Calibrated(self.subject, self.felt, self.goal, found, *ends)


def calibrate(
    original: Originally,
    dataset: Dataset,
    origin: Origin,
    config: Config,
    folder: Path,
    clock: Clock,
) -> Calibrated:
    """Decide density and codebook of the weights that a plan leaves to calibration.

    Args:
        original: the model; it is not changed.
        dataset: with samples in all three parts.
        origin: where they are from.
        config: the caller's.
        folder: for files; it must not exist.
        clock: is told.

    Raises:
        BadData: there are no samples to look at; the original does not run on them, or gives no finite metric.
        BadValue: a metric that the model does not have.
    """
    with alone():
        ready = prepare(original, dataset, origin, config, folder, clock)
        return ready.settle(
            search(ready.goal, ready.curves, ready.run, passing.dearest(ready.felt))
        )


@contextmanager
def alone() -> Iterator[None]:
    """One thread for BLAS: how it splits sums depends on their number, so that one gives the same bytes on every machine of a kind."""
    with threadpool_limits(1, user_api="blas"):
        yield


def prepare(
    original: Originally,
    dataset: Dataset,
    origin: Origin,
    config: Config,
    folder: Path,
    clock: Clock,
) -> Ready:
    """Look at every weight once; arguments and errors are those of `calibrate`."""
    if not dataset.samples("train"):
        raise BadData(
            "calibration looks at plain samples, and the data has test_ arrays alone; give plain arrays too"
        )
    with clock.stage("plan"):
        subject = _subject(original, dataset, origin, config, folder)
        reference = folder / "eval"
        keep_reference(original.path, dataset, "eval", subject.objective, reference)
        before = evaluate(original.path, None, dataset, "eval", subject.objective, reference)
        if before is None:
            raise BadData(
                "the original's metric on the eval part is no finite number; leave such samples out"
            )
    felt = feel(subject, clock)
    weights = sum(site.weight.stored_bytes for site in subject.sites)
    size = original.bytes
    # A weight's payload brings a node, names and a tensor's head along.
    fixed = size - original.traces - weights + _NODE_BYTES * len(subject.sites)
    goal = _goal(config.budget, subject.objective, before, size, fixed)
    return Ready(subject, felt, goal, reference, clock)


def _subject(
    original: Originally, dataset: Dataset, origin: Origin, config: Config, folder: Path
) -> Subject:
    model, parsed = original.path, original.parsed
    objective = _objective(parsed, dataset, model, config)
    names = {row.name for row in original.plan.rows if row.why == CALIBRATED}
    bench = Workbench(model, parsed, names, folder / "bench")
    found = sites([weight for weight in original.view.weights if weight.name in bench.names])
    if not found:
        raise NothingToCompress(
            f"{model.name}: the config or its local functions leave no weight to calibrate; take the preset 'safe'"
        )
    return Subject(
        model=model,
        bench=bench,
        sites=tuple(found),
        biases=biases(parsed, found),
        dataset=dataset,
        objective=objective,
        origin=origin,
        samples=config.calibrate.samples,
        folder=folder,
    )


def _objective(parsed: ModelProto, dataset: Dataset, model: Path, config: Config) -> Objective:
    """What a pass is judged by.

    Raises:
        BadValue: the model has no output to judge by.
    """
    probed = probe(model, dataset)
    try:
        return decide(parsed, dataset, probed, metric=config.budget.metric)
    except NotTrainable as error:
        raise BadValue(
            f"{model.name}: no output is a tensor of floats, and none is a final ArgMax, so that the preset small has nothing to judge "
            "by; take 'safe' or 'paper'"
        ) from error


def _goal(budget: Budget, objective: Objective, before: float, original: int, fixed: int) -> Goal:
    squared = objective.metric == "fidelity" and objective.against == "original"
    if budget.max_drop is None and budget.min_ratio is not None:
        return Goal("ratio", budget.min_ratio, True, before, squared, original, fixed)
    counted = objective.metric in ("accuracy", "agreement", "retrieval")
    own = _DROP if counted else _ERROR
    limit = own if budget.max_drop is None else budget.max_drop
    return Goal("drop", limit, budget.max_drop is not None, before, squared, original, fixed)


def _ends(subject: Subject, best: Passed) -> tuple[float | None, float | None]:
    """The metric on the test part, before and after: read once, now that everything is decided."""
    reference = subject.folder / "test"
    keep_reference(subject.model, subject.dataset, "test", subject.objective, reference)
    before = evaluate(subject.model, None, subject.dataset, "test", subject.objective, reference)
    subject.restore()
    for made in passing.made(subject, best):
        values = made.values()
        if values is not None:
            subject.bench.put(made.weight.name, values)
        if made.bias is not None:
            subject.bench.set_constant(subject.biases[made.weight.name].name, made.bias)
    whole = subject.bench.whole()
    after = evaluate(whole, None, subject.dataset, "test", subject.objective, reference)
    return before, after


def _left(surgeon: Surgeon, weight: Weight, halves: F16 | None, output: Output) -> Kept:
    """A weight for which 255 values are not fine enough, where they are kept put into the model as halves."""
    if halves is None:
        return Kept(weight.name, weight.shape, weight.stored_bytes, _TOO_COARSE)
    if output == "dense":
        replace_by_floats(surgeon, weight, halves.reshape(-1).astype(np.float32))
        return Kept(weight.name, weight.shape, weight.stored_bytes, f"{_TOO_COARSE}: {_HALVES}")
    size = put_halves(surgeon, weight, halves)
    return Kept(weight.name, weight.shape, size, f"{_TOO_COARSE}: {_HALVES}")


def _shared(weight: Weight, coded: CodedWeight) -> SharedWeight:
    """How far codes are from the weight's floats."""
    values = weight.read()
    error = float(np.square(values - coded.values().reshape(-1), dtype=np.float64).sum())
    norm = float(np.square(values, dtype=np.float64).sum())
    return SharedWeight(coded, error, norm)


def _settled(row: PlanRow, codes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> PlanRow:
    """The plan's row with what was decided."""
    density = int(np.count_nonzero(codes)) / len(codes)
    return replace(
        row, density=density, centroids=max(1, int(codes.max(initial=0))), why="calibrated"
    )


def _words(goal: Goal) -> str:
    if goal.kind == "ratio":
        return f"budget.min_ratio {goal.limit:g}"
    whose = "budget.max_drop" if goal.asked else "the preset's own drop of"
    return f"{whose} {goal.limit:g}"
