"""Runs a plan from file to bundle; the only orchestration.

Weights are taken one at a time: pruned, shared and encoded before the next one is read, so that besides the model there
is never more than one weight's codes.
"""

import shutil
from pathlib import Path

from sparsebook_compressor import admit, feeds, measure, pack
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, code
from sparsebook_compressor.config import Config
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import GraphView, Kept, Weight, survey
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.plan import Plan, PlanRow, make_plan, require_work
from sparsebook_compressor.progress import Listener
from sparsebook_compressor.report import Fidelity, Report
from sparsebook_compressor.rewrite import dense, operator, portable
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.stages.prune import (
    Cut,
    behind,
    cut_by_density,
    cut_by_rank,
    survivors_of,
)
from sparsebook_compressor.summary import Done, require_gain, summarise


def compress(
    model: Path,
    out: Path,
    config: Config | None = None,
    *,
    data: Path | None = None,
    operator_library: Path | None = None,
    platform: str | None = None,
    progress: Listener | None = None,
    verify: bool = True,
) -> Report:
    """Compress a model file into a bundle folder.

    Args:
        model: the .onnx file; its external data lies in the same folder.
        out: the bundle folder, which must not exist or be empty; it appears whole or not at all.
        config: what to do; the preset `safe` by default.
        data: an .npz with samples on which the artifact is compared with the original; synthetic inputs otherwise.
        operator_library: goes into the bundle and runs the artifact in verify, where the output is `operator`;
            without it such an artifact is not verified, and the report says so.
        platform: the library's platform, such as linux-x86_64.
        progress: is told about every stage and weight.
        verify: whether the artifact is run against the original.

    Raises:
        InputError: model, config or data cannot be used; the class says which.
        StorageFull: no room left for the bundle.
        InternalError: the artifact does not run though the original does.
    """
    config = config or Config()
    clock = Clock(progress)
    with pack.fresh_folder(out) as folder:
        with clock.stage("admit"):
            parsed = admit.load(model)
            source = pack.source_facts(model, parsed)
            specs = feeds.input_specs(parsed)
            given = None if data is None else feeds.given(data, specs, config.seed)
        with clock.stage("survey"):
            view = survey(parsed, model)
            rows = _smallest_table(view)
        with clock.stage("plan"):
            plan = make_plan(view, config)
            require_work(plan, model.name)
        surgeon = Surgeon(parsed)
        done = _work(surgeon, view, plan, config, clock)
        require_gain(done, model.name)
        with clock.stage("pack"):
            surgeon.finish()
            pack.write_model(parsed, folder, model)
            del view, surgeon, parsed
            _add_library(folder, config, operator_library, platform)
        with clock.stage("verify"):
            library = operator_library if config.output == "operator" else None
            reason = _unverifiable(verify, config, library)
            if reason is not None:
                fidelity = Fidelity("none", 0, config.output, (), reason)
            else:
                fidelity = measure.fidelity(
                    model,
                    folder / pack.MODEL_NAME,
                    specs,
                    given,
                    rows=rows,
                    seed=config.seed,
                    output=config.output,
                    library=library,
                )
        artifact = pack.facts(folder)
        report = summarise(source, artifact, config, plan, done, fidelity, clock.costs())
        (folder / "report.json").write_text(report.to_json())
        origin = {"name": source.name, "bytes": source.bytes, "sha256": source.sha256}
        pack.write_manifest(
            folder, {"config": report.config, "input": origin, "versions": report.versions}
        )
    return report


def _unverifiable(verify: bool, config: Config, library: Path | None) -> str | None:
    if not verify:
        return "verify was switched off"
    if config.output == "operator" and library is None:
        return "no operator library was given to run the artifact with"
    return None


def _smallest_table(view: GraphView) -> int:
    """Rows of the smallest embedding: integers below it can be looked up anywhere."""
    rows = [weight.shape[0] for weight in view.weights if weight.role == "embedding"]
    return min(rows, default=2)


def _work(surgeon: Surgeon, view: GraphView, plan: Plan, config: Config, clock: Clock) -> Done:
    weights = {weight.name: weight for weight in view.weights}
    kept = list(plan.kept)
    coded: list[Coded] = []
    shared_cut = _global_cut(plan, weights, clock) if plan.scope == "global" else None
    total = sum(row.elements for row in plan.rows)
    finished = 0
    for row in plan.rows:
        weight = weights[row.name]
        with clock.weight(row.name, finished / total, (finished + row.elements) / total):
            if shared_cut is None or row.threshold is not None:
                cut = _cut(weight, row, clock)
            else:
                cut, shared_cut = shared_cut, behind(shared_cut, weight.read())
            result, values, payload = code(weight, row, cut, plan.seed, clock)
            expected = _expected_bytes(result, payload, config)
            if expected < weight.stored_bytes:
                with clock.stage("pack"):
                    size = _replace(surgeon, weight, result, values, payload, config)
                coded.append(result.stored_as(size))
            else:
                reason = f"what it becomes ({expected} bytes) would not be smaller"
                kept.append(Kept(weight.name, weight.shape, weight.stored_bytes, reason))
        finished += row.elements
    return Done(tuple(coded), tuple(kept))


def _expected_bytes(result: Coded, payload: bytes, config: Config) -> int:
    """What a weight would take in the artifact, all but exact; in the dense output, in the operator's."""
    if config.output == "portable":
        facts, row = result.facts, result.row
        return portable.expected_bytes(row.elements, facts.nonzeros, result.centroids)
    return len(payload)


def _replace(
    surgeon: Surgeon,
    weight: Weight,
    result: Coded,
    values: CodedWeight,
    payload: bytes,
    config: Config,
) -> int:
    """Put what became of a weight in its place; the bytes that it takes."""
    match config.output:
        case "operator":
            density = result.facts.nonzeros / result.row.elements
            return operator.replace(surgeon, weight, payload, density)
        case "portable":
            return portable.replace(surgeon, weight, values)
        case "dense":
            return dense.replace(surgeon, weight, values)


def _cut(weight: Weight, row: PlanRow, clock: Clock) -> Cut:
    with clock.stage("prune"):
        values = weight.read()
        check_finite(values, weight.name)
        if row.threshold is not None:
            return Cut(row.threshold)
        return cut_by_density(values, 1.0 if row.density is None else row.density)


def _global_cut(plan: Plan, weights: dict[str, Weight], clock: Clock) -> Cut:
    """One cut for all weights together, at the mean of their planned densities."""
    with clock.stage("prune"):
        rows = [row for row in plan.rows if row.threshold is None]
        for row in rows:
            check_finite(weights[row.name].read(), row.name)
        keep = sum(survivors_of(row.density or 0.0, row.elements) for row in rows)
        return cut_by_rank(lambda: (weights[row.name].read() for row in rows), keep)


def _add_library(folder: Path, config: Config, library: Path | None, platform: str | None) -> None:
    if library is not None and config.output == "operator":
        target = folder / "lib" / (platform or "unknown")
        target.mkdir(parents=True)
        shutil.copyfile(library, target / library.name)
