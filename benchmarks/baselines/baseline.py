"""How the nets that benchmarks start from are trained, written and judged, whichever they are."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from onnx import ModelProto

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.paper_runs import right


class Built(Protocol):
    """A net that can be made from a seed."""

    @property
    def name(self) -> str:
        """Of its files."""

    @property
    def build(self) -> Callable[[int], ModelProto]:
        """Makes it, the same one every time."""


def train(
    net: Built,
    images: tuple[str, tuple[int, ...]],
    recipe: Recipe,
    data: mnist.Mnist,
    path: Path,
    **facts: Any,
) -> None:
    """Train one net and write it, with a JSON beside it that says how; the test images are looked at once, when the file has been written.

    Args:
        net: what is trained.
        images: the input's name, and the shape of a sample there.
        recipe: how.
        data: MNIST.
        path: of the .onnx file.
        facts: for the JSON.
    """
    model = net.build(recipe.seed)
    name, shape = images
    result = fit(model, data, shape, recipe)
    path.write_bytes(model.SerializeToString())
    errors = {
        part: 1 - float(right(path, name, shape, digits).mean())
        for part, digits in (("eval", data.eval), ("test", data.test))
    }
    facts |= {
        "net": net.name,
        "recipe": dataclasses.asdict(recipe),
        "error": errors,
        "epochs": [
            {
                "epoch": row.epoch,
                "loss": row.loss,
                "eval_error": None if row.metric is None else 1 - row.metric,
            }
            for row in result.epochs
        ],
        "worker": result.versions,
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    seconds = f"{result.seconds:.0f} s"
    print(f"{net.name}: test error {errors['test']:.2%} (eval {errors['eval']:.2%}); {seconds}")


def asked(doc: str | None, nets: Iterable[str]) -> tuple[list[str], Path]:
    """The nets that the command line asks for, all of them by default, and the folder."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    names = list(nets)
    parser.add_argument("--net", choices=[*names, "both"], default="both")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    return (names if arguments.net == "both" else [arguments.net]), arguments.out
