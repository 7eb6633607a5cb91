"""Calibration on made-up inputs, for a weight in every place where it can hide."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor import Config, compress
from sparsebook_compressor.calibration import synthetic
from sparsebook_compressor.errors import NothingToCompress
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.made_up import table_rows
from sparsebook_runtime import library_path
from tests.unit.compressor import models
from tests.unit.compressor.models import HIDING, Hiding, free, graph_of, model_of, node, value


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: str(hiding.name))
def test_every_model_compresses(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    config = Config.parse({"preset": "small", "calibrate": {"samples": 8}})
    out = tmp_path / "out"
    if "function" in hiding.name:
        # Functions have no initializers that could be replaced on the workbench: some leave nothing to calibrate.
        with contextlib.suppress(NothingToCompress):
            compress(path, out, config, operator_library=library_path())
        return
    report = compress(path, out, config, operator_library=library_path())
    assert report.calibration is not None
    assert report.calibration.inputs == "synthetic"
    assert (out / "model.onnx").exists()


def test_token_ids_stay_below_the_table_that_they_look_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "words": rng.standard_normal((500, 16)).astype(np.float32),
        "kinds": rng.standard_normal((2, 128)).astype(np.float32)[:, :16].repeat(8, 1),
    }
    nodes = [
        node("Cast", ["ids"], ["wide"], to=models.INT64),
        node("Gather", ["words", "wide"], ["a"]),
        node("Gather", ["kinds", "kind"], ["b"]),
        node("ReduceSum", ["b"], ["s"], keepdims=0),
        node("Add", ["a", "s"], ["y"]),
    ]
    inputs = [value(name, ["n", "t"], models.INT64) for name in ("ids", "kind", "mask")]
    nodes.append(node("Identity", ["mask"], ["m"]))
    outputs = [free("y", 3), value("m", ["n", "t"], models.INT64)]
    model = model_of(graph_of(nodes, inputs, outputs, constants))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    view = survey(model, path)
    assert table_rows(model, view) == {"ids": 500, "kind": 2}
    to = synthetic.write(path, model, view, input_specs(model), 0, tmp_path / "made.npz")
    with np.load(to) as made:
        assert {name: len(made[name]) for name in made.files if "ids" in name} == {
            prefix + "ids": count for prefix, count in synthetic.PARTS.items()
        }
        assert made["ids"].max() > 400
        assert made["ids"].max() < 500
        assert set(np.unique(made["kind"])) == {0, 1}
        assert (made["mask"] == 1).all()
