"""The paper's AlexNet and VGG-16 (Tables 4 and 5), for whoever has ImageNet and the trained weights.

    .venv/bin/python -m benchmarks.imagenet --model F.onnx --data DIR [--pixels torch|caffe|unit] [--synset F.txt]
                                            [--epochs N | --config F.json] [--seeds N] [--images N] [--again]

DIR has train/CLASS/*.JPEG and val/CLASS/*.JPEG; classes are numbered in the order of the folders' names, unless --synset says
otherwise. Of train/ a tenth, at most 10,000 images, selects; val/ is the test part, which is read once a run, when all is frozen.
Densities and bits are the paper's where the model has AlexNet's or VGG-16's layers, the preset's where not.

Shards, and every compression as soon as it has ended, are kept in build/benchmarks/imagenet/: an interrupted benchmark goes on
where it was. All of ImageNet's 1.28 million images are 770 GB as floats, twice that while a model trains: --images takes fewer.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks import imagenet_data, imagenet_nets
from benchmarks.imagenet_data import PIXELS, Pixels
from benchmarks.imagenet_runs import Subject, carry_out
from benchmarks.imagenet_tables import facts, print_tables
from benchmarks.paper_configs import Settings, seeded
from benchmarks.results import FOLDER, write
from sparsebook_compressor.errors import SparsebookError

KEPT = FOLDER / "imagenet"


def main() -> None:
    """Compress a model as the paper did, and print the paper's rows beside ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--synset", type=Path, help="a folder's name a line, in the outputs' order")
    parser.add_argument("--pixels", choices=PIXELS, default="torch")
    parser.add_argument("--mean", type=float, nargs=3, metavar=("R", "G", "B"))
    parser.add_argument("--std", type=float, nargs=3, metavar=("R", "G", "B"))
    parser.add_argument("--resize", type=int, default=256, help="the shorter side, before cropping")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--epochs", type=int)
    how.add_argument("--config", type=Path, help="the product's, in the place of the paper's")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, help="at most so many of train/, and of val/")
    parser.add_argument("--again", action="store_true", help="forget the runs that are kept")
    asked = parser.parse_args()
    pixels = dataclasses.replace(PIXELS[asked.pixels], resize=asked.resize)
    if asked.mean is not None:
        pixels = dataclasses.replace(pixels, mean=tuple(asked.mean))
    if asked.std is not None:
        pixels = dataclasses.replace(pixels, std=tuple(asked.std))
    try:
        found = run(
            asked.model,
            asked.data,
            pixels=pixels,
            synset=asked.synset,
            config=None if asked.config is None else json.loads(asked.config.read_text()),
            epochs=asked.epochs,
            seeds=asked.seeds,
            most=asked.images,
            again=asked.again,
        )
    except SparsebookError as said:
        raise SystemExit(str(said)) from said
    print("written:", write(f"imagenet-{asked.model.stem}", found))


def run(
    model: Path,
    data: Path,
    *,
    pixels: Pixels = PIXELS["torch"],
    synset: Path | None = None,
    config: Settings | None = None,
    epochs: int | None = None,
    seeds: int = 1,
    most: int | None = None,
    again: bool = False,
    kept: Path = KEPT,
) -> dict[str, Any]:
    """The whole road.

    Args:
        model: the .onnx file.
        data: the folder with `train/` and `val/`.
        pixels: how images become numbers.
        synset: which class a folder is (`imagenet_data.classes`).
        config: the product's config; None makes the paper's.
        epochs: of retraining, where `config` is None.
        seeds: how many compressions.
        most: images of `train/`, and of `val/`; None takes all.
        again: whether kept compressions are made anew.
        kept: where shards and compressions are kept.

    Raises:
        SystemExit: model or data are not what is expected.
        SparsebookError: the product's refusal.
    """
    graph = imagenet_nets.load(model)
    takes = imagenet_nets.takes(graph)
    net, layers = imagenet_nets.layers(graph, model)
    numbers = imagenet_data.classes(data, synset)
    parts = imagenet_data.split(data, numbers, most)
    shards = imagenet_data.write_shards(kept, parts, takes, pixels)
    settings = config or imagenet_nets.settings(net, layers, epochs)
    subject = Subject(model, imagenet_nets.digest(graph, model), takes, shards)
    runs = carry_out(subject, [seeded(settings, seed) for seed in range(seeds)], kept, again=again)
    found = facts(net, layers, subject, runs)
    print_tables(net, layers, found, runs)
    return {
        **found,
        "classes": len(numbers),
        "config": settings,
        "pixels": dataclasses.asdict(pixels),
    }


if __name__ == "__main__":
    main()
