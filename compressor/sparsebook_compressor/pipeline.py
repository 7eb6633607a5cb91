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
from sparsebook_compressor.base import Base
from sparsebook_compressor.calibrated import Calibration
from sparsebook_compressor.calibration import synthetic
from sparsebook_compressor.calibration.course import Calibrated, Originally, calibrate
from sparsebook_compressor.calibration.subject import Origin
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.demands import asks, require_data, require_operators
from sparsebook_compressor.errors import (
    BadData,
    NotTrainable,
    SparsebookError,
)
from sparsebook_compressor.execution import execute
from sparsebook_compressor.graph.spool import Spool
from sparsebook_compressor.graph.view import GraphView, survey
from sparsebook_compressor.layers import layers, with_forms
from sparsebook_compressor.made_up import Lookups
from sparsebook_compressor.plan import Plan, make_plan, require_work
from sparsebook_compressor.progress import Listener
from sparsebook_compressor.replacing import finish
from sparsebook_compressor.report import Fidelity, Report
from sparsebook_compressor.reporting import page
from sparsebook_compressor.rewrite import declared, folding
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.rewrite.traces import leave_out_traces
from sparsebook_compressor.summary import require_gain, summarise
from sparsebook_compressor.timing import QUICK, THOROUGH
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.course.beginning import Means, Original, begin
from sparsebook_compressor.training.course.course import Course
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.updates.making import make_update
from sparsebook_compressor.updates.records import UPDATE_NAME

# Larger models are verified part by part. ONNX Runtime may take three times the floats: as they are, packed, and folded.
MOST_WHOLE = 1 << 30
_TRACES_WORTH_A_WORD = 1 << 10


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
    base: Path | None = None,
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
        base: the last release's artifact. Weights keep its codebooks and codes as far as their error allows, and the bundle has
            an update besides: what makes the new artifact of that one (docs/updates.md). Where the model is retrained here,
            weights are coded anew.
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
    require_operators(config, base is not None)
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
            folder, scratch, operator_library, platform, other_libraries, base, verify
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
    # What calibration was done on for lack of data.
    made_up: Dataset | None = None
    # Bytes of the exporter's notes that go.
    traces: int = 0

    def run(
        self,
        folder: Path,
        scratch: Path,
        library: Path | None,
        platform: str | None,
        others: Mapping[str, Path] | None,
        base: Path | None,
        verify: bool,
    ) -> tuple[Report, SparsebookError | None]:
        """Make the bundle in `folder`; the report, and what is to be said of the bundle all the same."""
        clock, config, model = self.clock, self.config, self.model
        runs = library if config.output == "operator" else None
        with clock.stage("admit"):
            parsed = admit.load(model)
            source = pack.source_facts(model, parsed)
            specs = feeds.input_specs(parsed)
            release = None if base is None else Base.of(base)
            own = OwnGraphs.read(self.loss, self.metric, parsed)
            self.traces = _tidied(parsed, model)
            dataset = self._dataset(own, specs, scratch)
        with clock.stage("survey"):
            view = survey(parsed, model)
            lookups = Lookups.of(parsed, view)
        with clock.stage("plan"):
            plan = make_plan(view, config)
            require_work(plan, model.name, parsed)
        calibrated = self._calibrated(parsed, view, plan, dataset, specs, source.bytes, scratch)
        course, remark = self._course(parsed, view, plan, dataset, own, scratch)
        if course is not None:
            try:
                plan = course.run()
            except NotTrainable as error:
                course, remark = None, self._untrained(error)
        surgeon = Surgeon(parsed, Spool(scratch / "payloads"))
        calibration: Calibration | None = None
        fault: SparsebookError | None = None
        if calibrated is not None:
            done = calibrated.pack(surgeon, view, plan, config, clock)
            calibration, fault = calibrated.facts(), calibrated.fault()
        elif course is None:
            done = execute(surgeon, view, plan, config, clock, release)
        else:
            done = course.pack(surgeon)
        require_gain(done, model.name)
        with clock.stage("pack"):
            finish(surgeon, config.output)
            payloads = surgeon.payloads
            found = layers(parsed, payloads)
            pack.write_model(parsed, folder, model)
            del view, surgeon, parsed, calibrated
            pack.add_libraries(folder, runs, platform, others)
            artifact = folder / pack.MODEL_NAME
            update = None if base is None else make_update(base, artifact, folder / UPDATE_NAME)
        with clock.stage("verify"):
            compared = self._fidelity(
                artifact,
                specs,
                runs,
                self._feeds(specs, dataset),
                lookups,
                verify,
                source.bytes,
            )
            protocol = None if course is None else course.protocol(artifact, runs)
        report = summarise(
            source,
            pack.facts(folder),
            config,
            plan,
            done,
            compared.fidelity,
            clock.costs(),
            with_forms(found, payloads, compared.forms),
            protocol,
            (*(() if remark is None else (remark,)), *_left_out(self.traces)),
            update,
            calibration,
        )
        pack.write_papers(folder, report, page.document(report))
        fault = fault or (course.fault() if course else None)
        return report, fault or gates.missed(config.budget, report)

    def _dataset(
        self, own: OwnGraphs, specs: tuple[feeds.InputSpec, ...], scratch: Path
    ) -> Dataset | None:
        """The data checked and split; without training, the test part alone."""
        if not self.files:
            return None
        calibrates = self.config.preset == "small"
        trains = self.trainer is not None and self.config.train.loss != "none"
        return Dataset.prepare(
            self.files,
            specs,
            scratch / "data",
            self.config.seed,
            own.arrays,
            trains=trains or calibrates,
            calibrates=calibrates,
        )

    def _fidelity(
        self,
        artifact: Path,
        specs: tuple[feeds.InputSpec, ...],
        library: Path | None,
        given: list[feeds.Feed] | None,
        lookups: Lookups,
        verify: bool,
        size: int,
    ) -> measure.Compared:
        """The artifact against the original, or why they are not compared."""
        config = self.config
        reason = _unverifiable(verify, config, library)
        if reason is not None:
            return measure.Compared(Fidelity("none", 0, config.output, (), reason))
        return measure.compare(
            self.model,
            artifact,
            specs,
            given,
            made_up=not self.files,
            lookups=lookups,
            seed=config.seed,
            output=config.output,
            library=library,
            size=size,
            effort=QUICK if config.budget.max_latency_ms is None else THOROUGH,
            in_parts=size > MOST_WHOLE,
        )

    def _feeds(
        self, specs: tuple[feeds.InputSpec, ...], dataset: Dataset | None
    ) -> list[feeds.Feed] | None:
        """What the artifact is compared with the original on: samples of the test part; None makes some up.

        Those that weights were fitted to would look better than any other.
        """
        samples, most = dataset, feeds.MOST_SAMPLES
        if samples is None:
            samples, most = self.made_up, feeds.SYNTHETIC_SAMPLES
        if samples is None:
            return None
        names = [spec.name for spec in specs]
        return list(islice(samples.batches("test", 1, names), most))

    def _calibrated(
        self,
        parsed: ModelProto,
        view: GraphView,
        plan: Plan,
        dataset: Dataset | None,
        specs: tuple[feeds.InputSpec, ...],
        size: int,
        scratch: Path,
    ) -> Calibrated | None:
        """What inputs decide under the preset `small`; without data they are made up."""
        config = self.config
        if config.preset != "small":
            return None
        samples = dataset
        if samples is None:
            with self.clock.stage("plan"):
                path = scratch / "synthetic.npz"
                synthetic.write(self.model, parsed, view, specs, config.seed, path)
                samples = Dataset.prepare((path,), specs, scratch / "made-up", config.seed)
            self.made_up = samples
        origin: Origin = "synthetic" if dataset is None else "given"
        place = scratch / "calibration"
        original = Originally(self.model, parsed, view, plan, size, self.traces)
        return calibrate(original, samples, origin, config, place, self.clock)

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
        if dataset is None or self.config.train.loss == "none" or self.config.preset == "small":
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


def _tidied(parsed: ModelProto, model: Path) -> int:
    """Put right what ONNX Runtime does for itself, and could not behind operators of a library; leave out what exporters left for debugging.

    Returns:
        Bytes of the latter.
    """
    declared.correct(parsed)
    folding.fold(parsed, model)
    return leave_out_traces(parsed)


def _left_out(traces: int) -> tuple[str, ...]:
    """The remark that the exporter's traces are not in the artifact, where they were worth a word."""
    if traces < _TRACES_WORTH_A_WORD:
        return ()
    return (f"{traces:,} bytes of the exporter's stack traces and the like were left out",)


def _unverifiable(verify: bool, config: Config, library: Path | None) -> str | None:
    if not verify:
        return "verify was switched off"
    if config.output == "operator" and library is None:
        return "no operator library was given to run the artifact with"
    return None
