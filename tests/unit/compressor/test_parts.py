"""A model run part by part says what it says when it is run whole."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from sparsebook_compressor import Config, admit, compress, measure, pipeline
from sparsebook_compressor.feeds import input_specs, synthetic
from sparsebook_compressor.parts import Parts
from sparsebook_runtime import library_path
from tests.unit.compressor.models import (
    HIDING,
    Hiding,
    constant,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)


def options(library: Path | None = None) -> ort.SessionOptions:
    made = measure.one_thread()
    if library is not None:
        made.register_custom_ops_library(str(library))
    return made


def both_ways(path: Path, folder: Path, most: int, library: Path | None = None) -> int:
    """Compare, and count the parts."""
    feeds: list[Any] = synthetic(input_specs(admit.load(path)), 8, 4, 0, samples=2)
    whole = [measure.session(path, library).run(None, feed) for feed in feeds]
    parts = Parts.of(path, most)
    folder.mkdir()
    found = list(parts.run(feeds, folder, partial(options, library)))
    for expected, outputs in zip(whole, found, strict=True):
        for a, b in zip(expected, outputs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    return len(parts.parts)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda each: each.name)
@pytest.mark.parametrize("output", ["operator", "portable"])
def test_every_hiding_place(hiding: Hiding, output: str, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    every = {"*": {"density": 0.5, "bits": 4}}
    config = Config.parse({"preset": "paper", "output": output, "weights": every})
    compress(path, tmp_path / "bundle", config, verify=False)
    both_ways(path, tmp_path / "a", 1)
    library = library_path() if output == "operator" else None
    both_ways(tmp_path / "bundle/model.onnx", tmp_path / "b", 1, library)


def chain(layers: int) -> onnx.ModelProto:
    """Products one after the other, a skipping value, and a weight that the first and the last of them share."""
    nodes, weights, name = [constant("scale", np.float32([0.5]))], {}, "x"
    for layer in range(layers):
        weight = "w0" if layer in (0, layers - 1) else f"w{layer}"
        weights[weight] = values(32, 32, dtype=np.float32) / (1 + layer)
        nodes += [node("MatMul", [name, weight], [f"h{layer}"])]
        nodes += [node("Mul", [f"h{layer}", "scale"], [f"s{layer}"])]
        name = f"s{layer}"
    nodes.append(node("Add", [name, "h0"], ["y"]))
    return model_of(
        graph_of(nodes, [value("x", ["n", 32])], [free("y", 2), free("h0", 2)], weights)
    )


def test_parts_hold_no_more_weights_than_they_may(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(chain(8).SerializeToString())
    assert both_ways(path, tmp_path / "a", 2 * 4 * 32 * 32 + 1000) == 4
    assert both_ways(path, tmp_path / "b", 1 << 20) == 1
    assert both_ways(path, tmp_path / "c", 1) == 8


def test_values_that_no_later_part_takes_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(chain(8).SerializeToString())
    parts = Parts.of(path, 1)
    waiting: list[int] = []

    def count() -> None:
        waiting.append(len(list(tmp_path.rglob("*.npy"))))

    feeds: list[Any] = synthetic(input_specs(admit.load(path)), 8, 4, 0, samples=1)
    list(parts.run(feeds, tmp_path / "values", options, count))
    # While a part's session lives: what it took and gave, and `h0`, which the last one takes.
    assert len(waiting) == 8
    assert max(waiting) <= 3


def test_random_values_are_the_same_in_every_part(tmp_path: Path) -> None:
    """They are made of constants alone, and not to be made again."""
    nodes = []
    for name in "ab":
        nodes += [
            node("MatMul", ["x", f"w{name}"], [f"h{name}"]),
            node("Mul", [f"h{name}", "nothing"], [f"z{name}"]),
            node("Add", [f"z{name}", "noise"], [name]),
        ]
    # Not the first node: ONNX Runtime draws by a node's place in its graph, which is another one in each part.
    nodes.insert(1, node("RandomNormal", [], ["noise"], shape=[32]))
    weights = {name: values(32, 32) for name in ("wa", "wb")}
    weights["nothing"] = np.zeros(1, np.float32)
    graph = graph_of(nodes, [value("x", ["n", 32])], [free("a", 2), free("b", 2)], weights)
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    parts = Parts.of(path, 4 * 32 * 32 + 1000)
    assert len(parts.parts) == 2
    feeds: list[Any] = synthetic(input_specs(admit.load(path)), 8, 4, 0, samples=1)
    ((a, b),) = parts.run(feeds, tmp_path / "values", options)
    assert np.abs(a).max() > 0
    np.testing.assert_array_equal(a, b)


def test_a_large_model_is_verified_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(chain(5).SerializeToString())
    whole = compress(path, tmp_path / "whole", operator_library=library_path())
    monkeypatch.setattr(pipeline, "MOST_WHOLE", 100)
    monkeypatch.setattr("sparsebook_compressor.measure.PART_BYTES", 5000)
    parts = compress(path, tmp_path / "parts", operator_library=library_path())
    assert whole.fidelity.parts == 1
    assert parts.fidelity.parts > 3
    for a, b in zip(whole.fidelity.outputs, parts.fidelity.outputs, strict=True):
        assert (a.name, a.relative_error) == (b.name, pytest.approx(b.relative_error, rel=1e-3))
    assert [row.form for row in parts.weights] == [row.form for row in whole.weights]
    assert all(row.form for row in parts.weights)
    first = (tmp_path / "whole/model.onnx").read_bytes()
    assert first == (tmp_path / "parts/model.onnx").read_bytes()
