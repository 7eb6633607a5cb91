"""External data of a model is read from inside its folder alone, and refused by name where it is anywhere else."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor import compress
from sparsebook_compressor.errors import (
    ExternalDataMissing,
    ExternalDataOutside,
    InputError,
    InvalidGraph,
)
from tests.unit.compressor.models import (
    FLOAT,
    K,
    N,
    constant,
    graph_of,
    node,
    one_matmul,
    value,
    values,
)
from tests.unit.compressor.refusals import PAPER, graph_with, refused, saved


def external(location: str, **entries: Any) -> ModelProto:
    model = one_matmul()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, entry in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=str(entry))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a file of weights, and a file beside it that is nobody's business."""
    inside = tmp_path / "models" / "lenet"
    inside.mkdir(parents=True)
    (inside / "w.bin").write_bytes(values(K, N).tobytes())
    (tmp_path / "models" / "secret.bin").write_bytes(values(K, N).tobytes())
    return inside


OUTSIDE = [
    "../secret.bin",
    "sub/../../secret.bin",
    "..",
    ".",
    "",
    "/etc/passwd",
    "\\\\server\\w.bin",
    "..\\secret.bin",
    "link.bin",
    "linked/secret.bin",
    "hard.bin",
    "sub",
    "pipe",
    "\0own file",
    "w.bin\0",
]


@pytest.mark.parametrize("location", OUTSIDE, ids=repr)
def test_external_data_outside_the_folder_is_refused(
    location: str, folder: Path, out: Path
) -> None:
    (folder / "sub").mkdir()
    (folder / "link.bin").symlink_to(folder / "w.bin")
    (folder / "linked").symlink_to(folder.parent)
    os.link(folder / "w.bin", folder / "hard.bin")
    os.mkfifo(folder / "pipe")
    message = refused(ExternalDataOutside, saved(external(location), folder), out)
    assert "weight 'w'" in message


@pytest.mark.parametrize("where", ["weight", "bias", "Constant", "If"])
def test_external_data_of_any_tensor_stays_inside(where: str, folder: Path, out: Path) -> None:
    """Those that are left alone are copied into the artifact, so they are looked at as well."""
    outside = TensorProto(name="b", data_type=FLOAT, dims=[N], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../secret.bin")
    outside.external_data.add(key="length", value=str(4 * N))
    if where == "weight":
        model = external("../secret.bin")
    else:
        model = graph_with(node("Gemm", ["x", "w", "b"], ["y"]), w=values(K, N))
        if where == "bias":
            model.graph.initializer.append(outside)
        elif where == "Constant":
            model.graph.node.insert(0, node("Constant", [], ["b"], value=outside))
        else:
            then = graph_of([node("Identity", ["i"], ["t"])], [], [value("t", None)])
            outside.name = "i"
            then.initializer.append(outside)
            other = graph_of(
                [node("Identity", ["e"], ["o"])], [], [value("o", None)], {"e": values(N)}
            )
            choice = node("If", ["yes"], ["b"], then_branch=then, else_branch=other)
            model.graph.node.insert(0, choice)
            model.graph.node.insert(0, constant("yes", np.array(True)))
    refused(ExternalDataOutside, saved(model, folder), out)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (external("gone.bin"), ExternalDataMissing),
        (external("sub/gone.bin"), ExternalDataMissing),
        (external("w.bin", offset=4), ExternalDataMissing),
        (external("w.bin", offset=10**30), ExternalDataMissing),
        (external("short.bin"), ExternalDataMissing),
        (external("x" * 5000), ExternalDataMissing),
        (external("w.bin", length=4), InvalidGraph),
        (external("w.bin", length=-1), InvalidGraph),
        (external("w.bin", offset=-4), InvalidGraph),
        (external("w.bin", offset="four"), InvalidGraph),
        (external("w.bin", offset="9" * 5000), InvalidGraph),
    ],
    ids=[
        "no file",
        "no folder",
        "past the end",
        "far past the end",
        "file too short",
        "a name too long",
        "length too short",
        "negative length",
        "negative offset",
        "offset that is no number",
        "offset that is too long a number",
    ],
)
def test_external_data_that_is_not_there_is_refused(
    model: ModelProto, kind: type[InputError], folder: Path, out: Path
) -> None:
    (folder / "short.bin").write_bytes(bytes(100))
    assert "'w'" in refused(kind, saved(model, folder), out)


def test_external_data_needs_no_length_and_no_offset(folder: Path, tmp_path: Path) -> None:
    """The dimensions say how much of the file is meant, for weights and for what is left alone."""
    (folder / "w.bin").write_bytes(values(K, N).tobytes() + values(N).tobytes() + bytes(1000))
    model = external("w.bin")
    model.graph.node[0].CopyFrom(node("Gemm", ["x", "w", "b"], ["y"]))
    bias = TensorProto(name="b", data_type=FLOAT, dims=[N], data_location=TensorProto.EXTERNAL)
    bias.external_data.add(key="location", value="w.bin")
    bias.external_data.add(key="offset", value=str(4 * K * N))
    model.graph.initializer.append(bias)
    path = saved(model, folder)
    compress(path, tmp_path / "bundle", PAPER, verify=False)
    artifact = onnx.load(tmp_path / "bundle" / "model.onnx")
    found = {found.name: found for found in artifact.graph.initializer}
    assert onnx.numpy_helper.to_array(found["b"]).tobytes() == values(N).tobytes()
