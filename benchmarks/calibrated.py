"""Compression from inputs alone, no labels, no training: three real models, by the metric of what they are for.

    make calibrated    or    .venv/bin/python -m benchmarks.calibrated [--only magika|ppocr|minilm]

Asked for: 6 times smaller with the task's metric within half a point, 12 the aim. The inputs that calibrate, those that choose the
price and those of the table are disjoint; labels are for the table alone.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.distil import MINILM
from benchmarks.extensions import labelled
from benchmarks.inputs import MAGIKA, PPOCR_RECOGNITION, files, magika_features, text_lines
from benchmarks.results import show, with_kept, write
from benchmarks.safe import accuracy
from benchmarks.sentences import sentences, tokens
from benchmarks.sessions import session
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

Array = npt.NDArray[Any]

SEED = 0
LEAST_RATIO, AIM_RATIO, MOST_DROP = 6.0, 12.0, 0.005
TOKENS = 32
COLUMNS = (
    "model",
    "asked for",
    "bytes",
    "ratio",
    "task, original and artifact",
    "besides",
    "6x within half a point",
    "seconds (of processor)",
)


@dataclass(frozen=True)
class Case:
    """A model and what is done to it.

    Attributes:
        model: the file.
        data: arrays of a data file: plain, `eval_` and `test_`.
        config: of the job.
        task: name of the metric and how it is taken, between two model files.
    """

    model: Path
    data: dict[str, Array]
    config: dict[str, Any]
    task: tuple[str, Callable[[Path], dict[str, float]]]


def main() -> None:
    """Compress what is asked for, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=CASES)
    arguments = parser.parse_args()
    found = {
        name: measure(name, make())
        for name, make in CASES.items()
        if arguments.only in (None, name)
    }
    parts = with_kept("calibrated", found)
    results = [parts[name]["found"] for name in CASES if name in parts]
    show("Calibrated on inputs alone", COLUMNS, [_cells(each) for each in results])
    whole = set(parts) == set(CASES)
    print("written:", write("calibrated", results, whole=whole, parts=parts, seed=SEED))


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
    before, after = found["before"], found["after"]
    main_metric = found["task"]
    drop = before[main_metric] - after[main_metric]
    reached = found["ratio"] >= LEAST_RATIO and drop <= MOST_DROP + 1e-9
    others = ", ".join(f"{key} {value:.2%}" for key, value in after.items() if key != main_metric)
    return (
        found["case"],
        found["goal"],
        f"{found['bytes']:,}",
        f"{found['ratio']:.2f}x",
        f"{main_metric}: {before[main_metric]:.2%}, {after[main_metric]:.2%}",
        others,
        "yes" if reached else "no",
        f"{found['seconds']:.0f} ({found['cpu_seconds']:.0f})",
    )


def measure(name: str, case: Case) -> dict[str, Any]:
    """One compression and what its artifact is worth."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-calibrated-") as scratch:
        folder = Path(scratch)
        np.savez(folder / "data.npz", allow_pickle=False, **case.data)
        began, cpu = time.perf_counter(), time.process_time()
        report: Report = compress(
            case.model,
            folder / "out",
            Config.parse({"preset": "small", "seed": SEED, **case.config}),
            data=folder / "data.npz",
            operator_library=library_path(),
            platform=platform_tag(),
        )
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        named, task = case.task
        before, after = task(case.model), task(folder / "out/model.onnx")
    facts = report.calibration
    assert facts is not None
    return {
        "case": name,
        "model": case.model.name,
        "config": case.config,
        "task": named,
        "bytes": report.artifact.bytes,
        "ratio": report.ratio,
        "before": before,
        "after": after,
        "metric": facts.metric,
        "goal": facts.goal,
        "met": facts.met,
        "test_metric": facts.after,
        "passes": [(row.price, row.bytes, row.metric) for row in facts.passes],
        "weights": [(row.name, row.sensitivity, row.density, row.bits) for row in facts.weights],
        "samples": (facts.samples, facts.eval_samples, facts.test_samples),
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def magika() -> Case:
    """Files labelled by their suffix test; files of every kind, labels unread, calibrate."""
    paths, labels, names = labelled()
    order = np.random.default_rng(SEED).permutation(len(paths))
    half = order[: len(order) // 2]
    tested = order[len(order) // 2 :]
    seen = [paths[index] for index in half]
    others = [path for path in files(600) if path not in set(paths)]
    features = magika_features([*seen, *others])
    mixed = np.random.default_rng(SEED).permutation(len(features))
    cut = len(mixed) * 2 // 3
    test = magika_features([paths[index] for index in tested])
    wanted = np.array([labels[index] for index in tested])

    def task(model: Path) -> dict[str, float]:
        (outputs,) = session(model).run(None, {"bytes": test})
        found = np.array(names)[outputs.argmax(1)]
        return {"accuracy": float((found == wanted).mean())}

    data = {
        "bytes": features[mixed[:cut]],
        "eval_bytes": features[mixed[cut:]],
        "test_bytes": test,
    }
    # The same class for every file is stricter than as many files right: a size is asked for, and the labels tell what it costs.
    config = {"calibrate": {"samples": 128}, "budget": {"min_ratio": 10}}
    return Case(MAGIKA, data, config, ("accuracy", task))


def ppocr() -> Case:
    """Printed lines, rendered from other random numbers for each part."""
    parts = {"": (64, 1), "eval_": (64, 2), "test_": (200, 3)}
    drawn = {prefix: text_lines(count, seed) for prefix, (count, seed) in parts.items()}
    images, texts = drawn["test_"]

    def task(model: Path) -> dict[str, float]:
        running = session(model)
        outputs = [running.run(None, {"x": image[np.newaxis]})[0] for image in images]
        return {"lines read": accuracy(np.concatenate(outputs), texts)}

    data = {f"{prefix}x": found for prefix, (found, _) in drawn.items()}
    # Whether a position's class stays is stricter than whether lines are read: a size is asked for, and lines tell what it costs.
    config = {"calibrate": {"samples": 32}, "budget": {"min_ratio": 8}}
    return Case(PPOCR_RECOGNITION, data, config, ("lines read", task))


def minilm() -> Case:
    """Sentences of docstrings: does a cosine of two say what it said?"""
    found = sentences()
    order = np.random.default_rng(SEED).permutation(len(found))
    data: dict[str, Array] = {}
    first = 0
    for prefix, count in (("", 1024), ("eval_", 256), ("test_", 500)):
        texts = [found[index] for index in order[first : first + count]]
        data[f"{prefix}input_ids"], data[f"{prefix}attention_mask"] = tokens(texts, TOKENS)
        first += count
    test = {key.removeprefix("test_"): data[key] for key in data if key.startswith("test_")}
    original = _cosines(MINILM, test)

    def task(model: Path) -> dict[str, float]:
        cosines = _cosines(model, test)
        return {
            "rank correlation of cosines": _spearman(original, cosines),
            "nearest neighbours": float((_nearest(original) == _nearest(cosines)).mean()),
        }

    config = {"calibrate": {"samples": 512}, "budget": {"metric": "fidelity", "max_drop": 0.1}}
    return Case(MINILM, data, config, ("rank correlation of cosines", task))


def _cosines(model: Path, inputs: dict[str, Array]) -> Array:
    outputs = session(model).run(None, inputs)
    (vectors,) = (each for each in outputs if each.ndim == 2 and each.dtype.kind == "f")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines: Array = unit @ unit.T
    return cosines


def _spearman(one: Array, other: Array) -> float:
    """Rank correlation over all pairs of different sentences."""
    above = np.triu_indices(len(one), 1)
    first, second = (np.argsort(np.argsort(each[above], kind="stable")) for each in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def _nearest(cosines: Array) -> Array:
    away = cosines.copy()
    np.fill_diagonal(away, -np.inf)
    found: Array = away.argmax(1)
    return found


CASES = {"magika": magika, "ppocr": ppocr, "minilm": minilm}

if __name__ == "__main__":
    main()
