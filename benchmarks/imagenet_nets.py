"""The model of the ImageNet benchmark: what it takes, which of the paper's nets it is, and the paper's settings for its weights."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from benchmarks.architectures import PAPER
from benchmarks.paper_configs import Settings
from sparsebook_compressor import Report
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey

_DENSE_ROLES = ("gemm", "matmul")


@dataclass(frozen=True)
class Input:
    """The model's one input: float32 [n, 3, height, width].

    Attributes:
        free: whether it takes any number of images at once, or one alone.
    """

    name: str
    height: int
    width: int
    free: bool


def load(path: Path) -> ModelProto:
    """The graph, with external data left where it is.

    Raises:
        SystemExit: no such file.
    """
    if not path.is_file():
        raise SystemExit(f"no {path}")
    return onnx.load(path, load_external_data=False)


def takes(model: ModelProto) -> Input:
    """What the model is fed with.

    Raises:
        SystemExit: something other than images of a fixed size.
    """
    specs = input_specs(model)
    found = ", ".join(f"{spec.name} {spec.dtype} {spec.dims}" for spec in specs) or "nothing"
    if len(specs) == 1 and specs[0].dtype == np.float32 and len(specs[0].dims) == 4:
        number, channels, height, width = specs[0].dims
        if number in (None, 1) and channels == 3 and height and width:
            return Input(specs[0].name, height, width, number is None)
    raise SystemExit(
        f"the model takes {found}; expected one float32 input [n, 3, height, width], n free or 1"
    )


def layers(model: ModelProto, path: Path) -> tuple[str | None, dict[str, str]]:
    """Which of the paper's nets a model is: the one with as many convolutions, and as many dense layers behind them.

    Args:
        model: as `load` gives it.
        path: its file.

    Returns:
        "alexnet", "vgg16" or None, and the paper's layer for each weight, in the order in which nodes consume them.
    """
    places = {node.output[0]: place for place, node in enumerate(model.graph.node)}
    weights = survey(model, path).weights
    # What is consumed inside of a subgraph has no place: neither net has subgraphs.
    if any(weight.role_use.node.output[0] not in places for weight in weights):
        return None, {}
    ordered = sorted(weights, key=lambda weight: places[weight.role_use.node.output[0]])
    kinds = ["fc" if weight.role in _DENSE_ROLES else weight.role for weight in ordered]
    for net, settings in PAPER.items():
        if kinds == ["fc" if layer.startswith("fc") else "conv" for layer in settings]:
            return net, dict(zip([weight.name for weight in ordered], settings, strict=True))
    return None, {}


def settings(net: str | None, found: Mapping[str, str], epochs: int | None) -> Settings:
    """The paper's densities and bits, layer by layer; of another net the preset's.

    Args:
        net: as `layers` says.
        found: the weights' layers.
        epochs: of retraining; None leaves them to the product.
    """
    made: Settings = {"preset": "paper", "train": {}}
    if epochs is not None:
        made["train"]["epochs"] = epochs
    if net is not None:
        made["weights"] = {
            name: {"density": PAPER[net][layer][0], "bits": PAPER[net][layer][1]}
            for name, layer in found.items()
        }
    return made


def named(report: Report, found: Mapping[str, str]) -> Report:
    """The report with weights called, and ordered, as the paper's layers; as it is where there are none."""
    if not found:
        return report
    rows = {row.name: row for row in report.weights}
    return replace(
        report,
        weights=tuple(replace(rows[name], name=layer) for name, layer in found.items()),
    )


def digest(model: ModelProto, path: Path) -> str:
    """Of the file and its external data."""
    outside = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    whole = hashlib.sha256()
    for file in (path, *(path.parent / name for name in sorted(outside))):
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
