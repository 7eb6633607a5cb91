"""Every setting of the paper's benchmark in one place, and what is asked of the results."""

import copy
import math
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]

# The densities and bits that the tables are made with.
CONFIGS: dict[str, Settings] = {
    "lenet-300-100": {
        "preset": "paper",
        "train": {"epochs": 80, "rate": 0.15, "noise": 0.3},
        "weights": {
            "fc1.weight": {"density": 0.061, "bits": 4},
            "fc2.weight": {"density": 0.09, "bits": 4},
            "fc3.weight": {"density": 0.5, "bits": 4},
        },
    },
    "lenet-5": {
        "preset": "paper",
        "train": {"epochs": 14, "learning_rate": 0.004, "rate": 0.05, "shift": 1},
        "weights": {
            "conv1.weight": {"density": 0.8, "bits": 5},
            "conv2.weight": {"density": 0.37, "bits": 4},
            "fc1.weight": {"density": 0.018, "bits": 3},
            "fc2.weight": {"density": 0.25, "bits": 4},
        },
    },
}

# The paper's own densities (Tables 2 and 3), from which the figures vary one thing at a time, in a few epochs a point.
FIGURE_CONFIGS: dict[str, Settings] = {
    "lenet-300-100": {
        "preset": "paper",
        "train": {"epochs": 8},
        "weights": {
            "fc1.weight": {"density": 0.08, "bits": 6},
            "fc2.weight": {"density": 0.09, "bits": 6},
            "fc3.weight": {"density": 0.26, "bits": 6},
        },
    },
    "lenet-5": {
        "preset": "paper",
        "train": {"epochs": 4},
        "weights": {
            "conv1.weight": {"density": 0.66, "bits": 8},
            "conv2.weight": {"density": 0.12, "bits": 8},
            "fc1.weight": {"density": 0.08, "bits": 5},
            "fc2.weight": {"density": 0.19, "bits": 5},
        },
    },
}

# What `compress` chooses where the config says nothing, so that half and twice of it can be asked for.
LEARNING_RATE = 1e-3
FACTORS = (0.5, 2.0)
VARIED = ("learning rate", "epochs", "density", "bits")


@dataclass(frozen=True)
class Bars:
    """What is asked: whole files of at most so many bytes with no loss, at most this error; densities by pruning alone.

    Each of the three is (must, aim, moonshot or None).
    """

    error: float
    bytes: tuple[float, float, float]
    pruning: tuple[float, float] = (12, 20)
    robust: tuple[float, float] = (0.70, 0.90)


BARS = {
    "lenet-300-100": Bars(0.0164, (22e3, 15e3, 8e3)),
    "lenet-5": Bars(0.0080, (22e3, 10e3, 5e3)),
}


# What a user waits for, and for how many minutes at most.
JOBS: dict[str, Settings] = {
    "defaults": {"preset": "paper"},
    "budget of half a point": {"preset": "paper", "budget": {"max_drop": 0.005}},
}
JOB_MINUTES = {"defaults": 10, "budget of half a point": 40}


def seeded(settings: Settings, seed: int) -> Settings:
    """The settings with a seed."""
    return {**copy.deepcopy(settings), "seed": seed}


def varied(settings: Settings, what: str, factor: float) -> Settings:
    """The settings with one of `VARIED` multiplied.

    Bits are rounded up to whole ones, and bits and densities stay in range.

    >>> varied({"weights": {"fc": {"density": 0.6, "bits": 3}}, "train": {}}, "bits", 0.5)["weights"]
    {'fc': {'density': 0.6, 'bits': 2}}
    >>> varied({"weights": {"fc": {"density": 0.6, "bits": 3}}, "train": {}}, "density", 2)["weights"]
    {'fc': {'density': 1.0, 'bits': 3}}
    """
    made = copy.deepcopy(settings)
    train, weights = made["train"], made["weights"].values()
    if what == "learning rate":
        train["learning_rate"] = factor * train.get("learning_rate", LEARNING_RATE)
    elif what == "epochs":
        train["epochs"] = max(1, round(factor * train["epochs"]))
    elif what == "density":
        for weight in weights:
            weight["density"] = min(1.0, factor * weight["density"])
    else:
        for weight in weights:
            weight["bits"] = min(8, max(1, math.ceil(factor * weight["bits"])))
    return made


def with_bits(settings: Settings, conv: int | None, dense: int | None) -> Settings:
    """The settings with other bits for convolutions, for dense layers or for both."""
    made = copy.deepcopy(settings)
    for name, weight in made["weights"].items():
        bits = conv if name.startswith("conv") else dense
        if bits is not None:
            weight["bits"] = bits
    return made


def with_density(settings: Settings, factor: float | None) -> Settings:
    """The settings with all densities multiplied, or nothing pruned (None)."""
    made = copy.deepcopy(settings)
    for weight in made["weights"].values():
        weight["density"] = 1.0 if factor is None else min(1.0, factor * weight["density"])
    return made


def with_init(settings: Settings, init: str) -> Settings:
    """The settings with another start of k-means."""
    return {**copy.deepcopy(settings), "share": {"init": init}}
