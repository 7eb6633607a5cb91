"""Runs a plan from file to bundle; the only orchestration.

Without training, a weight goes all the way before the next one is read, so that besides the model there is never more than
one weight's codes. With training the weights wait for each other in files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from onnx import ModelProto

from sparsebook_compressor import admit, feeds, gates, measure, pack
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.demands import asks, require_data
from sparsebook_compressor.errors import (
    BadData,
    NotTrainable,
    SparsebookError,
)
from sparsebook_compressor.execution import execute
from sparsebook_compressor.graph.view import GraphView, survey
from sparsebook_compressor.layers import layers, with_forms
from sparsebook_compressor.plan import Plan, make_plan, require_work
from sparsebook_compressor.progress import Listener
from sparsebook_compressor.replacing import finish
from sparsebook_compressor.report import Fidelity, Report
from sparsebook_compressor.reporting import page
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.summary import require_gain, summarise
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.course.beginning import Means, Original, begin
from sparsebook_compressor.training.course.course import Course
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.trying import smallest_table


def compress(
    model: Path,
    out: Path,
    config: Config | None = None,
    *,
    data: Path | Sequence[Path] | None = None,
    loss: Path | None = None,
    metric: Path | None = None,
    trainer: Trainer | None = None,
    operator_library: Path | None = None,
    platform: str | None = None,
    other_libraries: Mapping[str, Path] | None = None,
    progress: Listener | None = None,
    verify: bool = True,
) -> Report:
    """Compress a model file into a bundle folder.

    Args:
        model: the .onnx file; its external data lies in the same folder.
        out: the bundle folder, which must not exist or be empty; it appears whole or not at all.
        config: what to do; the preset `safe` by default.
        data: an .npz, or several that continue each other, with samples to retrain with and to compare the artifact with
            the original on (docs/data.md); without it the comparison is on synthetic inputs.
        loss: a small .onnx graph to train for, in the place of the built-in losses.
        metric: a small .onnx graph to measure by, in the place of the built-in metrics.
        trainer: carries training orders out; without one nothing is retrained.
        operator_library: goes into the bundle and runs the artifact in verify, where the output is `operator`;
            without it such an artifact is not verified, and the report says so.
        platform: the library's platform, such as linux-x86_64.
        other_libraries: platform -> the same library for it; they go into the bundle where it does.
        progress: is told about every stage and weight.
        verify: whether the artifact is run against the original.

    Raises:
        InputError: model, config or data cannot be used; the class says which.
        BudgetNotMet, Diverged, GateNotMet: the bundle is there and holds the best that was found.
        StorageFull: no room left for the bundle.
        InternalError: the artifact does not run though the original does, or the worker failed.
    """
    config = config or Config()
    files = () if data is None else (data,) if isinstance(data, Path) else tuple(data)
    require_data(config, files, loss, metric, trains=trainer is not None)
    job = _Job(
        model,
        config,
        files,
        loss,
        metric,
        trainer,
        Clock(progress, training=bool(trainer and files)),
    )
    with pack.fresh_folder(out) as folder, pack.folder_beside(out) as scratch:
        report, fault = job.run(
            folder, scratch, operator_library, platform, other_libraries, verify
        )
    if fault is not None:
        raise fault
    return report


@dataclass(eq=False)
class _Job:
    model: Path
    config: Config
    files: tuple[Path, ...]
    loss: Path | None
    metric: Path | None
    trainer: Trainer | None
    clock: Clock

    def run(
        self,
        folder: Path,
        scratch: Path,
        library: Path | None,
        platform: str | None,
        others: Mapping[str, Path] | None,
        verify: bool,
    ) -> tuple[Report, SparsebookError | None]:
        """Make the bundle in `folder`; the report, and what is to be said of the bundle all the same."""
        clock, config, model = self.clock, self.config, self.model
        runs = library if config.output == "operator" else None
        with clock.stage("admit"):
            parsed = admit.load(model)
            source = pack.source_facts(model, parsed)
            specs = feeds.input_specs(parsed)
            own = OwnGraphs.read(self.loss, self.metric, parsed)
            dataset = self._dataset(own, specs, scratch)
        with clock.stage("survey"):
            view = survey(parsed, model)
            rows = smallest_table(view)
        with clock.stage("plan"):
            plan = make_plan(view, config)
            require_work(plan, model.name)
        course, remark = self._course(parsed, view, plan, dataset, own, scratch)
        if course is not None:
            try:
                plan = course.run()
            except NotTrainable as error:
                course, remark = None, self._untrained(error)
        surgeon = Surgeon(parsed)
        if course is None:
            done = execute(surgeon, view, plan, config, clock)
        else:
            done = course.pack(surgeon)
        require_gain(done, model.name)
        with clock.stage("pack"):
            finish(surgeon, config.output)
            payloads = surgeon.payloads
            found = layers(parsed, payloads)
            pack.write_model(parsed, folder, model)
            del view, surgeon, parsed
            pack.add_libraries(folder, runs, platform, others)
        artifact = folder / pack.MODEL_NAME
        with clock.stage("verify"):
            reason = _unverifiable(verify, config, runs)
            if reason is not None:
                fidelity = Fidelity("none", 0, config.output, (), reason)
            else:
                fidelity = measure.fidelity(
                    model,
                    artifact,
                    specs,
                    self._feeds(specs, dataset),
                    rows=rows,
                    seed=config.seed,
                    output=config.output,
                    library=runs,
                    timed=config.budget.max_latency_ms is not None,
                )
                if runs is not None and fidelity.skipped is None:
                    found = with_forms(found, payloads, measure.forms(artifact, runs))
            protocol = None if course is None else course.protocol(artifact, runs)
        report = summarise(
            source,
            pack.facts(folder),
            config,
            plan,
            done,
            fidelity,
            clock.costs(),
            found,
            protocol,
            () if remark is None else (remark,),
        )
        pack.write_papers(folder, report, page.document(report))
        fault = None if course is None else course.fault()
        return report, fault or gates.missed(config.budget, report)

    def _dataset(
        self, own: OwnGraphs, specs: tuple[feeds.InputSpec, ...], scratch: Path
    ) -> Dataset | None:
        """The data checked and split; without training, the test part alone."""
        if not self.files:
            return None
        trains = self.trainer is not None and self.config.train.loss != "none"
        return Dataset.prepare(
            self.files, specs, scratch / "data", self.config.seed, own.arrays, trains=trains
        )

    def _feeds(
        self, specs: tuple[feeds.InputSpec, ...], dataset: Dataset | None
    ) -> list[feeds.Feed] | None:
        """What the artifact is compared with the original on: samples of the test part; None makes some up."""
        if dataset is None:
            return None
        names = [spec.name for spec in specs]
        return list(islice(dataset.batches("test", 1, names), feeds.MOST_SAMPLES))

    def _course(
        self,
        parsed: ModelProto,
        view: GraphView,
        plan: Plan,
        dataset: Dataset | None,
        own: OwnGraphs,
        scratch: Path,
    ) -> tuple[Course | None, str | None]:
        """What training there is to be, or a remark why there is none.

        Raises:
            NotTrainable: the graph cannot be trained, and training was asked for.
            BadData: training was asked for, and there are no samples to train with.
        """
        if dataset is None or self.config.train.loss == "none":
            return None, None
        if self.trainer is None:
            return None, "nothing was retrained: no fine-tuning worker was given"
        if not dataset.trains:
            asked = asks(self.config, self.loss, self.metric)
            if asked is not None:
                raise BadData(
                    f"{asked} needs samples to train with, and the data has test_ arrays alone; give plain arrays too"
                )
            return None, "nothing was retrained: the data has a test part alone"
        try:
            tuning = begin(
                Original(self.model, parsed, view),
                plan,
                dataset,
                self.config,
                own,
                Means(self.trainer, scratch, self.clock),
            )
        except NotTrainable as error:
            return None, self._untrained(error)
        weights = {weight.name: weight for weight in view.weights}
        return Course(plan, weights, tuning, self.config, scratch / "stages"), None

    def _untrained(self, error: NotTrainable) -> str:
        """The remark that the graph could not be trained, before any weight of the model was touched.

        Raises:
            NotTrainable: training was asked for.
        """
        if asks(self.config, self.loss, self.metric) is not None:
            raise error
        return f"nothing was retrained: {error}"


def _unverifiable(verify: bool, config: Config, library: Path | None) -> str | None:
    if not verify:
        return "verify was switched off"
    if config.output == "operator" and library is None:
        return "no operator library was given to run the artifact with"
    return None
