"""Kernels run on the threads of their session, and give the same bits on any number of them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sparsebook_runtime import library_path
from tests.e2e.test_ort_versions import DOORS, ENVIRONMENTS
from tests.unit.runtime.models import graph, normal, weight

PROBE = Path("build/native/tests/native/libprobe.so")
# Only the standard library, NumPy and ONNX Runtime: what every environment has.
MEET = """
import json, sys
import numpy as np, onnxruntime as ort
from concurrent.futures import ThreadPoolExecutor
probe, model = sys.argv[1:]
def session(threads):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.register_custom_ops_library(probe)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
def meet(made, calls, together, *fail_at):
    feed = {"calls": np.float32([calls]), "together": np.float32([together])}
    feed["fail_at"] = np.array(fail_at, np.uint8)
    try:
        return made.run(None, feed)[0].tolist()
    except Exception as error:
        return str(error)
found = {threads: meet(session(threads), 64, threads) for threads in (1, 2, 4)}
failed = {threads: meet(session(threads), 64, threads, 63, 5, 40) for threads in (1, 2, 4)}
shared, empty = session(4), session(4)
with ThreadPoolExecutor(6) as pool:
    at_once = list(pool.map(lambda made: meet(made, 200, 1), [shared] * 12 + [session(2)] * 12))
after_failure = meet(shared, 3, 1, 1), meet(shared, 64, 4)
none = meet(empty, 0, 1), meet(empty, 1, 1)
print(json.dumps([found, failed, at_once, after_failure, none]))
"""
RUN = """
import hashlib, json, sys
import numpy as np, onnxruntime as ort
from concurrent.futures import ThreadPoolExecutor
library, door, model, feeds = sys.argv[1:]
arrays = np.load(feeds)
devices = []
if door == "provider":
    ort.register_execution_provider_library("sparsebook", library)
    devices = [d for d in ort.get_ep_devices() if d.ep_name.startswith("Sparsebook")]
def digest(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if devices:
        options.add_provider_for_devices(devices, {})
        session = ort.InferenceSession(model, options)
    else:
        options.register_custom_ops_library(library)
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = []
    for batch in (1, 2, 9, 70):
        feed = {"x": arrays["x"][:batch], "i": arrays["i"][:batch]}
        outputs.append(session.run(None, feed)[0].tobytes())
    return hashlib.sha256(b"".join(outputs)).hexdigest()
alone = [digest(threads) for threads in (1, 2, 4)]
with ThreadPoolExecutor(4) as pool:
    together = list(pool.map(digest, [1, 2, 4, 3]))
print(json.dumps([alone, together]))
"""


def run_in(environment: str, script: str, *arguments: object) -> object:
    command = [ENVIRONMENTS[environment], "-c", script, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node = helper.make_node(
        "Meet", ["calls", "together", "fail_at"], ["y"], domain="sparsebook.test"
    )
    inputs = [
        helper.make_tensor_value_info("calls", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("together", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("fail_at", TensorProto.UINT8, [None]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("sparsebook.test", 1)]
    model = helper.make_model(
        helper.make_graph([node], "meeting", inputs, [output]), opset_imports=imports, ir_version=8
    )
    path = tmp_path_factory.mktemp("meeting") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_session_s_threads_are_lent(environment: str, meeting: Path) -> None:
    assert PROBE.exists(), f"{PROBE} is missing: make native-test"
    answer = run_in(environment, MEET, PROBE, meeting)
    assert isinstance(answer, list)
    found, failed, at_once, after_failure, none = answer
    # As many threads as the session has, met at one time; every index once.
    assert found == {str(threads): [threads, 64 * 63 / 2] for threads in (1, 2, 4)}
    assert set(failed) == {"1", "2", "4"}
    assert all("sparsebook: weight 'fail_at': call 5 failed" in said for said in failed.values())
    assert len(at_once) == 24
    assert all(1 <= threads <= 5 and total == 200 * 199 / 2 for threads, total in at_once)
    assert "call 1 failed" in after_failure[0]
    assert after_failure[1] == [4, 64 * 63 / 2]
    assert none == [[0, 0], [1, 0]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Our operators alone, of sizes that are worth cutting up, and what they read."""
    shapes = {
        "first": (32, 8, 3, 3),
        "second": (48, 16, 5, 3),
        "dense": (48 * 16 * 18, 300),
        "square": (300, 300),
        "table": (500, 300),
    }
    constants = {
        name: weight(shape, 0.1, seed=seed)[0] for seed, (name, shape) in enumerate(shapes.items())
    }
    ours: dict[str, Any] = {"domain": "sparsebook"}
    nodes = [
        helper.make_node(
            "Conv", ["x", "first"], ["a"], pads=[1, 1, 1, 1], activation="relu", **ours
        ),
        helper.make_node("Conv", ["a", "second"], ["b"], group=2, **ours),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "dense"], ["d"], activation="relu", **ours),
        helper.make_node("MatMul", ["d", "square"], ["e"], **ours),
        helper.make_node("Gather", ["table", "i"], ["f"], **ours),
        helper.make_node("Concat", ["e", "f"], ["y"], axis=0),
    ]
    feeds = {
        "x": normal(70, 8, 20, 20),
        "i": np.random.default_rng(0).integers(0, 500, 70),
    }
    folder = tmp_path_factory.mktemp("network")
    onnx.save(graph(nodes, feeds, constants), folder / "model.onnx")
    np.savez(folder / "feeds.npz", **feeds)
    return folder / "model.onnx", folder / "feeds.npz"


@pytest.mark.parametrize(
    ("environment", "door"),
    [(environment, door) for door, known in DOORS.items() for environment in known],
)
def test_the_same_bits_on_any_number_of_threads(
    environment: str, door: str, network: tuple[Path, Path]
) -> None:
    answer = run_in(environment, RUN, library_path(), door, *network)
    assert isinstance(answer, list)
    alone, together = answer
    assert len(set(alone + together)) == 1
