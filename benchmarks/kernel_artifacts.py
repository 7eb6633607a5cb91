"""Artifacts of the layers and models that kernels are measured on: compressed by the product once, kept after that."""

import hashlib
import logging
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.kernel_layers import Dense
from benchmarks.results import FOLDER
from sparsebook_compressor import Config, compress, decompress

KEPT = FOLDER / "kernels"


def artifact(name: str, build: Callable[[], onnx.ModelProto], settings: dict[str, Any]) -> Path:
    """The operator artifact of a model.

    Args:
        name: of the model.
        build: makes it, the same one every time.
        settings: the config's.
    """
    path = KEPT / f"{_key(name, settings)}.onnx"
    if not path.exists():
        with _scratch() as scratch:
            given = Path(scratch) / f"{path.stem}.onnx"
            onnx.save(build(), given)
            _compress(given, path, Path(scratch), settings)
    return path


def artifact_of(model: Path, settings: dict[str, Any]) -> Path:
    """The operator artifact of a model's file."""
    path = KEPT / f"{_key(model.stem, settings)}.onnx"
    if not path.exists():
        with _scratch() as scratch:
            _compress(model, path, Path(scratch), settings)
    return path


def layer_settings(density: float, bits: int) -> dict[str, Any]:
    """A density and bits for every weight, 30 steps of k-means."""
    return {
        "preset": "paper",
        "output": "operator",
        "weights": {"*": {"density": density, "bits": bits}},
        "share": {"iterations": 30},
    }


def plain(path: Path) -> onnx.ModelProto:
    """An artifact with its weights as floats."""
    with _scratch() as scratch:
        out = Path(scratch) / "plain.onnx"
        decompress(path, out)
        return onnx.load(out)


def int8(path: Path, layer: Dense, matmul: onnx.ModelProto) -> Path:
    """ONNX Runtime's dynamic quantisation of a layer's MatMul form, kept beside its artifact."""
    out = path.with_name(f"{path.stem}-int8.onnx")
    if not out.exists():
        with _scratch() as scratch:
            given, made = Path(scratch) / "given.onnx", Path(scratch) / "made.onnx"
            onnx.save(matmul, given)
            # It recommends a preparation that changes nothing here.
            logging.disable(logging.WARNING)
            quantize_dynamic(given, made, weight_type=QuantType.QInt8)
            logging.disable(logging.NOTSET)
            made.rename(out)
    return out


def _compress(model: Path, path: Path, scratch: Path, settings: dict[str, Any]) -> None:
    compress(model, scratch / "bundle", Config.parse(settings), verify=False)
    (scratch / "bundle" / "model.onnx").rename(path)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    KEPT.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".", dir=KEPT)


def _key(name: str, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(f"{_compressor()} {sorted(settings.items())}".encode()).hexdigest()
    return f"{''.join(c if c.isalnum() else '-' for c in name)}-{digest[:12]}"


@cache
def _compressor() -> str:
    """A digest of the compressor's sources, which decide about an artifact besides its model and settings."""
    digest = hashlib.sha256()
    for path in sorted(Path("compressor").rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
