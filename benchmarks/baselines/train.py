"""Trains the two LeNets that the paper's tables start from, with the product's own worker.

    .venv/bin/python -m benchmarks.baselines.train [--net lenet-300-100|lenet-5|both] [--out DIR]

One recipe for both (`RECIPE`), chosen by the eval part alone, as is the epoch whose state is kept. The 10,000 test
images are looked at once, when the file has been written. The same seed gives the same bytes.
"""

from benchmarks import mnist
from benchmarks.baselines import baseline
from benchmarks.fitting import Recipe
from benchmarks.lenets import INPUT, LENETS

RECIPE = Recipe(epochs=20, learning_rate=1e-3, batch_size=64, weight_decay=0.2, seed=0)


def main() -> None:
    """Train, write, and say what came of it."""
    names, out = baseline.asked(__doc__, LENETS)
    data = mnist.read()
    for name in names:
        net = LENETS[name]
        images = INPUT, net.shape
        facts = {"paper_error": net.paper_error}
        baseline.train(net, images, RECIPE, data, out / f"{name}.onnx", **facts)


if __name__ == "__main__":
    main()
