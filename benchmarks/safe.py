"""What the preset `safe` does to real models, without data: bytes, and how far outputs stray.

    .venv/bin/python -m benchmarks.safe

Magika runs on files of this folder, PP-OCR's recogniser on printed text (its accuracy in reading it is shown too), every
other model on the synthetic inputs of the report.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.inputs import (
    MAGIKA,
    MODELS,
    PPOCR_RECOGNITION,
    files,
    magika_features,
    text_lines,
)
from benchmarks.results import show, write
from benchmarks.run_model import run
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

COLUMNS = (
    "model",
    "bytes",
    "operator",
    "portable",
    "inputs",
    "relative error",
    "agreement",
    "kept",
)
SAMPLES = 100


def main() -> None:
    """Compress every model, print the table, write the JSON."""
    rows, results = [], []
    for model in sorted(MODELS.rglob("*.onnx"), key=lambda path: path.stat().st_size):
        found = measure(model)
        results.append(found)
        agreement = "" if found["agreement"] is None else f"{found['agreement']:.2%}"
        error = "" if found["relative_error"] is None else f"{found['relative_error']:.1%}"
        rows.append(
            (
                found["model"],
                f"{found['bytes']:,}",
                f"{found['ratio_operator']:.2f}x",
                f"{found['ratio_portable']:.2f}x",
                found["inputs"],
                error,
                agreement,
                str(found["kept"]),
            )
        )
    show("Preset safe on real models", COLUMNS, rows)
    for found in results:
        if "accuracy" in found:
            print(
                f"{found['model']}: reads {found['accuracy'][0]:.1%} of the lines right before, {found['accuracy'][1]:.1%} after"
            )
    print("kept: weights that 8 bits cannot hold closely enough, left as floats")
    print("written:", write("safe", results))


def measure(model: Path) -> dict[str, Any]:
    """One model in both outputs."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report = compress(
            model, out / "operator", operator_library=library_path(), platform=platform_tag()
        )
        portable = compress(model, out / "portable", Config(output="portable"), verify=False)
        facts: dict[str, Any] = {
            "model": "/".join(model.parts[-2:]),
            "bytes": report.input.bytes,
            "ratio_operator": report.ratio,
            "ratio_portable": portable.ratio,
            "kept": sum("safe" in row.reason for row in report.kept),
            **_synthetic(report),
        }
        if model == MAGIKA:
            facts.update(_real(model, out, magika_features(files(4 * SAMPLES)), "files"))
        elif model == PPOCR_RECOGNITION:
            images, texts = text_lines(SAMPLES)
            facts.update(_real(model, out, images, "printed text"))
            runs = [run(model, images), run(out / "operator/model.onnx", images, operators=True)]
            facts["accuracy"] = [accuracy(one.outputs, texts) for one in runs]
    return facts


def _synthetic(report: Report) -> dict[str, Any]:
    outputs = report.fidelity.outputs
    agreements = [output.agreement for output in outputs if output.agreement is not None]
    return {
        "inputs": "none found that run" if report.fidelity.skipped else "synthetic",
        "relative_error": max((output.relative_error for output in outputs), default=None),
        "agreement": min(agreements, default=None),
    }


def _real(model: Path, out: Path, inputs: npt.NDArray[Any], kind: str) -> dict[str, Any]:
    original = run(model, inputs)
    artifact = run(out / "operator/model.onnx", inputs, operators=True)
    difference = np.linalg.norm(original.outputs - artifact.outputs)
    return {
        "inputs": kind,
        "samples": len(inputs),
        "relative_error": float(difference / np.linalg.norm(original.outputs)),
        "agreement": artifact.agreement(original),
    }


def accuracy(outputs: npt.NDArray[Any], texts: list[str]) -> float:
    """Share of lines read right: CTC, that is repeats merged and blanks (class 0) dropped."""
    session = ort.InferenceSession(str(PPOCR_RECOGNITION), providers=["CPUExecutionProvider"])
    letters = ["", *session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    right = 0
    for best, text in zip(outputs.argmax(-1), texts, strict=True):
        changes = best[np.insert(np.diff(best) != 0, 0, True)]
        right += "".join(letters[index] for index in changes).strip() == text
    return right / len(texts)


if __name__ == "__main__":
    main()
