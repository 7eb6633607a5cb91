"""Local files with the label that magika should give them, told by their suffix."""

import json
from pathlib import Path

import numpy as np

from benchmarks.inputs import MODELS

_KINDS = MODELS / "magika/config/content_types_kb.min.json"
_SETTINGS = MODELS / "magika/models/standard_v3_3/config.min.json"
_FOLDERS = (".venv", ".models", ".tools", "compressor", "runtime", "service", "docs", "tests")
# So many of one label: most files of an environment are Python's.
_MOST_ALIKE = 60
_FEWEST_BYTES = 64


def labelled(root: Path = MODELS.parent) -> tuple[list[Path], list[str], list[str]]:
    """Files, their labels, and the labels of the model's outputs in order.

    Only suffixes that belong to one label of the model count.
    """
    names: list[str] = json.loads(_SETTINGS.read_text())["target_labels_space"]
    kinds = json.loads(_KINDS.read_text())
    owners: dict[str, list[str]] = {}
    for label in names:
        for suffix in kinds.get(label, {}).get("extensions", []):
            owners.setdefault(f".{suffix}", []).append(label)
    by_label: dict[str, list[Path]] = {}
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            owner = owners.get(path.suffix, [])
            if len(owner) == 1 and path.is_file() and path.stat().st_size >= _FEWEST_BYTES:
                by_label.setdefault(owner[0], []).append(path)
    paths, labels = [], []
    for label, every in sorted(by_label.items()):
        taken = np.unique(np.linspace(0, len(every) - 1, _MOST_ALIKE).astype(int))
        paths += [every[index] for index in taken]
        labels += [label] * len(taken)
    return paths, labels, names
