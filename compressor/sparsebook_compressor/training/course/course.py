"""The course of a compression with training: prune, retrain, share, tune; and the account of it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadData, BudgetNotMet, Diverged, SparsebookError
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.plan import Plan
from sparsebook_compressor.protocol import (
    ARTIFACT,
    ORIGINAL,
    PRUNED,
    RETRAINED,
    SHARED,
    TUNED,
    EpochRow,
    Protocol,
    StageMetric,
)
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.summary import Done
from sparsebook_compressor.training.aim.metrics import evaluate
from sparsebook_compressor.training.course.budget import Search, search
from sparsebook_compressor.training.course.packing import pack_trained
from sparsebook_compressor.training.course.rounds import prune, prune_and_retrain, share
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.forward import Forward
from sparsebook_compressor.training.orders.graphs import write_inference
from sparsebook_compressor.training.orders.values import Values


@dataclass(eq=False)
class Course:
    """Carries a plan out, or finds the plan that a budget allows.

    Attributes:
        plan: as made from the config; after `run`, the one that was carried out.
        weights: all of the model's, by name.
        tuning: trains.
        folder: for the models as they are between stages, which the test part sees when all is frozen.
    """

    plan: Plan
    weights: Mapping[str, Weight]
    tuning: FineTuning
    config: Config
    folder: Path
    _models: dict[str, Path] = field(default_factory=dict)
    _search: Search | None = None
    _original: EpochRow | None = None

    def run(self) -> Plan:
        """Everything up to the tuned centroids; the plan that was carried out.

        Raises:
            BadData: the original's own metric is no finite number.
            NotTrainable: the worker refuses the graph of the first training.
        """
        self.folder.mkdir(parents=True)
        self._original = self._look_at_original()
        if self.config.budget.max_drop is None:
            self._carry_out()
        else:
            self._search = search(self.plan, self.weights, self.tuning, self.config, self._keep)
            self.plan = self._search.plan
        self._keep_pruned()
        return self.plan

    def pack(self, surgeon: Surgeon) -> Done:
        """Put all that was trained into the model."""
        return pack_trained(
            surgeon,
            self.plan,
            self.weights,
            self.tuning.task.trainable.vectors,
            self.tuning.values,
            self.tuning.journal.retrained,
            self.config.output,
            self.tuning.task.clock,
        )

    def protocol(self, artifact: Path, library: Path | None) -> Protocol:
        """The account, with the metric of every stage on the test part: read here for the first time.

        Args:
            artifact: the file as it goes out.
            library: runs it where it has operators; without one the tuned graph stands for it.
        """
        task, journal = self.tuning.task, self.tuning.journal
        runs = library is not None or self.config.output != "operator"
        self._keep(TUNED)
        models = {ORIGINAL: task.source, **self._models}
        stages: list[StageMetric] = []
        for stage in (ORIGINAL, PRUNED, RETRAINED, SHARED, TUNED):
            if stage in models:
                self._measure(stage, models[stage], None, stages)
        if runs:
            self._measure(ARTIFACT, artifact, library, stages)
        described = task.objective.describe()
        return Protocol(
            loss=described["loss"],
            metric=described["metric"],
            splits={facts.part: dataclasses.asdict(facts) for facts in task.dataset.splits},
            settings=self._settings(described),
            stages=tuple(stages),
            phases=tuple(journal.phases),
            points=() if self._search is None else self._search.points,
            frozen=tuple((frozen.weight, frozen.reason) for frozen in task.trainable.frozen),
            rewritten=task.trainable.rewritten,
            versions=journal.versions,
            original=self._original,
            selection=task.selection,
            cuts=tuple(journal.cuts),
            refused=tuple(journal.refused),
            unfelt=() if self._search is None else self._search.unfelt,
        )

    def fault(self) -> SparsebookError | None:
        """What must be said although the bundle is written."""
        if self._search is not None:
            # Points that diverged are among the points; what counts is what the chosen one came to.
            best = self._search.chosen
            if best.met:
                return None
            found = "no finite number" if best.drop is None else f"{best.drop:.4g}"
            return BudgetNotMet(
                f"budget.max_drop {self.config.budget.max_drop:g}: the least drop that was found on the eval part is "
                f"{found}, with {best.bytes} bytes of weights ({best.ratio:.1f}x); the bundle holds that one; allow "
                "a larger drop, more train.epochs, or give more data"
            )
        bad = self.tuning.journal.diverged
        if bad is not None:
            return Diverged(
                f"{bad.stage} {bad.number}: the loss was not finite in the first epoch, at every learning rate down to "
                f"{bad.learning_rate:g}; the bundle holds the last good state, the one before it; set a lower "
                "train.learning_rate, or look at the data's range"
            )
        return None

    def _look_at_original(self) -> EpochRow | None:
        """Its loss and metric on the eval part, where there is one."""
        tuning = self.tuning
        if not tuning.task.dataset.samples("eval"):
            return None
        path = self.folder / "loss.onnx"
        forward = Forward(tuning, path)
        found = forward.evaluate(forward.feeds())
        path.unlink()
        if found.metric is None:
            raise BadData(
                f"{tuning.task.objective.describe()['metric']}: the original's own on the eval part is no finite number, so that "
                "nothing can be compared with it; give another metric, or leave out the samples on which it gives none"
            )
        return found

    def _carry_out(self) -> None:
        tuning = self.tuning
        prune_and_retrain(self.plan, tuning)
        self._keep(RETRAINED)
        floats = tuning.values.fork()
        share(self.plan, self.weights, tuning.values, self.config.output, tuning.task.clock)
        self._keep(SHARED)
        shared = [row.name for row in self.plan.rows if row.name in tuning.values.codebooks]
        if self.config.share.retrain:
            rounds = tuning.task.settings.round_epochs
            tuning.settle(shared, floats, len(rounds) + 1, rounds[-1])
        tuning.tune(shared)

    def _keep_pruned(self) -> None:
        """The model pruned at one go to the plan's densities, and not retrained: what the referees asked to see."""
        values = Values(self.weights.values(), self.folder / "pruned")
        prune(self.plan, values, self.tuning.task.clock)
        self._keep(PRUNED, values)

    def _keep(self, stage: str, values: Values | None = None) -> None:
        path = self.folder / f"{stage}.onnx"
        write_inference(path, self.tuning.task, values or self.tuning.values)
        self._models[stage] = path

    def _measure(
        self, stage: str, model: Path, library: Path | None, stages: list[StageMetric]
    ) -> None:
        task = self.tuning.task
        metric = evaluate(
            model, library, task.dataset, "test", task.objective, task.reference("test")
        )
        before = stages[0].metric if stages else metric
        stages.append(StageMetric.after(stage, metric, before))

    def _settings(self, described: Mapping[str, Any]) -> dict[str, Any]:
        kept = (
            "metric_is_share",
            "against",
            "classes",
            "temperature",
            "own_loss",
            "own_metric",
        )
        settings = self.tuning.task.settings
        return {
            **dataclasses.asdict(settings),
            **self._epochs(),
            **{key: described[key] for key in kept if described.get(key) is not None},
            "prune": "magnitude",
            "scope": self.plan.scope,
            "max_drop": self.config.budget.max_drop,
        }

    def _epochs(self) -> dict[str, Any]:
        """A budget search has no rounds, and epochs of its own."""
        if self._search is None:
            settings = self.tuning.task.settings
            return {
                "round_epochs": list(settings.round_epochs),
                "tune_epochs": settings.tune_epochs,
            }
        epochs = self._search.epochs
        return {
            "round_epochs": [],
            "point_epochs": epochs.point,
            "final_epochs": epochs.final,
            "tune_epochs": epochs.tune,
        }
