"""The paper's AlexNet and VGG-16 (Tables 4 and 5), for whoever has ImageNet and the trained weights.

    .venv/bin/python -m benchmarks.imagenet --model F.onnx --data DIR [--paper alexnet|vgg16] [--epochs N] [--images N]

DIR has `train/` and `val/`, each with one folder of images a class; classes are numbered in the order of the folders' names.
Images are read in, their shorter side made 256/224 of the input's, cropped in the middle, and scaled as `--pixels` says;
they go into .npz shards, which the fine-tuning worker reads one at a time. A tenth of `train/` selects, `val/` is the test part,
which is read once, at the end.

All of ImageNet's 1.28 million images are 770 GB as floats: `--images` takes fewer. Neither ImageNet nor the trained weights can be
had from a package registry: here all this is exercised on a small made folder only.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from PIL import Image

from benchmarks.architectures import PAPER
from benchmarks.paper_numbers import LAYERS, TABLE_1, PaperLayer
from benchmarks.results import show, write
from benchmarks.sessions import session
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.report import WeightRow
from sparsebook_runtime import library_path, platform_tag

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp"}
SHARD = 1_024
EVAL_SHARE = 10
# Of the red, green and blue channel: what an image has subtracted, and is divided by, after scaling to 0..1 or 0..255.
PIXELS = {
    "torch": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), False),
    "caffe": (1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), True),
    "unit": (1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), False),
}
_CROP = 224 / 256


@dataclass(frozen=True)
class Input:
    """The model's one input, float32 [n, 3, height, width]."""

    name: str
    height: int
    width: int

    @classmethod
    def of(cls, model: Path) -> "Input":
        """Read it from a file.

        Raises:
            SystemExit: the model takes something else.
        """
        graph = onnx.load(model, load_external_data=False).graph
        weights = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weights]
        shape = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or not shape[2] or not shape[3]:
            raise SystemExit(
                f"{model}: expected one input of images [n, 3, height, width], found {inputs[0].name!r} of {shape}"
            )
        return cls(inputs[0].name, shape[2], shape[3])


def main() -> None:
    """Compress a model with the paper's densities and bits, and print the paper's rows beside ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--paper", choices=PAPER, help="whose densities, bits and rows; none: the preset's"
    )
    parser.add_argument(
        "--pixels", choices=PIXELS, default="torch", help="how images become numbers"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--images", type=int, help="at most so many of each folder, spread over the classes"
    )
    parser.add_argument("--out", type=Path, help="where the bundle goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sparsebook-imagenet-", dir=arguments.out) as scratch:
        results = run(
            arguments.model,
            arguments.data,
            Path(scratch),
            paper=arguments.paper,
            pixels=arguments.pixels,
            epochs=arguments.epochs,
            most=arguments.images,
        )
    print("written:", write("imagenet", results))


def run(
    model: Path,
    data: Path,
    scratch: Path,
    *,
    paper: str | None,
    pixels: str,
    epochs: int,
    most: int | None = None,
) -> dict[str, Any]:
    """The whole road.

    Args:
        model: the .onnx file.
        data: the folder with `train/` and `val/`.
        scratch: for shards and the bundle; as large as the images are as floats.
        paper: whose densities and bits, "alexnet" or "vgg16"; None takes the preset's.
        pixels: a key of `PIXELS`.
        epochs: of retraining.
        most: images of `train/` and of `val/`; None takes all.
    """
    takes = Input.of(model)
    classes = sorted(path.name for path in (data / "train").iterdir() if path.is_dir())
    began = time.perf_counter()
    shards, test = write_shards(data, scratch, takes, classes, pixels, most)
    read = time.perf_counter() - began
    report = compress(
        model,
        scratch / "bundle",
        Config.parse(settings(model, paper, epochs)),
        data=shards,
        trainer=worker(),
        operator_library=library_path(),
        platform=platform_tag(),
    )
    accuracy = {
        "original": top(model, takes, test),
        "artifact": top(scratch / "bundle/model.onnx", takes, test),
    }
    facts = {
        "model": model.name,
        "classes": len(classes),
        "images_read_per_second": sum(count for _, count in _counted(shards)) / read,
        "trained_samples_per_second": _speed(report),
        "accuracy": accuracy,
        "bytes": report.artifact.bytes,
        "ratio": report.ratio,
        "report": json.loads(report.to_json()),
    }
    _show(model, paper, report, facts)
    return facts


def settings(model: Path, paper: str | None, epochs: int) -> dict[str, Any]:
    """The config: the paper's densities and bits for weights named as its layers, the preset's for others."""
    made: dict[str, Any] = {"preset": "paper", "train": {"loss": "labels", "epochs": epochs}}
    if paper is not None:
        names = [
            tensor.name for tensor in onnx.load(model, load_external_data=False).graph.initializer
        ]
        layers = {f"{layer}.weight": setting for layer, setting in PAPER[paper].items()}
        made["weights"] = {
            name: {"density": layers[name][0], "bits": layers[name][1]}
            for name in names
            if name in layers
        }
        missing = sorted(set(layers) - set(made["weights"]))
        if missing:
            raise SystemExit(
                f"{model}: no weight {missing[0]!r}; name the weights as the paper's layers: conv1.weight ..."
            )
    return made


def write_shards(
    data: Path, out: Path, takes: Input, classes: Sequence[str], pixels: str, most: int | None
) -> tuple[list[Path], list[Path]]:
    """Images as .npz shards: `train/` as plain and eval arrays, `val/` as test arrays.

    Returns:
        All shards, and those of the test part.
    """
    learned = _images(data / "train", classes, most)
    parts = {
        "": [image for index, image in enumerate(learned) if index % EVAL_SHARE],
        "eval_": learned[::EVAL_SHARE],
        "test_": _images(data / "val", classes, most),
    }
    written: dict[str, list[Path]] = {}
    for prefix, images in parts.items():
        written[prefix] = []
        for first in range(0, len(images), SHARD):
            path = out / f"{prefix or 'train_'}{first // SHARD:05}.npz"
            some = images[first : first + SHARD]
            arrays: dict[str, npt.NDArray[Any]] = {
                f"{prefix}{takes.name}": np.stack(
                    [_image(path, takes, pixels) for path, _ in some]
                ),
                f"{prefix}labels": np.array([label for _, label in some], np.int64),
            }
            np.savez(path, allow_pickle=False, **arrays)
            written[prefix].append(path)
    return [path for paths in written.values() for path in paths], written["test_"]


def top(model: Path, takes: Input, test: Sequence[Path]) -> dict[str, float]:
    """Top-1 and top-5 accuracy on the test part's shards."""
    running = session(model)
    hits = np.zeros(2)
    samples = 0
    for images, labels in _samples(test, takes):
        scores = running.run(None, {takes.name: images})[0]
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        right = best == labels[:, np.newaxis]
        hits += [right[:, 0].sum(), right.any(axis=1).sum()]
        samples += len(labels)
    return {"top1": hits[0] / samples, "top5": hits[1] / samples, "samples": samples}


def _samples(shards: Sequence[Path], takes: Input) -> Iterator[tuple[F32, I64]]:
    for path in shards:
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays[f"test_{takes.name}"], arrays["test_labels"]
        for first in range(0, len(labels), 32):
            yield images[first : first + 32], labels[first : first + 32]


def _images(folder: Path, classes: Sequence[str], most: int | None) -> list[tuple[Path, int]]:
    """Image files with their class, classes in turn, so that any number of them is spread over all."""
    groups = []
    for label, name in enumerate(classes):
        paths = sorted(
            path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES
        )
        groups.append([(path, label) for path in paths])
    if not any(groups):
        raise SystemExit(
            f"no images in {folder}: expected one folder a class, of {', '.join(sorted(SUFFIXES))}"
        )
    turns = range(max(len(group) for group in groups))
    images = [group[turn] for turn in turns for group in groups if turn < len(group)]
    return images[:most]


def _image(path: Path, takes: Input, pixels: str) -> F32:
    """One image, float32 [3, height, width]."""
    scale, mean, deviation, reversed_channels = PIXELS[pixels]
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    shorter = round(min(takes.height, takes.width) / _CROP)
    factor = shorter / min(image.size)
    size = (
        max(takes.width, round(image.width * factor)),
        max(takes.height, round(image.height * factor)),
    )
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, upper = (size[0] - takes.width) // 2, (size[1] - takes.height) // 2
    image = image.crop((left, upper, left + takes.width, upper + takes.height))
    scaled = np.asarray(image, np.float32) * np.float32(scale)
    centred = (scaled - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    channels = centred.astype(np.float32).transpose(2, 0, 1)
    return np.ascontiguousarray(channels[::-1] if reversed_channels else channels)


def _counted(shards: Sequence[Path]) -> list[tuple[Path, int]]:
    found = []
    for path in shards:
        with np.load(path, allow_pickle=False) as arrays:
            [labels] = [name for name in arrays.files if name.endswith("labels")]
            found.append((path, len(arrays[labels])))
    return found


def _speed(report: Report) -> float | None:
    assert report.training is not None
    speeds = [
        phase.samples_per_second for phase in report.training.phases if phase.samples_per_second
    ]
    return sum(speeds) / len(speeds) if speeds else None


def _show(model: Path, paper: str | None, report: Report, facts: dict[str, Any]) -> None:
    rows: list[tuple[str, ...]] = []
    said = next((row for row in TABLE_1 if row.name == paper), None)
    sizes = (report.input.bytes, report.artifact.bytes)
    for index, (kind, size) in enumerate(zip(("original", "artifact"), sizes, strict=True)):
        found = facts["accuracy"][kind]
        row = [kind, f"{1 - found['top1']:.2%}", f"{1 - found['top5']:.2%}", f"{size:,}"]
        if said is not None and said.top5 is not None:
            row += [
                f"{said.error[index]:.2f}%",
                f"{said.top5[index]:.2f}%",
                f"{said.bytes[index]:,.0f}",
            ]
        rows.append(tuple(row))
    columns = ["", "top-1 error", "top-5 error", "bytes"]
    if said is not None:
        columns += ["paper: top-1", "top-5", "bytes"]
    show(f"{model.name}: {report.ratio:.1f}x smaller, {facts['classes']} classes", columns, rows)
    _show_layers(paper, report.weights)
    speed = facts["trained_samples_per_second"]
    print(
        f"{facts['images_read_per_second']:.0f} images read a second; "
        f"trained on {speed:.1f} samples a second"
        if speed
        else "not trained"
    )


def _show_layers(paper: str | None, weights: Sequence[WeightRow]) -> None:
    number, layers = LAYERS[paper] if paper is not None else (None, ())
    known = {layer.name: layer for layer in layers}
    rows = []
    for row in weights:
        theirs: PaperLayer | None = known.get(row.name.removesuffix(".weight"))
        rows.append(
            (
                row.name,
                f"{row.elements:,}",
                f"{row.density:.0%}",
                f"{row.code_bits_huffman:.1f}",
                f"{row.gap_bits_huffman:.1f}",
                f"{row.rate_huffman:.2%}",
                "" if theirs is None else f"{theirs.density:g}%",
                "" if theirs is None else f"{theirs.code_bits[1]:g}",
                "" if theirs is None else f"{theirs.gap_bits[1]:g}",
                "" if theirs is None else f"{theirs.rates[1]:g}%",
            )
        )
    title = (
        "Layer by layer"
        if number is None
        else f"Table {number}: layer by layer, the paper's on the right"
    )
    columns = (
        "weight",
        "elements",
        "kept",
        "code bits",
        "gap bits",
        "bytes",
        "kept",
        "code bits",
        "gap bits",
        "bytes",
    )
    show(title, columns, rows)


if __name__ == "__main__":
    main()
