"""An LSTM and a small transformer, trained with labels, pruned, shared and retrained with them: how small without a loss?

    make labelled    or    .venv/bin/python -m benchmarks.labelled [--net lstm|transformer|both] [--seeds 3]
                                                                   [--only tables|control] [--again]

The seed's own question. Asked for: whole files 20 times smaller with no loss, 35 times the aim. "No loss" is a mean over seeds, on the 10,000 test
images, of at most zero. Every compression is kept in build/benchmarks/labelled/ as soon as it has ended. The baselines are trained by
`benchmarks.baselines.train_labelled`. The settings have not been searched; test images are read after everything of a run is frozen.
"""

import argparse
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import mnist
from benchmarks.kept_runs import Hits, Kept, keep
from benchmarks.labelled_nets import INPUT, NETS, SIDE, Net
from benchmarks.paper_configs import Settings, seeded
from benchmarks.paper_runs import right
from benchmarks.paper_statistics import Spread, paired_loss
from benchmarks.results import FOLDER, show, write

MUST, AIM = 20.0, 35.0
SHAPE = (SIDE, SIDE)
RUNS = FOLDER / "labelled"
TRAINING = {"epochs": 20, "learning_rate": 2e-3, "rate": 0.1, "shift": 1}

CONFIGS: dict[str, Settings] = {
    "lstm": {
        "preset": "paper",
        "train": TRAINING,
        "weights": {
            "lstm.w": {"density": 0.15, "bits": 4},
            "lstm.r": {"density": 0.15, "bits": 4},
            "head.weight": {"density": 0.4, "bits": 4},
        },
    },
    "transformer": {
        "preset": "paper",
        "train": TRAINING,
        "weights": {
            "*": {"density": 0.15, "bits": 4},
            "positions": {"density": 0.5, "bits": 4},
            "head.weight": {"density": 0.5, "bits": 4},
        },
    },
}


def main() -> None:
    """Compress what is asked for, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", choices=[*NETS, "both"], default="both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["tables", "control"], default="tables")
    parser.add_argument("--again", action="store_true", help="forget the runs that are kept")
    arguments = parser.parse_args()
    digits = mnist.read()
    make = unpruned if arguments.only == "control" else dict
    results = []
    for net in NETS.values():
        if arguments.net in (net.name, "both"):
            settings = make(CONFIGS[net.name])
            jobs = [seeded(settings, seed) for seed in range(arguments.seeds)]
            results.append(measured(net, jobs, digits, arguments.again))
    columns = (
        "net",
        "original",
        "artifact",
        "ratio",
        "error before",
        "after",
        "each seed",
        "lost, mean and 95%",
        "20x, no loss",
        "took",
    )
    show(
        "Trained with labels, compressed with labels", columns, [_cells(found) for found in results]
    )
    name = "labelled" if arguments.only == "tables" else "labelled-control"
    facts = {"must": MUST, "aim": AIM, "seeds": arguments.seeds}
    print("written:", write(name, results, whole=arguments.net == "both", **facts))


def measured(net: Net, jobs: list[Settings], digits: mnist.Mnist, again: bool) -> dict[str, Any]:
    """One net with one setting, over its seeds."""
    runs = [carried_out(net, settings, digits, again) for settings in jobs]
    before = right(net.trained, INPUT, SHAPE, digits.test)
    ratios = [run.report.ratio for run in runs]
    return {
        "net": net.name,
        "settings": jobs[0],
        "input_bytes": runs[0].report.input.bytes,
        "bytes": [run.report.artifact.bytes for run in runs],
        "ratio": asdict(Spread.of(ratios)),
        "least_ratio": min(ratios),
        "error_before": 1 - float(before.mean()),
        "errors": [1 - float(run.hits.mean()) for run in runs],
        "lost": asdict(paired_loss(before, [run.hits for run in runs])),
        "stages": [_stages(run) for run in runs],
        "density": _densities(runs[0]),
        "seconds": [run.seconds for run in runs],
        "faults": [run.fault for run in runs],
        "old": any(run.is_old for run in runs),
    }


def carried_out(net: Net, settings: Settings, digits: mnist.Mnist, again: bool) -> Kept:
    """A compression, made now or kept from before."""
    key = hashlib.sha256(
        json.dumps(settings, sort_keys=True).encode()
        + net.trained.read_bytes()
        + mnist.MD5.read_bytes()
    )
    folder = RUNS / f"{net.name}-{key.hexdigest()[:16]}"
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        keep(folder, net.trained, settings, _data(digits), lambda made: _hits(made, digits))
        made = Kept.read(folder)
        print(
            f"{net.name}: {made.report.artifact.bytes:,} bytes ({made.report.ratio:.1f}x), test error {1 - made.hits.mean():.2%}, "
            f"{made.seconds:.0f} s",
            flush=True,
        )
    return Kept.read(folder)


def unpruned(settings: Settings) -> Settings:
    """The same training of all weights, shared by 8 bits: what of the result owes to the training alone."""
    rows = {name: {"density": 1.0, "bits": 8} for name in settings["weights"]}
    train = {key: value for key, value in settings["train"].items() if key != "rate"}
    return {**settings, "train": train, "weights": rows}


def _hits(model: Path, digits: mnist.Mnist) -> Hits:
    return right(model, INPUT, SHAPE, digits.test)


def _data(digits: mnist.Mnist) -> Path:
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / "data.npz"
    if not path.exists():
        partial = path.with_suffix(".partial.npz")
        mnist.write_npz(partial, digits, INPUT, SHAPE)
        partial.replace(path)
    return path


def _stages(run: Kept) -> dict[str, float | None]:
    """Test error after each stage."""
    assert run.report.training is not None
    rows = run.report.training.stages
    return {row.stage: None if row.metric is None else 1 - row.metric for row in rows}


def _densities(run: Kept) -> dict[str, float]:
    return {row.name: row.density for row in run.report.weights}


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
    lost = found["lost"]
    kept = lost["mean"] <= 0
    after = Spread.of(found["errors"])
    bars = [f"{bar:.0f}x" for bar in (MUST, AIM) if found["least_ratio"] >= bar]
    return (
        found["net"],
        f"{found['input_bytes']:,}",
        f"{max(found['bytes']):,}",
        f"{found['least_ratio']:.1f}x",
        f"{found['error_before']:.2%}",
        f"{after.mean:.2%}"
        + ("" if after.deviation is None else f" ± {100 * after.deviation:.2f}"),
        ", ".join(f"{100 * error:.2f}" for error in found["errors"]),
        f"{lost['mean']:+.2%} ({lost['low']:+.2%} to {lost['high']:+.2%})",
        bars[-1] if kept and bars else "no",
        f"{max(found['seconds']):.0f} s",
    )


if __name__ == "__main__":
    main()
