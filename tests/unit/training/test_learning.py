"""The worker on small graphs: it learns, and what is not to be trained stays as it is."""

from pathlib import Path

from onnx import numpy_helper

from tests.unit.training.graphs import blobs, mlp, pruned_and_shared
from tests.unit.training.worker import Job


def test_it_learns_and_says_how(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(*mlp())
    job.write_dataset([blobs(600, 1), blobs(300, 2)], [blobs(200, 3)])
    lines = job.run()
    assert [line["kind"] for line in lines] == ["progress"] * (len(lines) - 1) + ["done"]
    result = job.train()  # a second start finds the first one's result
    values = result.values
    assert len(lines) - 1 <= 1 + 4 * values["seconds"]
    assert set(lines[0]) == {"kind", "epoch", "epochs", "fraction", "loss", "metric"} | {
        "samples_per_second"
    }
    assert [epoch["epoch"] for epoch in values["epochs"]] == [0, 1, 2, 3, 4]
    assert result.metrics[0] < 0.5
    assert max(result.metrics) > 0.9
    assert result.metrics[values["kept_epoch"]] == max(result.metrics)
    assert values["ended"] == "finished"
    assert values["steps"] == 4 * (600 // 32 + 300 // 32)
    assert len(values["learning_rates"]) == 4
    assert 0 < values["learning_rates"][-1] < values["learning_rates"][0] < 0.01
    assert values["samples_per_second"] > 0
    assert (values["device"], values["threads"]) == ("cpu", 1)
    assert values["versions"]["onnxruntime"].startswith("1.19.2")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "lock",
        "order.sha256",
        "result",
    ]


def test_masks_and_zeros_hold(tmp_path: Path) -> None:
    model, parameters, mask = pruned_and_shared()
    first = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    job = Job(tmp_path)
    job.write_order(model, parameters, keep_start=False, epochs=8)
    job.write_dataset([blobs(900, 1)], [blobs(200, 3)])
    result = job.train()
    assert max(result.metrics) > 0.85
    found = dict(zip(parameters, result.parameters, strict=True))
    assert (found["fc1"][~mask] == first["fc1"][~mask]).all()
    assert (found["fc1"][mask] != first["fc1"][mask]).all()
    assert found["fc2.codebook"].shape == (7,)
    assert (found["fc2.codebook"] != first["fc2.codebook"]).all()
