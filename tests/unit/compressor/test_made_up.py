"""Inputs made up for models that came with none."""

from pathlib import Path

import numpy as np

from sparsebook_compressor import Config, compress
from sparsebook_compressor.feeds import InputSpec, input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.made_up import Lookups, candidates, readings, sizes
from sparsebook_service.bench import feeding
from sparsebook_service.bench.subject import Subject
from tests.unit.compressor.models import FLOAT, INT64, free, graph_of, model_of, node, value, values

F32 = np.dtype(np.float32)
STATE = InputSpec("state", F32, (2, None, 3), ("", "", ""))


def test_a_lone_nameless_dimension_may_be_the_batch() -> None:
    sound = InputSpec("sound", F32, (None, None), ("", ""))
    first, second = readings((sound, STATE))
    assert first == (sound, STATE)
    assert second[0].symbols[0] == second[1].symbols[1] != ""
    shapes = [
        {name: array.shape for name, array in feeds[0].items()}
        for feeds in candidates((sound, STATE), Lookups(2), 0, 1)
    ]
    assert {"sound": (1, 512), "state": (2, 512, 3)} in shapes
    assert {"sound": (1, 512), "state": (2, 1, 3)} in shapes
    assert len(shapes) == 2 * len(sizes(first))


def test_the_batch_keeps_the_name_that_an_input_gives_it() -> None:
    sound = InputSpec("sound", F32, (None, None), ("n", "t"))
    _, second = readings((sound, STATE))
    assert second[0] == sound
    assert second[1].symbols == ("", "n", "")


def test_other_dimensions_are_read_in_one_way() -> None:
    fixed = InputSpec("image", F32, (1, 3, None, None), ("", "", "", ""))
    named = InputSpec("state", F32, (2, None, 3), ("", "n", ""))
    batched = InputSpec("x", F32, (None, 4), ("", ""))
    assert readings((fixed, named, batched)) == ((fixed, named, batched),)


def recurrent() -> bytes:
    """A state whose batch has no name, beside an input of which no dimension has one."""
    nodes = [
        node("Gather", ["state", "last"], ["h"], axis=0),
        node("MatMul", ["x", "w"], ["product"]),
        node("Concat", ["product", "h"], ["y"], axis=1),
    ]
    inputs = [value("x", [None, 32]), value("state", [2, None, 3])]
    weights = {"w": values(32, 24), "last": np.array(1)}
    return model_of(graph_of(nodes, inputs, [free("y", 2)], weights)).SerializeToString()


def test_a_model_with_such_a_state_is_run_measured_and_calibrated(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(recurrent())
    report = compress(model, tmp_path / "safe", Config(output="portable"))
    assert report.fidelity.skipped is None
    assert report.fidelity.samples == 8
    assert report.fidelity.outputs[0].relative_error < 0.05
    small = compress(model, tmp_path / "small", Config(preset="small", output="portable"))
    assert small.calibration is not None
    assert small.calibration.inputs == "synthetic"
    original = Subject.read(model, "operators")
    found = feeding.find(original, input_specs(original.parsed), (), (1, 4))
    assert {batch: feed["state"].shape for batch, feed in found.by_batch.items()} == {
        1: (2, 1, 3),
        4: (2, 4, 3),
    }


def test_floats_that_are_looked_up_are_rows_of_the_table(tmp_path: Path) -> None:
    """Keras takes ids as floats and casts them."""
    nodes = [
        node("Cast", ["words"], ["ids"], to=INT64),
        node("Gather", ["table", "ids"], ["y"]),
        node("Gather", ["kinds", "kind"], ["z"]),
    ]
    inputs = [value("words", ["n", 9], FLOAT), value("kind", ["n"], INT64)]
    weights = {"table": values(500, 16), "kinds": values(40, 16)}
    model = model_of(graph_of(nodes, inputs, [free("y", 3), free("z", 2)], weights))
    lookups = Lookups.of(model, survey(model, tmp_path / "model.onnx"))
    assert lookups == Lookups(40, {"words": 500, "kind": 40})
    feeds = next(candidates(input_specs(model), lookups, 0, 20))
    words = np.concatenate([feed["words"] for feed in feeds])
    assert words.dtype == np.float32
    assert (words == np.floor(words)).all()
    assert 40 < words.max() < 500
    assert words.min() >= 0
    assert max(int(feed["kind"].max()) for feed in feeds) < 40
