"""Trains the LSTM and the transformer that `benchmarks/labelled.py` compresses, with the product's own worker.

    .venv/bin/python -m benchmarks.baselines.train_labelled [--net lstm|transformer|both] [--out DIR]

One recipe for both (`RECIPE`), moved images among it, so that the baseline has all that its compressed form is given. The epoch whose state
is kept is chosen by the eval part; the 10,000 test images are looked at once, when the file has been written. The same seed gives the
same bytes.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.labelled_nets import INPUT, NETS, SIDE, Net
from benchmarks.paper_runs import right

SEED = 0
RECIPE = Recipe(epochs=6, learning_rate=2e-3, batch_size=64, weight_decay=0.01, seed=SEED, shift=1)


def main() -> None:
    """Train, write, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", choices=[*NETS, "both"], default="both")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    data = mnist.read()
    for net in NETS.values():
        if arguments.net in (net.name, "both"):
            train(net, data, arguments.out / f"{net.name}.onnx")


def train(net: Net, data: mnist.Mnist, path: Path) -> None:
    """Train one net and write it, with a JSON beside it that says how."""
    model = net.build(SEED)
    result = fit(model, data, (SIDE, SIDE), RECIPE)
    path.write_bytes(model.SerializeToString())
    errors = {
        name: 1 - float(right(path, INPUT, (SIDE, SIDE), part).mean())
        for name, part in (("eval", data.eval), ("test", data.test))
    }
    facts = {
        "net": net.name,
        "recipe": dataclasses.asdict(RECIPE),
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
    print(
        f"{net.name}: test error {errors['test']:.2%} (eval {errors['eval']:.2%}); {result.seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
