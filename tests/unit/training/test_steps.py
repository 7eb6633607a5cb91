"""Every step against the formulas of docs/training.md, in float64."""

from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.unit.training.graphs import line, regression
from tests.unit.training.worker import Job, Samples

SETTINGS = {"epochs": 3, "batch_size": 16, "seed": 7, "keep_start": False}


def moved(samples: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    found = np.zeros_like(samples)
    height, width = samples.shape[-2:]
    for i, y, x in np.ndindex(len(samples), height, width):
        from_y, from_x = y - down[i], x - right[i]
        if 0 <= from_y < height and 0 <= from_x < width:
            found[i, ..., y, x] = samples[i, ..., from_y, from_x]
    return found


def batches(
    shards: list[Samples], epoch: int, size: int, feed: int, order: dict[str, object]
) -> list[Samples]:
    """An epoch's, as docs/training.md has them in section 2."""
    seed = SETTINGS["seed"]
    shift, noise = order.get("shift", {}), order.get("noise", {})
    found = []
    for index in np.random.default_rng([seed, epoch]).permutation(len(shards)):
        samples = len(shards[index]["x"])
        rng = np.random.default_rng([seed, epoch, index])
        order = rng.permutation(samples)
        for start in range(0, max(1, samples // size) * size, size):
            chosen = order[start : start + size]
            runs = []
            for first in range(0, len(chosen), feed):
                part = chosen[first : first + feed]
                run = {name: array[part] for name, array in shards[index].items()}
                for name, most in shift.items():
                    offsets = rng.integers(-most, most, (2, len(part)), endpoint=True)
                    run[name] = moved(run[name], *offsets)
                for name, share in noise.items():
                    stays = rng.random(run[name].shape, np.float32) >= share
                    run[name] = run[name] * stays / (1 - share)
                runs.append(run)
            found.append({name: np.concatenate([run[name] for run in runs]) for name in runs[0]})
    return found


def reference(shards: list[Samples], order: dict[str, object], feed: int = 16) -> list[np.ndarray]:
    """The parameters after all epochs, and the losses of the epochs."""
    tensors = regression()[0].graph.initializer
    parameters = [numpy_helper.to_array(tensor).astype(np.float64) for tensor in tensors]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    epochs = [batches(shards, epoch, 16, feed, order) for epoch in (1, 2, 3)]
    steps, step = sum(map(len, epochs)), 0
    for batch in (batch for epoch in epochs for batch in epoch):
        x, y = (batch[name].astype(np.float64) for name in ("x", "y"))
        x = x.reshape(len(x), -1)
        error = x @ parameters[0] + parameters[1] - y
        gradients = [2 * x.T @ error / len(x), 2 * error.mean(0)]
        rate = float(order["learning_rate"])
        if order["schedule"] == "cosine":
            rate *= 0.5 * (1 + np.cos(np.pi * step / steps))
        step += 1
        for i, gradient in enumerate(gradients):
            if order["optimizer"] == "sgd":
                parameters[i] -= rate * gradient
                continue
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            corrected = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            parameters[i] -= corrected * first[i] / (np.sqrt(second[i]) + 1e-6)
            parameters[i] -= rate * float(order["weight_decay"]) * parameters[i]
    return parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.05, "weight_decay": 0.0},
        {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.05, "weight_decay": 0.0},
        {"optimizer": "adamw", "schedule": "cosine", "learning_rate": 0.02, "weight_decay": 0.1},
        {
            "optimizer": "sgd",
            "schedule": "constant",
            "learning_rate": 0.05,
            "weight_decay": 0.0,
            "noise": {"x": 0.25},
        },
    ],
    ids=["sgd-constant", "sgd-cosine", "adamw-cosine", "sgd-noise"],
)
def test_steps_follow_the_formulas(tmp_path: Path, changes: dict[str, object]) -> None:
    # 100 and 40 samples leave incomplete batches out; 10 are a batch of their own.
    shards = [line(100, 1), line(40, 2), line(10, 3)]
    job = Job(tmp_path)
    job.write_order(*regression(), **SETTINGS, feed=16, metric="one-minus-rms", **changes)
    job.write_dataset(shards, [])
    result = job.train()
    assert result.values["steps"] == 3 * (6 + 2 + 1)
    assert result.values["kept_epoch"] == 3
    for found, expected in zip(result.parameters, reference(shards, changes), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("shape", [(4, 5), (2, 2, 5)], ids=["grey", "colour"])
@pytest.mark.parametrize("feed", [16, 5, 1], ids=["whole", "part", "sample"])
def test_samples_are_moved_before_they_are_thinned(
    tmp_path: Path, shape: tuple[int, ...], feed: int
) -> None:
    pictures = [line(100, 1), line(10, 3)]
    for shard in pictures:
        shard["x"] = shard["x"].reshape(-1, *shape)
    changes: dict[str, object] = {"shift": {"x": 1}, "noise": {"x": 0.25}, "optimizer": "sgd"}
    changes |= {"schedule": "constant", "learning_rate": 0.05}
    job = Job(tmp_path)
    # One sample a run: the graph takes it as it is, without a dimension for samples.
    model = regression(free=feed > 1, shape=shape)
    job.write_order(*model, **SETTINGS, **changes, feed=feed, metric="one-minus-rms")
    job.write_dataset(pictures, [])
    result = job.train()
    for found, expected in zip(result.parameters, reference(pictures, changes, feed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_that_add_up_are_the_batchs(tmp_path: Path, optimizer: str) -> None:
    shards, evaluation = [line(100, 1), line(10, 3)], [line(30, 4)]
    settings = SETTINGS | {"optimizer": optimizer, "metric": "one-minus-rms"}
    results = []
    ways = {"whole": (regression(), 16), "part": (regression(), 5), "one": (regression(1), 1)}
    for name, (model, feed) in ways.items():
        job = Job(tmp_path / name)
        job.write_order(*model, **settings, feed=feed)
        job.write_dataset(shards, evaluation)
        results.append(job.train())
    # A graph without a dimension for samples is fed each sample as it is.
    job = Job(tmp_path / "sample")
    job.write_order(*regression(free=False), **settings, feed=1)
    job.write_dataset(shards, evaluation)
    results.append(job.train())
    whole = results.pop(0)
    for result in results:
        for found, expected in zip(result.parameters, whole.parameters, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert result.metrics == pytest.approx(whole.metrics, rel=1e-4)
        for kind in ("loss", "eval_loss"):
            found_losses, losses = (
                [epoch[kind] for epoch in each.values["epochs"][1:]] for each in (result, whole)
            )
            assert found_losses == pytest.approx(losses, rel=1e-4)
    assert whole.metrics[3] > whole.metrics[0]


def test_the_metric_is_of_all_samples(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(*regression(), epochs=1, metric="one-minus-rms", learning_rate=1e-9)
    evaluation = [line(50, 4), line(7, 5)]
    job.write_dataset([line(40, 1)], evaluation)
    result = job.train()
    weight = numpy_helper.to_array(regression()[0].graph.initializer[0])
    x, y = (np.concatenate([shard[name] for shard in evaluation]) for name in ("x", "y"))
    error = np.sum((x @ weight - y) ** 2)
    assert result.metrics[0] == pytest.approx(1 - np.sqrt(error / np.sum(y**2)), rel=1e-5)
    assert result.values["epochs"][0]["eval_loss"] == pytest.approx(error / 57, rel=1e-5)
