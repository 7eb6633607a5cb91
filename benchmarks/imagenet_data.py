"""ImageNet as a folder has it, made into .npz shards: `train/` and `val/` with a folder of images for every class.

Shards are kept in build/benchmarks/imagenet/, each of bounded size, so that the images together may be larger than memory.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.imagenet_nets import Input

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Sample = tuple[Path, int]

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
SPLIT_SEED = 0
# A tenth of `train/` selects, as of MNIST, but no more images than make top-1 certain to half a point: every epoch reads them.
EVAL_SHARE, EVAL_MOST = 10, 10_000
SHARD_BYTES = 1 << 29
# The worker leaves a shard's last, incomplete batch out: a shard of whole batches loses nothing.
_BATCHES = 256


@dataclass(frozen=True)
class Pixels:
    """How an image becomes numbers: (value * scale - mean) / std, with the channels in the order red, green, blue.

    Attributes:
        resize: what the shorter side becomes before the middle is cut out.
        bgr: whether the channels are turned around at the end.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    resize: int = 256


PIXELS = {
    "torch": Pixels(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Pixels(1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True),
    "unit": Pixels(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True)
class Shards:
    """What was written: one .npz after the other, those of the test part last.

    Attributes:
        key: of all that decided about them.
        samples: by part: train, eval, test.
    """

    folder: Path
    key: str
    files: tuple[Path, ...]
    samples: Mapping[str, int]

    def test(self, name: str) -> Iterator[tuple[F32, I64]]:
        """The test part, shard by shard: images [n, 3, height, width] and their classes [n].

        Args:
            name: of the model's input.
        """
        for path in self.files:
            if path.name.startswith("test"):
                with np.load(path, allow_pickle=False) as arrays:
                    yield arrays[f"test_{name}"], arrays["test_labels"]


def classes(data: Path, synset: Path | None = None) -> dict[str, int]:
    """The class of every folder.

    Args:
        data: has `train/` and `val/`.
        synset: a text file with a folder's name as the first word of each line, in the order of the model's outputs; without it
            the names in `train/` are numbered in their order.

    Raises:
        SystemExit: folders are missing, or have no class.
    """
    for part in ("train", "val"):
        if not (data / part).is_dir():
            raise SystemExit(
                f"no {data / part}: expected {data}/train/CLASS/* and {data}/val/CLASS/*"
            )
    names = _folders(data / "train")
    source = data / "train"
    if synset is not None:
        source = synset
        names = [line.split()[0] for line in synset.read_text().splitlines() if line.strip()]
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SystemExit(f"{source}: {twice} has two numbers; keep one of the lines")
    for part in ("train", "val"):
        unknown = [name for name in _folders(data / part) if name not in numbers]
        if unknown:
            raise SystemExit(f"{data / part / unknown[0]}: {source} does not name such a class")
    return numbers


def split(data: Path, numbers: Mapping[str, int], most: int | None) -> dict[str, list[Sample]]:
    """The image files of each part with their classes, in an order that mixes the classes.

    Args:
        data: has `train/` and `val/`.
        numbers: the folders' classes.
        most: images of `train/` and of `val/`, as many of every class as of any other; None takes all.

    Returns:
        "train", "eval" and "test", whose images are those of `val/`.

    Raises:
        SystemExit: too few images.
    """
    learned = _images(data / "train", numbers, most)
    held = min(len(learned) // EVAL_SHARE, EVAL_MOST)
    if not held:
        raise SystemExit(
            f"{data / 'train'}: {len(learned)} images; at least {EVAL_SHARE} are needed"
        )
    tested = _images(data / "val", numbers, most)
    return {"train": learned[held:], "eval": learned[:held], "test": tested}


def write_shards(
    root: Path, parts: Mapping[str, Sequence[Sample]], takes: Input, pixels: Pixels
) -> Shards:
    """Read, crop and scale all images; what was written before of the same files is taken as it is.

    Args:
        root: folder that the folder of shards lies in.
        parts: image files and their classes.
        takes: what the model takes.
        pixels: how images become numbers.

    Raises:
        SystemExit: an image cannot be read, or is asked to be smaller than what is cut out of it.
    """
    if pixels.resize < max(takes.height, takes.width):
        raise SystemExit(
            f"the model takes {takes.height}x{takes.width} pixels: --resize must be that at least"
        )
    key = _key(parts, takes, pixels)
    folder = root / f"data-{key}"
    if not folder.is_dir():
        partial_folder = root / f"data-{key}.partial"
        rmtree(partial_folder, ignore_errors=True)
        partial_folder.mkdir(parents=True)
        for part, samples in parts.items():
            _write_part(partial_folder, part, samples, takes, pixels)
        partial_folder.rename(folder)
    counts = {part: len(samples) for part, samples in parts.items()}
    return Shards(folder, key, tuple(sorted(folder.glob("*.npz"), key=_place)), counts)


def decode(path: Path, takes: Input, pixels: Pixels) -> F32:
    """One image, float32 [3, height, width]: its shorter side resized, and the middle of it.

    Raises:
        SystemExit: it cannot be read.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise SystemExit(f"{path}: {error}; repair or remove it") from error
    shorter = min(image.size)
    wide, high = (max(pixels.resize, pixels.resize * side // shorter) for side in image.size)
    left, upper = round((wide - takes.width) / 2), round((high - takes.height) / 2)
    image = image.resize((wide, high), Image.Resampling.BILINEAR)
    image = image.crop((left, upper, left + takes.width, upper + takes.height))
    scaled = np.asarray(image, np.float32) * np.float32(pixels.scale)
    mean, std = np.array(pixels.mean, np.float32), np.array(pixels.std, np.float32)
    channels: F32 = ((scaled - mean) / std).transpose(2, 0, 1)
    return np.ascontiguousarray(channels[::-1] if pixels.bgr else channels)


def _write_part(
    folder: Path, part: str, samples: Sequence[Sample], takes: Input, pixels: Pixels
) -> None:
    prefix = "" if part == "train" else f"{part}_"
    most = SHARD_BYTES // (4 * 3 * takes.height * takes.width)
    most = max(1, most // _BATCHES * _BATCHES or most)
    starts = range(0, len(samples), most)
    for number, start in enumerate(starts):
        some = samples[start : start + most]
        images = np.empty((len(some), 3, takes.height, takes.width), np.float32)
        # Pillow decodes and resizes without the interpreter's lock.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            read = partial(decode, takes=takes, pixels=pixels)
            for row, image in enumerate(pool.map(read, [path for path, _ in some])):
                images[row] = image
        arrays: dict[str, npt.NDArray[Any]] = {
            f"{prefix}{takes.name}": images,
            f"{prefix}labels": np.array([label for _, label in some], np.int64),
        }
        np.savez(folder / f"{part}-{number:05}.npz", allow_pickle=False, **arrays)
        print(f"{part}: {number + 1} of {len(starts)} shards written", flush=True)


def _images(folder: Path, numbers: Mapping[str, int], most: int | None) -> list[Sample]:
    rng = np.random.default_rng(SPLIT_SEED)
    groups: list[list[Sample]] = []
    for name in _folders(folder):
        paths = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES)
        order = rng.permutation(len(paths))
        groups.append([(paths[index], numbers[name]) for index in order])
    turns = range(max((len(group) for group in groups), default=0))
    spread = [group[turn] for turn in turns for group in groups if turn < len(group)][:most]
    if not spread:
        raise SystemExit(
            f"{folder}: no images; expected a folder a class, of files {', '.join(SUFFIXES)}"
        )
    return [spread[index] for index in rng.permutation(len(spread))]


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _place(path: Path) -> tuple[int, str]:
    return ("train", "eval", "test").index(path.name.split("-")[0]), path.name


def _key(parts: Mapping[str, Sequence[Sample]], takes: Input, pixels: Pixels) -> str:
    facts = [asdict(takes), asdict(pixels), SHARD_BYTES]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part, samples in parts.items():
        for path, label in samples:
            found = path.stat()
            line = f"{part} {path.absolute()} {found.st_size} {found.st_mtime_ns} {label}\n"
            digest.update(line.encode())
    return digest.hexdigest()[:16]
