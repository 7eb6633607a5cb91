"""Trains the LSTM and the transformer that `benchmarks/labelled.py` compresses, with the product's own worker.

    .venv/bin/python -m benchmarks.baselines.train_labelled [--net lstm|transformer|both] [--out DIR]

One recipe for both (`RECIPE`), moved images among it, so that the baseline has all that its compressed form is given. The epoch whose state
is kept is chosen by the eval part; the 10,000 test images are looked at once, when the file has been written. The same seed gives the
same bytes.
"""

from benchmarks import mnist
from benchmarks.baselines import baseline
from benchmarks.fitting import Recipe
from benchmarks.labelled_nets import INPUT, NETS, SIDE

RECIPE = Recipe(epochs=6, learning_rate=2e-3, batch_size=64, weight_decay=0.01, seed=0, shift=1)


def main() -> None:
    """Train, write, and say what came of it."""
    names, out = baseline.asked(__doc__, NETS)
    data = mnist.read()
    for name in names:
        images = INPUT, (SIDE, SIDE)
        baseline.train(NETS[name], images, RECIPE, data, out / f"{name}.onnx")


if __name__ == "__main__":
    main()
