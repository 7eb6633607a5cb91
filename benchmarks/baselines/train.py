"""Trains the two LeNets that the paper's tables start from, with the product's own worker.

    .venv/bin/python -m benchmarks.baselines.train [--net lenet-300-100|lenet-5|both] [--out DIR]

One recipe for both (`RECIPE`), chosen by the eval part alone, as is the epoch whose state is kept. The 10,000 test
images are looked at once, when the file has been written. The same seed gives the same bytes.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import onnxruntime as ort

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.lenets import INPUT, LENETS, Lenet

SEED = 0
RECIPE = Recipe(epochs=20, learning_rate=1e-3, batch_size=64, weight_decay=0.2, seed=SEED)


def main() -> None:
    """Train, write, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", choices=[*LENETS, "both"], default="both")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    data = mnist.read()
    for net in LENETS.values():
        if arguments.net in (net.name, "both"):
            train(net, data, arguments.out / f"{net.name}.onnx")


def train(net: Lenet, data: mnist.Mnist, path: Path) -> None:
    """Train one net and write it, with a JSON beside it that says how."""
    model = net.build(SEED)
    result = fit(model, data, net.shape, RECIPE)
    path.write_bytes(model.SerializeToString())
    errors = {
        name: error(path, net, part) for name, part in (("eval", data.eval), ("test", data.test))
    }
    facts = {
        "net": net.name,
        "recipe": dataclasses.asdict(RECIPE),
        "error": errors,
        "paper_error": net.paper_error,
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
    print(
        f"{net.name}: test error {errors['test']:.2%} (eval {errors['eval']:.2%}), the paper's {net.paper_error:.2%}; "
        f"{result.seconds:.0f} s"
    )


def error(path: Path, net: Lenet, part: mnist.Part) -> float:
    """Share of a part that a net gets wrong."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scores = session.run(None, {INPUT: part.shaped(net.shape)})[0]
    return float((scores.argmax(axis=1) != part.labels).mean())


if __name__ == "__main__":
    main()
