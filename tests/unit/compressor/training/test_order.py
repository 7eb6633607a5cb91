"""The folder that goes to the worker, and the one that comes back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sparsebook_compressor import admit
from sparsebook_compressor.errors import InternalError
from sparsebook_compressor.training.orders.order import Order, read_result, write_order
from tests.unit.compressor.models import graph_of, model_of, node, value

ORDER = Order(
    parameters=("w", "b"),
    metric="mean",
    batch_size=32,
    feed=32,
    epochs=3,
    learning_rate=0.01,
    optimizer="adamw",
    schedule="cosine",
    patience=None,
    seed=7,
    keep_start=True,
)
RESULT: dict[str, Any] = {
    "format": 1,
    "epochs": [
        {"epoch": 0, "loss": None, "eval_loss": 2.0, "metric": 0.5},
        {"epoch": 1, "loss": 1.5, "eval_loss": 1.0, "metric": 0.75},
    ],
    "kept_epoch": 1,
    "ended": "finished",
    "learning_rates": [0.01],
    "steps": 10,
    "samples_per_second": None,
    "seconds": 1.0,
    "device": "cpu",
    "threads": 1,
    "versions": {"onnxruntime": "1.19.2"},
}


def write_answer(folder: Path, *parameters: np.ndarray, **changes: Any) -> Path:
    (folder / "parameters").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(RESULT | changes))
    for index, array in enumerate(parameters):
        np.save(folder / "parameters" / f"{index:05}.npy", array)
    return folder


def graph(*tensors: TensorProto) -> onnx.ModelProto:
    model = model_of(
        graph_of([node("Identity", ["x"], ["y"])], [value("x", [2])], [value("y", [2])])
    )
    model.graph.initializer.extend(tensors)
    return model


def written(folder: Path, model: onnx.ModelProto, values: dict[str, Any], source: Path) -> Any:
    write_order(folder, ORDER, model, values, source)
    found = onnx.load(folder / "model.onnx", load_external_data=False)
    onnx.checker.check_model(found)
    return {tensor.name: tensor for tensor in found.graph.initializer}


def test_the_order_says_all_that_the_specification_asks_for(tmp_path: Path) -> None:
    written(tmp_path / "order", graph(), {}, tmp_path)
    assert json.loads((tmp_path / "order" / "order.json").read_text()) == {
        "format": 1,
        "parameters": ["w", "b"],
        "metric": "mean",
        "select": "metric",
        "batch_size": 32,
        "feed": 32,
        "epochs": 3,
        "learning_rate": 0.01,
        "optimizer": "adamw",
        "schedule": "cosine",
        "weight_decay": 0.0,
        "patience": None,
        "keep_start": True,
        "seed": 7,
    }
    assert sorted(path.name for path in (tmp_path / "order").iterdir()) == [
        "model.onnx",
        "order.json",
    ]


def test_hollow_tensors_get_their_values_and_others_keep_theirs(tmp_path: Path) -> None:
    hollow = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3])
    codes = TensorProto(name="codes", data_type=TensorProto.UINT8, dims=[6])
    kept = onnx.numpy_helper.from_array(np.arange(4, dtype=np.int64), "kept")
    filled = {
        "w": lambda: np.arange(6, dtype=np.float32),
        "codes": lambda: np.arange(6, dtype=np.uint8),
    }
    found = written(tmp_path / "order", graph(hollow, kept, codes), filled, tmp_path)
    assert [tuple(tensor.dims) for tensor in found.values()] == [(2, 3), (4,), (6,)]
    arrays = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in found.items()}
    np.testing.assert_array_equal(arrays["w"], np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(arrays["kept"], np.arange(4))
    np.testing.assert_array_equal(arrays["codes"], np.arange(6, dtype=np.uint8))


@pytest.mark.parametrize("raw", [True, False])
def test_values_take_the_place_of_data_in_any_field(raw: bool, tmp_path: Path) -> None:
    """A bias that was trained in the round before: its old values stand in raw_data, or in float_data."""
    old = np.array([1, 2, 3], np.float32)
    bias = helper.make_tensor("b", TensorProto.FLOAT, [3], old.tobytes() if raw else old, raw)
    new = np.array([4, 5, 6], np.float32)
    found = written(tmp_path / "order", graph(bias), {"b": lambda: new}, tmp_path)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found["b"]), new)
    assert not found["b"].float_data


def test_what_lies_in_the_users_file_comes_along(tmp_path: Path) -> None:
    large = np.random.default_rng(0).standard_normal((200, 100)).astype(np.float32)
    beside = np.arange(5, dtype=np.float32)
    external = onnx.numpy_helper.from_array(beside, "beside")
    (tmp_path / "beside.bin").write_bytes(b"12345678" + external.raw_data)
    onnx.external_data_helper.set_external_data(external, "beside.bin", offset=8, length=20)
    external.ClearField("raw_data")
    path = tmp_path / "model.onnx"
    path.write_bytes(
        graph(onnx.numpy_helper.from_array(large, "large"), external).SerializeToString()
    )
    found = written(tmp_path / "order", admit.load(path), {}, path)
    for name, array in (("large", large), ("beside", beside)):
        assert found[name].data_location == TensorProto.DEFAULT
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(found[name]), array)


def test_a_weight_is_read_only_while_it_is_written(tmp_path: Path) -> None:
    held: list[str] = []
    names = [f"w{number}" for number in range(4)]

    def read(name: str) -> np.ndarray:
        held.append(name)
        return np.zeros(6, np.float32)

    tensors = [TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[6]) for name in names]
    filled = {name: (lambda name=name: read(name)) for name in names}
    written(tmp_path / "order", graph(*tensors), filled, tmp_path)
    assert held == names


def test_a_result_is_read_back(tmp_path: Path) -> None:
    arrays = np.ones((2, 3), np.float32), np.arange(3, dtype=np.float32)
    result = read_result(write_answer(tmp_path / "result", *arrays), ("w", "b"))
    for name, array in zip(("w", "b"), arrays, strict=True):
        np.testing.assert_array_equal(result.read(name), array)
    assert (result.kept_epoch, result.epochs[1].metric, result.epochs[0].loss) == (1, 0.75, None)
    assert (result.ended, result.samples_per_second) == ("finished", None)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, np.nan], np.float32),
        np.array([1, -np.inf], np.float32),
        np.array([1, 2], np.float64),
        np.array([1, 2], np.int32),
    ],
    ids=["nan", "infinity", "float64", "int32"],
)
def test_a_parameter_must_be_finite_floats(array: np.ndarray, tmp_path: Path) -> None:
    result = read_result(write_answer(tmp_path / "result", array), ("w",))
    with pytest.raises(InternalError, match="'w'"):
        result.read("w")


def test_a_parameter_that_is_missing_cut_short_or_an_object_is_the_workers_fault(
    tmp_path: Path,
) -> None:
    array = np.ones(50, np.float32)
    result = read_result(write_answer(tmp_path / "result", array), ("w", "b"))
    with pytest.raises(InternalError, match="'b'"):
        result.read("b")
    path = tmp_path / "result" / "parameters" / "00000.npy"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InternalError, match="'w'"):
        result.read("w")
    np.save(path, np.array([{"w": 1}], object), allow_pickle=True)
    with pytest.raises(InternalError, match="'w'"):
        result.read("w")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"kept_epoch"', '"kept"'),
        lambda text: text.replace('"metric"', '"mteric"'),
        lambda text: text.replace('"kept_epoch": 1', '"kept_epoch": 9'),
    ],
    ids=["empty", "cut", "list", "null", "format", "key", "epoch key", "epoch that is not there"],
)
def test_a_result_that_is_none_is_the_workers_fault(damage: Any, tmp_path: Path) -> None:
    folder = write_answer(tmp_path / "result", np.ones(1, np.float32))
    path = folder / "result.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(InternalError, match="result cannot be read"):
        read_result(folder, ("w",))


def test_no_result_is_the_workers_fault(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="result cannot be read"):
        read_result(tmp_path / "nowhere", ("w",))


def test_an_order_is_never_written_over(tmp_path: Path) -> None:
    write_order(tmp_path / "order", ORDER, graph(), {}, tmp_path)
    with pytest.raises(FileExistsError):
        write_order(tmp_path / "order", replace(ORDER, seed=8), graph(), {}, tmp_path)
