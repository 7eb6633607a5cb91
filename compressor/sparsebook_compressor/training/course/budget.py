"""The budget search: the smallest file whose metric on the eval part drops at most so much.

The search is itself a gradual pruning. It goes down a ladder of sizes; at each rung the weights are pruned further from
where the training of the rung above has left them, retrained, shared, tuned and measured. How far each weight is pruned at
a rung follows its sensitivity: of all plans of that size the one that is expected to hurt least. Where the budget breaks,
smaller steps are tried from the last good rung; where the very first rung breaks it, gentler ones are tried, up to sharing
alone. Then codes are made narrower as far as the budget bears it; then the point that was found is trained longer.

What the loss does not depend on is left as the plan has it: no damage there is a lack of evidence.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadData
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.plan import Plan, PlanRow, matches
from sparsebook_compressor.protocol import RETRAINED, SHARED, Point, PointWeight
from sparsebook_compressor.training.aim.metrics import evaluate
from sparsebook_compressor.training.course.allocation import allocate
from sparsebook_compressor.training.course.rounds import bytes_now, prune, share
from sparsebook_compressor.training.course.sensitivity import (
    LEAST_DENSITY,
    Sensitivity,
    sensitivities,
)
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.graphs import write_inference
from sparsebook_compressor.training.orders.values import Values

# Density and bits that most models bear; where they do not, the gentler ones, down to sharing alone.
_FIRST = (0.5, 6)
_GENTLER = ((0.8, 8), (1.0, 8))
# A rung has this share of the elements of the one above.
_STEP = 0.6
# Behind a rung that breaks the budget: how far from the last good one to it, in the logarithm of the density.
_FINER = (0.5, 0.25)
# Of all weights at once.
_LEAST_BITS = 3
# Of the eval part. The search takes the best of some fifteen points on it: on a handful of samples one of them keeps any budget by chance.
LEAST_SAMPLES = 20
# Weights whose codes are narrowed one by one; the others have too few bytes to be worth their time.
_MOST_NARROWED = 4
# Shares of the config's epochs that a point of the search, and the one that was found, are trained for.
_POINT, _FINAL = 0.2, 0.6


@dataclass(frozen=True, slots=True)
class Epochs:
    """Of a search.

    Attributes:
        point: of retraining, at every rung from the first one down.
        final: of retraining at the gentler rungs, and of what was found.
        tune: of the centroids, at every point.
    """

    point: int
    final: int
    tune: int

    @classmethod
    def of(cls, epochs: int) -> "Epochs":
        """Shares of what the config gives a whole compression."""
        point, final = (max(1, round(epochs * share)) for share in (_POINT, _FINAL))
        return cls(point, final, max(1, point // 2))


@dataclass(frozen=True, slots=True)
class Search:
    """What was found.

    Attributes:
        plan: of the chosen point.
        points: all that were evaluated.
        chosen: the one that the artifact is made of.
        epochs: of its trainings.
        unfelt: names of weights that the loss does not depend on, which are as the plan had them.
    """

    plan: Plan
    points: tuple[Point, ...]
    chosen: Point
    epochs: Epochs
    unfelt: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _State:
    """A point with its plan and weights: as they are, and as they were before sharing."""

    point: Point
    plan: Plan
    values: Values
    floats: Values


def search(
    plan: Plan,
    weights: Mapping[str, Weight],
    tuning: FineTuning,
    config: Config,
    keep: Callable[[str, Values], None],
) -> Search:
    """Find the smallest plan within the budget and leave its weights in `tuning.values`.

    Args:
        plan: names the weights; a density or bits that the config sets itself stay.
        weights: by name.
        tuning: trains, and holds the weights.
        config: with `budget.max_drop`.
        keep: writes the model as it is after a stage, for the account.

    Raises:
        BadData: the eval part has fewer than LEAST_SAMPLES samples, or the original's metric on it is no finite number.
        NotTrainable: the worker refuses the graph of the first training.
    """
    epochs = Epochs.of(sum(tuning.task.settings.round_epochs))
    found = _Search(plan, weights, tuning, config, epochs)
    best = found.run()
    keep(RETRAINED, best.floats)
    shared = best.floats.fork()
    share(best.plan, weights, shared, config.output, tuning.task.clock)
    keep(SHARED, shared)
    tuning.values = best.values
    points = tuple(replace(point, chosen=point is best.point) for point in found.points)
    return Search(best.plan, points, replace(best.point, chosen=True), epochs, found.unfelt)


@dataclass(eq=False)
class _Search:
    plan: Plan
    weights: Mapping[str, Weight]
    tuning: FineTuning
    config: Config
    epochs: Epochs
    points: list[Point] = field(default_factory=list)
    sensitivity: dict[str, Sensitivity] = field(default_factory=dict)
    free: list[PlanRow] = field(default_factory=list)
    unfelt: tuple[str, ...] = ()
    before: float = 0.0
    # How many of the points that there may be are done or passed over.
    passed: int = 0

    def run(self) -> _State:
        tuning = self.tuning
        self._check_samples()
        before = self._metric(None)
        if before is None:
            raise BadData(
                "budget.max_drop: the original's own metric on the eval part is no finite number, so that no drop can be told; "
                "give another metric, or leave out the samples on which it gives none"
            )
        self.before = before
        with tuning.task.clock.stage("prune"):
            self._feel()
        best = self._descend()
        if best.point.met:
            best = self._narrow(best)
            best = self._lengthen(best)
        return best

    def _check_samples(self) -> None:
        samples = self.tuning.task.dataset.samples("eval")
        if samples < LEAST_SAMPLES:
            raise BadData(
                f"budget.max_drop: the eval part has {samples} samples, on which no drop can be told from chance; a budget needs "
                f"{LEAST_SAMPLES} and some hundreds to mean something: give more data, or arrays eval_... of their own"
            )

    def _feel(self) -> None:
        """Take the sensitivity of what the config leaves open; what the loss does not depend on is not for the search."""
        opened = [
            row
            for row in self.plan.rows
            if not (self._sets(row, "density", "threshold") and self._sets(row, "bits"))
        ]
        self.sensitivity = sensitivities(
            self.tuning, opened, self.tuning.task.folder / "sensitivity"
        )
        felt = [row for row in opened if self.sensitivity[row.name].felt]
        self.free = [row for row in felt if not self._sets(row, "density", "threshold")]
        self.unfelt = tuple(row.name for row in opened if row not in felt)

    def _descend(self) -> _State:
        """Down the ladder to the last rung within the budget; the least harmful point where there is none."""
        start = self.tuning.values
        density, bits = _FIRST
        best = self._point(self._at(density, bits), start, self.epochs.point)
        if not best.point.met:
            return self._ascend(best, start)
        # Where the config decides all densities there is one point alone.
        for lower in self._rungs():
            below = self._point(self._at(lower, bits), best.floats, self.epochs.point)
            if not below.point.met:
                return self._finer(best, density, lower, bits)
            best, density = below, lower
        return best

    def _rungs(self) -> list[float]:
        """Densities below the first one, from high to low."""
        rungs = []
        density = _FIRST[0] * _STEP
        while self.free and density > LEAST_DENSITY:
            rungs.append(density)
            density *= _STEP
        return rungs

    def _ascend(self, failed: _State, start: Values) -> _State:
        """Up from a first rung that breaks the budget, trained longer than it was."""
        tried = [failed]
        above = _FIRST[0]
        for density, bits in _GENTLER:
            plan = self._at(density, bits)
            # What the config decides is the same at every rung: once more is enough.
            if plan in (state.plan for state in tried[1:]):
                break
            found = self._point(plan, start, self.epochs.final)
            if found.point.met:
                return self._finer(found, density, above, bits) if self.free else found
            tried.append(found)
            above = density
        return min(tried, key=lambda state: (_drop(state), state.point.bytes))

    def _finer(self, best: _State, density: float, failed: float, bits: int) -> _State:
        """Between a density within the budget, at which `best` is, and a lower one beyond it."""
        for part in _FINER:
            between = density * (failed / density) ** part
            found = self._point(self._at(between, bits), best.floats, self.epochs.point)
            if found.point.met:
                return found
        return best

    def _narrow(self, best: _State) -> _State:
        """Codebooks of fewer centroids: all weights at once, then the largest one by one."""
        self.passed = self._most_steps()
        rows = [row for row in best.plan.rows if self._opens_bits(row)]
        widest = max((row.bits for row in rows), default=0)
        for bits in range(widest - 1, _LEAST_BITS - 1, -1):
            narrowed = self._shared(_with_bits(best.plan, [row.name for row in rows], bits), best)
            if not narrowed.point.met or narrowed.point.bytes >= best.point.bytes:
                break
            best = narrowed
        rows.sort(key=lambda row: -row.elements)
        for row in rows[:_MOST_NARROWED]:
            current = next(found for found in best.plan.rows if found.name == row.name)
            if current.bits > 1:
                narrowed = self._shared(_with_bits(best.plan, [row.name], current.bits - 1), best)
                if narrowed.point.met and narrowed.point.bytes < best.point.bytes:
                    best = narrowed
        return best

    def _lengthen(self, best: _State) -> _State:
        """Train what was found longer; it is taken where it is smaller still, or as small and better."""
        self.passed = self._most_points() - 1
        longer = self._point(best.plan, best.floats, self.epochs.final, last=True)
        if not longer.point.met:
            return best
        return min((best, longer), key=lambda state: (state.point.bytes, _drop(state)))

    def _point(self, plan: Plan, start: Values, epochs: int, *, last: bool = False) -> _State:
        """Prune to a plan from some weights on, retrain, share, tune, measure; pruning goes on unless it is the last."""
        tuning = self.tuning
        with self._one_more():
            tuning.values = start.fork()
            number = len(self.points) + 1
            cuts = prune(plan, tuning.values, tuning.task.clock)
            tuning.journal.cuts += (replace(cut, number=number) for cut in cuts)
            names = [row.name for row in plan.rows]
            rate = 0.0 if last else tuning.task.settings.rate
            tuning.retrain(names, number, epochs, rate)
            return self._share(plan, tuning.values)

    def _shared(self, plan: Plan, state: _State) -> _State:
        """Another sharing of the same floats."""
        with self._one_more():
            return self._share(plan, state.floats)

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        """Inside is a point, for who waits: one of as many as there may be, so that what is passed over is a leap."""
        with self.tuning.task.clock.one_of(self.passed, self._most_points(), "prune", "tune"):
            yield
        self.passed += 1

    def _most_steps(self) -> int:
        """Points on the way down, or up, at most."""
        return 1 + max(len(self._rungs()), len(_GENTLER)) + len(_FINER)

    def _most_points(self) -> int:
        """Those, the narrower ones, and the last."""
        widest = max(bits for _, bits in (_FIRST, *_GENTLER))
        return self._most_steps() + max(0, widest - _LEAST_BITS) + _MOST_NARROWED + 1

    def _share(self, plan: Plan, floats: Values) -> _State:
        tuning = self.tuning
        tuning.values = floats.fork()
        share(plan, self.weights, tuning.values, self.config.output, tuning.task.clock)
        shared = [row.name for row in plan.rows if row.name in tuning.values.codebooks]
        tuning.tune(shared, len(self.points) + 1, self.epochs.tune)
        point = self._measure(plan)
        self.points.append(point)
        return _State(point, plan, tuning.values, floats)

    def _measure(self, plan: Plan) -> Point:
        values = self.tuning.values
        size = before = nonzeros = elements = 0
        weights = []
        for row in plan.rows:
            weight = self.weights[row.name]
            left = values.nonzeros(row.name)
            before += weight.stored_bytes
            elements += row.elements
            nonzeros += left
            weights.append(PointWeight(row.name, left / max(1, row.elements), row.bits))
            size += bytes_now(weight, row, values, self.config.output)
        metric = self._metric(values)
        drop = None if metric is None else self.before - metric
        limit = self.config.budget.max_drop
        assert limit is not None
        return Point(
            number=len(self.points) + 1,
            bytes=size,
            ratio=before / max(1, size),
            density=nonzeros / max(1, elements),
            metric=metric,
            drop=drop,
            # A drop of exactly the budget is within it, whatever the last bit of two sums says.
            met=drop is not None and drop <= limit + 1e-9,
            chosen=False,
            plan=tuple(weights),
        )

    def _metric(self, values: Values | None) -> float | None:
        """On the eval part: of the original, or of the graph with these values."""
        task = self.tuning.task
        path = task.source
        if values is not None:
            path = task.folder / "point.onnx"
            write_inference(path, task, values)
        reference = task.reference("eval")
        return evaluate(path, None, task.dataset, "eval", task.objective, reference)

    def _at(self, density: float, bits: int) -> Plan:
        """The plan of a mean density over the weights that the config leaves open."""
        densities = allocate(self.free, self.sensitivity, density)
        rows = []
        for row in self.plan.rows:
            made = row
            if row.name in densities:
                made = replace(made, density=densities[row.name], why="budget")
            if self._opens_bits(row):
                made = replace(made, centroids=(1 << bits) - 1, why="budget")
            rows.append(made)
        return replace(self.plan, scope="weight", rows=tuple(rows))

    def _opens_bits(self, row: PlanRow) -> bool:
        return not self._sets(row, "bits") and row.name not in self.unfelt

    def _sets(self, row: PlanRow, *keys: str) -> bool:
        """Whether the config itself decides this of a weight."""
        return any(
            matches(glob, row.name) and getattr(override, key) is not None
            for glob, override in self.config.weights.items()
            for key in keys
        )


def _with_bits(plan: Plan, names: list[str], bits: int) -> Plan:
    changed = set(names)
    rows = (
        replace(row, centroids=(1 << bits) - 1) if row.name in changed else row for row in plan.rows
    )
    return replace(plan, rows=tuple(rows))


def _drop(state: _State) -> float:
    drop = state.point.drop
    return math.inf if drop is None else drop
