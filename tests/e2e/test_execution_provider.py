"""The library as an execution provider: what it claims, what it leaves alone, and how it lives with the other door."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

import sparsebook_runtime
from sparsebook_runtime import EXECUTION_PROVIDER
from tests.unit.runtime.models import graph, normal, weight

Feed = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def devices() -> Iterator[list[Any]]:
    yield sparsebook_runtime.register_execution_provider()
    onnxruntime.unregister_execution_provider_library(EXECUTION_PROVIDER)


@pytest.fixture
def options(devices: list[Any]) -> onnxruntime.SessionOptions:
    """A session's options that take the execution provider, and no other call."""
    made = quiet()
    made.add_provider_for_devices(devices, {})
    return made


def quiet() -> onnxruntime.SessionOptions:
    made = onnxruntime.SessionOptions()
    made.log_severity_level = 4  # errors are raised as well
    return made


def mixed_model() -> tuple[onnx.ModelProto, Feed]:
    """Every operator of ours, with standard nodes among them; the names are what the tests look for."""
    table, dense, projection, kernel = (
        weight((9, 5))[0],
        weight((6, 5))[0],
        weight((5, 7))[0],
        weight((2, 1, 3))[0],
    )
    ours: dict[str, Any] = {"domain": "sparsebook"}
    nodes = [
        helper.make_node("Gemm", ["x", "dense"], ["g"], "ours.gemm", activation="relu", **ours),
        helper.make_node("Gather", ["table", "i"], ["rows"], "ours.gather", **ours),
        helper.make_node("Concat", ["g", "rows"], ["h"], "standard.concat", axis=0),
        helper.make_node("Decode", ["projection"], ["w"], "ours.decode", shape=[5, 7], **ours),
        helper.make_node("MatMul", ["h", "w"], ["m"], "standard.matmul"),
        helper.make_node("MatMul", ["m", "back"], ["b"], "ours.matmul", **ours),
        helper.make_node("Unsqueeze", ["b", "axis"], ["u"], "standard.unsqueeze"),
        helper.make_node("Conv", ["u", "kernel"], ["y"], "ours.conv", **ours),
    ]
    feed = {"x": normal(8, 6), "i": np.array([0, 3])}
    constants = {
        "dense": dense,
        "table": table,
        "projection": projection,
        "back": weight((7, 5), seed=3)[0],
        "kernel": kernel,
        "axis": np.array([1]),
    }
    return graph(nodes, feed, constants), feed


def providers_of(
    model: onnx.ModelProto, feed: Feed, options: onnxruntime.SessionOptions, folder: Path
) -> dict[str, str]:
    """Which provider ran each node, as ONNX Runtime's profile has it."""
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    made = onnxruntime.InferenceSession(model.SerializeToString(), options)
    made.run(None, feed)
    events = json.loads(Path(made.end_profiling()).read_text())
    return {
        event["name"].removesuffix("_kernel_time"): event["args"]["provider"]
        for event in events
        if event["name"].endswith("_kernel_time")
    }


def test_its_nodes_are_claimed_and_the_rest_is_left(
    options: onnxruntime.SessionOptions, tmp_path: Path
) -> None:
    model, feed = mixed_model()
    ran = providers_of(model, feed, options, tmp_path)
    ours = {name: provider for name, provider in ran.items() if name.startswith("ours.")}
    assert ours == {
        f"ours.{op}": EXECUTION_PROVIDER for op in ("gemm", "gather", "decode", "matmul", "conv")
    }
    others = {name: provider for name, provider in ran.items() if name not in ours}
    assert {"standard.concat", "standard.matmul"} <= set(others)
    assert set(others.values()) == {"CPUExecutionProvider"}


def test_a_session_reports_both_providers(options: onnxruntime.SessionOptions) -> None:
    made = onnxruntime.InferenceSession(mixed_model()[0].SerializeToString(), options)
    assert made.get_providers() == [EXECUTION_PROVIDER, "CPUExecutionProvider"]


def test_both_doors_give_the_same_bits(options: onnxruntime.SessionOptions) -> None:
    model, feed = mixed_model()
    (provided,) = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)
    (registered,) = sparsebook_runtime.InferenceSession(
        model.SerializeToString(), quiet(), providers=["CPUExecutionProvider"]
    ).run(None, feed)
    assert provided.tobytes() == registered.tobytes()


@pytest.mark.parametrize("order", ["provider first", "operators first", "operators twice"])
def test_both_doors_in_one_session(devices: list[Any], order: str, tmp_path: Path) -> None:
    made = quiet()
    if order != "provider first":
        sparsebook_runtime.register(made)
    made.add_provider_for_devices(devices, {})
    if order != "operators first":
        sparsebook_runtime.register(made)
    model, feed = mixed_model()
    ran = providers_of(model, feed, made, tmp_path)
    assert ran["ours.gemm"] == ran["ours.conv"] == EXECUTION_PROVIDER


def test_a_model_without_our_operators(options: onnxruntime.SessionOptions, tmp_path: Path) -> None:
    feed = {"x": normal(2, 3)}
    model = graph([helper.make_node("Relu", ["x"], ["y"], "standard.relu")], feed, {})
    assert providers_of(model, feed, options, tmp_path) == {"standard.relu": "CPUExecutionProvider"}


def test_nodes_in_a_subgraph_are_claimed(
    options: onnxruntime.SessionOptions, tmp_path: Path
) -> None:
    payload, dense = weight((8, 8))

    def branch(name: str, **attributes: Any) -> onnx.GraphProto:
        inner = helper.make_node(
            "MatMul", ["x", "w"], [name], f"ours.{name}", domain="sparsebook", **attributes
        )
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        return helper.make_graph([inner], name, [], [info])

    choose = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("else", transB=1)
    )
    x = normal(3, 8)
    model = graph([choose], {"c": np.array(True), "x": x}, {"w": payload})
    for condition, matrix in ((True, dense), (False, dense.T)):
        feed = {"c": np.array(condition), "x": x}
        made = onnxruntime.InferenceSession(model.SerializeToString(), options)
        np.testing.assert_allclose(made.run(None, feed)[0], x @ matrix, rtol=1e-4, atol=1e-4)
    ran = providers_of(model, {"c": np.array(True), "x": x}, options, tmp_path)
    assert ran["ours.then"] == EXECUTION_PROVIDER


@pytest.mark.parametrize("name", ["dense", "table", "projection", "back", "kernel"])
def test_a_damaged_payload_fails_the_session_by_its_name(
    options: onnxruntime.SessionOptions, name: str
) -> None:
    model, _ = mixed_model()
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    damaged = bytearray(tensor.raw_data)
    damaged[-1] ^= 1
    tensor.raw_data = bytes(damaged)
    with pytest.raises(Exception, match=f"sparsebook: weight '{name}': payload: checksum: "):
        onnxruntime.InferenceSession(model.SerializeToString(), options)


def test_a_wrong_input_fails_the_run_by_the_weight_s_name(
    options: onnxruntime.SessionOptions,
) -> None:
    model, feed = mixed_model()
    made = onnxruntime.InferenceSession(model.SerializeToString(), options)
    with pytest.raises(Exception, match=r"sparsebook: weight 'dense': X has shape \[8, 4\]"):
        made.run(None, feed | {"x": normal(8, 4)})
    with pytest.raises(Exception, match="sparsebook: weight 'table': index 9 is out of range"):
        made.run(None, feed | {"i": np.array([9])})
    made.run(None, feed)


def test_sessions_in_many_threads(devices: list[Any]) -> None:
    model, feed = mixed_model()
    wire = model.SerializeToString()

    def load_and_run(_: int) -> bytes:
        mine = quiet()
        mine.intra_op_num_threads = 2
        mine.add_provider_for_devices(devices, {})
        made = onnxruntime.InferenceSession(wire, mine)
        outputs = {made.run(None, feed)[0].tobytes() for _ in range(5)}
        assert len(outputs) == 1
        return outputs.pop()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load_and_run, range(24)))) == 1


def test_registering_again_does_nothing(devices: list[Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: sparsebook_runtime.register_execution_provider(), range(8)))
    assert all(len(found) == len(devices) == 1 for found in again)


RELOAD = """
import sys
import numpy as np, onnxruntime as ort, sparsebook_runtime as sparsebook
outputs = set()
for _ in range(3):
    options = ort.SessionOptions()
    options.add_provider_for_devices(sparsebook.register_execution_provider(), {})
    session = ort.InferenceSession(sys.argv[1], options)
    assert session.get_providers()[0] == sparsebook.EXECUTION_PROVIDER
    outputs.add(session.run(None, dict(np.load(sys.argv[2])))[0].tobytes())
    del session, options
    ort.unregister_execution_provider_library(sparsebook.EXECUTION_PROVIDER)
    assert sparsebook.EXECUTION_PROVIDER not in {d.ep_name for d in ort.get_ep_devices()}
assert len(outputs) == 1
# At the end of the process it may be registered, in use, or both.
options = ort.SessionOptions()
options.add_provider_for_devices(sparsebook.register_execution_provider(), {})
session = ort.InferenceSession(sys.argv[1], options)
"""


def test_unloaded_and_loaded_again(tmp_path: Path) -> None:
    model, feed = mixed_model()
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "feed.npz", **feed)
    command = [sys.executable, "-c", RELOAD, tmp_path / "model.onnx", tmp_path / "feed.npz"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
