"""What benchmarks/codec.py measures: one weight after the other through prune, share and every codec, and what others make of it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.architectures import BUILDERS, PAPER
from sparsebook_compressor import admit
from sparsebook_compressor.coding import coded_weight
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.payload import WORTH, CodedWeight, encode
from sparsebook_compressor.payload_layout import Codec
from sparsebook_compressor.stages.prune import cut_by_density
from sparsebook_compressor.stages.share import share

U8 = npt.NDArray[np.uint8]
N = TypeVar("N", int, float)

MODELS = Path(".models")
BASELINES = Path("benchmarks/baselines")
NNCODEC = Path(".venv-peer-nncodec/bin/python")
SPEED = Path("build/native/tests/native/decode_speed")
CODECS: tuple[Codec, ...] = ("huffman", "context")
BITS, ITERATIONS, SEED = 5, 30, 0
# Weights whose payloads are read again and again by the C++ reader: those of many elements.
TIMED = 1 << 18


@dataclass(slots=True)
class Row:
    """A weight: elements, bytes by the zero-order entropy of codes and mask, by codec, and by NNCodec with the codebook beside it.

    `seconds` are those of prune and share together, and of each codec; `decode` is what the C++ reader takes, by codec.
    """

    model: str
    weight: str
    shape: tuple[int, ...]
    elements: int
    entropy: float
    bytes: dict[str, int]
    seconds: dict[str, float]
    decode: dict[str, float]


def real_models() -> dict[str, Path]:
    """The models that packages install, and the trained LeNets; of silero's variants the one that the design names."""
    found = {}
    for path in [*sorted(MODELS.rglob("*.onnx")), *sorted(BASELINES.glob("*.onnx"))]:
        if "silero" in path.parts[1] and path.name != "silero_vad.onnx":
            continue
        name = path.stem if path.stem not in found else f"{path.parent.name}/{path.stem}"
        found[name] = path
    return found


def real_rows(density: float) -> Iterator[Row]:
    """All weights of the real models, each pruned to one density and shared by k-means from a linear start."""
    for name, path in real_models().items():
        with tempfile.TemporaryDirectory() as folder:
            weights = survey(admit.load(path), path).weights
            rows = [_row(name, weight, density, BITS, Path(folder)) for weight in weights]
            yield from _measured(rows, Path(folder))


def built_rows(name: str) -> Iterator[Row]:
    """The layers of AlexNet or VGG-16, synthetic weights at the paper's densities and bits."""
    model = BUILDERS[name](SEED)
    for weight in survey(model, Path(name)).weights:
        layer = weight.name.removesuffix(".weight")
        if layer in PAPER[name]:
            density, bits = PAPER[name][layer]
            with tempfile.TemporaryDirectory() as folder:
                rows = [_row(name, weight, density, bits, Path(folder))]
                yield from _measured(rows, Path(folder), nncodec=False)


def _row(model: str, weight: Weight, density: float, bits: int, folder: Path) -> Row:
    """Encode a weight and leave its payloads and its codes in a folder."""
    seconds: dict[str, float] = {}
    values = weight.read()
    began = time.process_time()
    cut = cut_by_density(values, density)
    shared = share(values, cut, (1 << bits) - 1, "linear", ITERATIONS, SEED)
    coded = coded_weight(weight, shared.codes, shared.codebook)
    seconds["share"] = time.process_time() - began
    stem = str(len(list(folder.glob("*.npz"))))
    sizes: dict[str, int] = {}
    for codec in CODECS:
        began = time.process_time()
        data, _ = encode(coded, codec)
        seconds[codec] = time.process_time() - began
        sizes[codec] = len(data)
        (folder / f"{stem}.{codec}").write_bytes(data)
    np.savez(folder / f"{stem}.npz", codes=_signed(coded))
    # As `encode` decides, without encoding twice.
    chosen = sizes["context"] <= (1 - WORTH) * sizes["huffman"]
    sizes["auto"] = sizes["context" if chosen else "huffman"]
    sizes["codebook"] = 4 * len(coded.codebook)
    found = entropy(coded.codes)
    return Row(model, weight.name, weight.shape, weight.elements, found, sizes, seconds, {})


def _signed(coded: CodedWeight) -> npt.NDArray[np.int32]:
    """The codes as NNCodec wants them: in the order of their values, zero at 0; int32 of the weight's shape."""
    negative = int(np.count_nonzero(coded.codebook < 0))
    codes = coded.codes.astype(np.int32)
    signed = np.where(codes == 0, 0, codes - negative - (codes <= negative))
    return signed.astype(np.int32).reshape(coded.shape or (1,))


def entropy(codes: U8) -> float:
    """Bytes by the zero-order entropy of codes and mask."""
    counts = np.bincount(codes, minlength=1)
    nonzeros = counts[1:]
    return (_bits(nonzeros) + _bits(np.array([counts[0], nonzeros.sum()]))) / 8


def _bits(counts: npt.NDArray[np.int64]) -> float:
    used = counts[counts > 0]
    return float(-(used * np.log2(used / max(1, counts.sum()))).sum())


def _measured(rows: list[Row], folder: Path, *, nncodec: bool = True) -> list[Row]:
    """Add what NNCodec and the C++ reader find in the files of a folder."""
    if nncodec:
        files = [str(folder / f"{index}.npz") for index in range(len(rows))]
        asked, answered = folder / "order.json", folder / "answer.json"
        asked.write_text(json.dumps(files))
        command = [str(NNCODEC), "benchmarks/nncodec_child.py", str(asked), str(answered)]
        subprocess.run(command, check=True)
        for row, size in zip(rows, json.loads(answered.read_text()), strict=True):
            row.bytes["nncodec"] = size + row.bytes["codebook"]
    for index, row in enumerate(rows):
        if row.elements >= TIMED:
            files = [str(folder / f"{index}.{codec}") for codec in ("huffman", "context")]
            done = subprocess.run([str(SPEED), *files], check=True, capture_output=True, text=True)
            times = [json.loads(line)["seconds"] for line in done.stdout.splitlines()]
            row.decode = dict(zip(("huffman", "context"), times, strict=True))
    return rows


def _add(to: dict[str, N], more: Mapping[str, N]) -> None:
    for key, value in more.items():
        to[key] = to[key] + value if key in to else value


def summed(rows: Iterable[Row], model: str) -> Row:
    """Many weights as one row."""
    total = Row(model, "", (), 0, 0.0, {}, {}, {})
    for row in rows:
        total.elements += row.elements
        total.entropy += row.entropy
        _add(total.bytes, row.bytes)
        _add(total.seconds, row.seconds)
        if row.decode:
            _add(total.decode, {**row.decode, "elements": float(row.elements)})
    return total
