"""What the worker refuses, each with its problem and the words that say what is wrong."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.unit.training.graphs import FEATURES, Graph, blobs, mlp, normal
from tests.unit.training.worker import PYTHON, Job

# One process for all of them: each is refused before anything is trained, and a process takes longer to start.
SCRIPT = """
import json, os, pathlib, sys
from sparsebook_training import errors, job, progress
out = os.fdopen(os.dup(1), "w")
channel = progress.Channel()
for folder in map(pathlib.Path, sys.argv[1:]):
    try:
        job.run(folder / "order", folder / "dataset", folder / "work", "cpu", channel)
    except errors.Failed as failure:
        left = sorted(path.name for path in (folder / "work").iterdir())
        print(json.dumps([failure.problem, failure.detail, left]), file=out)
    else:
        print(json.dumps(["none", "it was trained", []]), file=out)
"""
Change = Callable[[Job], None]


def order(**changes: object) -> Change:
    def change(job: Job) -> None:
        values = json.loads((job.order / "order.json").read_text()) | changes
        (job.order / "order.json").write_text(json.dumps(values))

    return change


def without(key: str) -> Change:
    def change(job: Job) -> None:
        values = json.loads((job.order / "order.json").read_text())
        del values[key]
        (job.order / "order.json").write_text(json.dumps(values))

    return change


def written(file: str, content: bytes) -> Change:
    return lambda job: (job.folder / file).write_bytes(content) and None


def removed(file: str) -> Change:
    return lambda job: (job.folder / file).unlink()


def model(edit: Callable[[onnx.ModelProto], object]) -> Change:
    def change(job: Job) -> None:
        found = onnx.load(job.order / "model.onnx", load_external_data=False)
        edit(found)
        (job.order / "model.onnx").write_bytes(found.SerializeToString())

    return change


def dataset(edit: Callable[[dict[str, object]], object]) -> Change:
    def change(job: Job) -> None:
        path = job.dataset / "dataset.json"
        values = json.loads(path.read_text())
        edit(values)
        path.write_text(json.dumps(values))

    return change


def array(name: str, values: np.ndarray) -> Change:
    return lambda job: np.save(job.dataset / f"train-00000.{name}.npy", values, allow_pickle=True)


def shard(values: dict[str, object]) -> dict[str, object]:
    return values["parts"]["train"][0]


def external(found: onnx.ModelProto) -> None:
    tensor = found.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../../secret")
    tensor.data_location = TensorProto.EXTERNAL


def hidden_external(found: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "inner")
    onnx.external_data_helper.set_external_data(tensor, "../../secret")
    tensor.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph([], "branch", [], [], [tensor])
    node = helper.make_node("If", ["condition"], ["out"], then_branch=branch, else_branch=branch)
    found.graph.node.append(node)


def without_gradient(job: Job) -> None:
    graph = Graph()
    hidden = graph.linear("x", "fc1", graph.parameter("fc1", normal(FEATURES, 4, seed=1)), 4)
    job.write_order(graph.classifier(graph.node("Elu", [hidden], "act")), graph.parameters)


def of_another_kind_in_training(job: Job) -> None:
    graph = Graph()
    hidden = graph.linear("x", "fc1", graph.parameter("fc1", normal(FEATURES, 4, seed=1)), 4)
    statistics = {"scale": 1.0, "shift": 0.0, "mean": 0.5, "variance": 4.0}
    names = [graph.constant(n, np.full(4, v, np.float32)) for n, v in statistics.items()]
    job.write_order(
        graph.classifier(graph.node("BatchNormalization", [hidden, *names], "norm")),
        graph.parameters,
    )


CASES: list[tuple[Change, str, str]] = [
    (order(epoch=1), "internal", "order.json: unknown key 'epoch'"),
    (without("seed"), "internal", "order.json: the key 'seed' is missing"),
    (order(format=2), "internal", "'format' must be an integer from 1 to 1, not 2"),
    (order(epochs="4"), "internal", "'epochs' must be an integer from 1 to 1000000, not '4'"),
    (order(epochs=True), "internal", "'epochs' must be an integer from 1 to 1000000, not True"),
    (order(feed=33), "internal", "'feed' must be an integer from 1 to 32, not 33"),
    (order(learning_rate=0), "internal", "'learning_rate' must be above 0"),
    (order(learning_rate=float("nan")), "internal", "'learning_rate' must be a finite number"),
    (order(weight_decay=-0.1), "internal", "'weight_decay' must be at least 0"),
    (order(optimizer="sgd", weight_decay=0.1), "internal", "'weight_decay' is AdamW's"),
    (order(noise={"labels": 0.5}), "internal", "there is no input 'labels' of floats to take elements from"),
    (order(noise={"x": 1.0}), "internal", "'noise': 1.0 is not above 0 and below 1"),
    (order(noise=[0.5]), "internal", "'noise' must be an object from names to numbers"),
    (order(shift={"labels": 1}), "internal", "there is no input 'labels' of floats to move along two axes"),
    (order(shift={"x": 1}), "internal", "there is no input 'x' of floats to move along two axes"),
    (order(shift={"x": 0}), "internal", "'shift': 0 is no integer from 1 to 1024"),
    (order(shift={"x": 1.0}), "internal", "'shift': 1.0 is no integer from 1 to 1024"),
    (order(shift=[1]), "internal", "'shift' must be an object from names to integers"),
    (order(optimizer="lion"), "internal", "'optimizer' must be one of adamw, sgd, not 'lion'"),
    (order(patience=0), "internal", "'patience' must be null or an integer from 1, not 0"),
    (order(keep_start=1), "internal", "'keep_start' must be true or false, not 1"),
    (order(parameters=[]), "internal", "'parameters' must be a list of names, at least one"),
    (order(parameters=["fc1", "fc1"]), "internal", "'parameters' names something twice"),
    (order(parameters=["fc1", 2]), "internal", "'parameters' must hold non-empty strings only"),
    (order(parameters=["fc3"]), "not-trainable", "'fc3' is no initializer of it"),
    (written("order/order.json", b"{"), "internal", "order.json: not JSON"),
    (written("order/order.json", b"\xff"), "internal", "order.json: not UTF-8"),
    (written("order/order.json", b"[1]"), "internal", "order.json: a JSON object is expected"),
    (written("order/order.json", b"[" * 100_000), "internal", "order.json: not JSON"),
    (removed("order/order.json"), "internal", "order.json is missing"),
    (removed("order/model.onnx"), "internal", "model.onnx is missing"),
    (written("order/model.onnx", b"\x0a\xff"), "internal", "model.onnx is no ONNX model"),
    (model(lambda m: setattr(m, "ir_version", 11)), "not-trainable", "its IR version is 11"),
    (model(lambda m: setattr(m.opset_import[0], "version", 22)), "not-trainable", "opset is 22"),
    (model(lambda m: m.graph.output.pop()), "not-trainable", "its outputs are loss, metric_sum"),
    (model(external), "not-trainable", "'fc1' refers to another file"),
    (model(hidden_external), "not-trainable", "'inner' refers to another file"),
    (without_gradient, "not-trainable", "The gradient builder has not been registered: Elu"),
    (of_another_kind_in_training, "not-trainable", "the graph with gradients is another function"),
    (removed("dataset/dataset.json"), "bad-data", "dataset.json is missing"),
    (dataset(lambda d: d.update(more=1)), "bad-data", "dataset.json: unknown key 'more'"),
    (dataset(lambda d: d["inputs"].pop()), "bad-data", "its inputs are ['x'], the graph's are"),
    (dataset(lambda d: d["parts"].update(test=[])), "bad-data", "'parts': unknown key 'test'"),
    (dataset(lambda d: d["parts"].update(train=[])), "bad-data", "'train' has no shards"),
    (dataset(lambda d: d["parts"].update(train={})), "bad-data", "'train' must be a list of shards"),
    (dataset(lambda d: shard(d).update(samples=0)), "bad-data", "shard 0 of 'train': 'samples'"),
    (dataset(lambda d: shard(d).update(samples=9)), "bad-data", "9 samples are promised"),
    (dataset(lambda d: shard(d)["files"].pop("x")), "bad-data", "must name one file an input"),
    (
        dataset(lambda d: shard(d)["files"].update(x="../order/x.npy")),
        "bad-data",
        "'../order/x.npy' is no plain file name",
    ),
    (removed("dataset/train-00000.x.npy"), "bad-data", "train-00000.x.npy is missing"),
    (written("dataset/train-00000.x.npy", b"PK"), "bad-data", "not a whole .npy of plain numbers"),
    (array("x", np.array([{}] * 40)), "bad-data", "not a whole .npy of plain numbers"),
    (array("x", np.ones((40, FEATURES))), "bad-data", "dtype is float64, the graph's input is"),
    (array("x", np.ones((40, 3), np.float32)), "bad-data", "a sample's shape is (3,), the graph's"),
    (array("x", np.ones((39, FEATURES), np.float32)), "bad-data", "its shape is (39, 20)"),
]  # fmt: skip


def test_every_refusal_says_what_is_wrong(tmp_path: Path) -> None:
    folders = []
    for index, (change, _, _) in enumerate(CASES):
        job = Job(tmp_path / str(index))
        job.write_order(*mlp())
        job.write_dataset([blobs(40, 1)], [blobs(20, 2)])
        change(job)
        folders.append(str(job.folder))
    command = [str(PYTHON), "-P", "-c", SCRIPT, *folders]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(CASES)
    for (problem, detail, left), (_, expected, words) in zip(found, CASES, strict=True):
        assert problem == expected, detail
        assert words in detail
        assert "onnxruntime" not in detail
        assert set(left) <= {"lock", "order.sha256"}


def test_a_fixed_first_dimension_takes_one_sample_a_run(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(*mlp(batch=1))
    job.write_dataset([blobs(40, 1)], [])
    assert "one sample a run, not 32" in job.fail("bad-data")


def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(*mlp())
    job.write_dataset([blobs(40, 1)], [])
    assert "there is no CUDA to train on" in job.fail("internal", arguments=("--device", "cuda"))
