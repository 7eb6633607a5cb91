"""The operators among threads, subgraphs and payloads that are no constants."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import sparsebook_runtime
from tests.unit.runtime.models import graph, node, normal, session, weight


def test_many_threads_run_one_session():
    conv, _ = weight((16, 3, 3, 3))
    dense, _ = weight((16 * 64, 10))
    table, _ = weight((100, 12))
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["h"], domain="sparsebook", activation="relu"),
        helper.make_node("Flatten", ["h"], ["f"]),
        helper.make_node("Gemm", ["f", "d"], ["g"], domain="sparsebook"),
        helper.make_node("Gather", ["t", "i"], ["e"], domain="sparsebook"),
        helper.make_node("Concat", ["g", "e"], ["y"], axis=1),
    ]
    inputs = {"x": normal(1, 3, 10, 10), "i": np.array([5])}
    shared = session(graph(nodes, inputs, {"c": conv, "d": dense, "t": table}))
    # Every thread has batches of its own, so that the prepared convolution is exchanged under their feet.
    feeds = [
        {"x": normal(n, 3, 10, 10, seed=n), "i": np.arange(n, dtype=np.int64)} for n in range(1, 9)
    ]
    expected = [shared.run(None, feed)[0] for feed in feeds]
    gate = threading.Barrier(8)

    def repeat(which):
        gate.wait()
        return all(
            np.array_equal(shared.run(None, feeds[which])[0], expected[which]) for _ in range(50)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(repeat, range(8)))


def test_many_sessions_at_once():
    payload, dense = weight((40, 30))
    model = graph([node("MatMul", ["x", "w"])], {"x": normal(2, 40)}, {"w": payload})
    x = normal(2, 40)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: session(model).run(None, {"x": x})[0], range(24)))
    for result in results:
        np.testing.assert_allclose(result, x @ dense, rtol=1e-4, atol=1e-4)


def branch(name, op_inputs, **attributes):
    made = helper.make_node("MatMul", op_inputs, [name], domain="sparsebook", **attributes)
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([made], name, [], [info])


@pytest.mark.parametrize("damaged", [False, True])
def test_payload_from_an_outer_scope(damaged):
    payload, dense = weight((8, 8))
    if damaged:
        payload = payload.copy()
        payload[-1] ^= 1
    choose = helper.make_node(
        "If",
        ["c"],
        ["y"],
        then_branch=branch("then", ["x", "w"]),
        else_branch=branch("else", ["x", "w"], transB=1),
    )
    x = normal(3, 8)
    model = graph([choose], {"c": np.array(True), "x": x}, {"w": payload})
    if damaged:
        with pytest.raises(Exception, match="sparsebook: weight 'w': payload: checksum: "):
            session(model).run(None, {"c": np.array(True), "x": x})
        return
    made = session(model)
    for _ in range(2):
        for condition, matrix in ((True, dense), (False, dense.T)):
            (found,) = made.run(None, {"c": np.array(condition), "x": x})
            np.testing.assert_allclose(found, x @ matrix, rtol=1e-4, atol=1e-4)


def test_payload_inside_a_subgraph():
    payload, dense = weight((8, 5))
    inner = branch("inner", ["x", "inner_w"])
    inner.initializer.append(numpy_helper.from_array(payload, "inner_w"))
    zeros = helper.make_graph(
        [helper.make_node("MatMul", ["x", "z"], ["other"])],
        "other",
        [],
        [helper.make_tensor_value_info("other", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((8, 5), np.float32), "z")],
    )
    choose = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=zeros)
    x = normal(3, 8)
    model = graph([choose], {"c": np.array(True), "x": x}, {})
    (found,) = session(model).run(None, {"c": np.array(True), "x": x})
    np.testing.assert_allclose(found, x @ dense, rtol=1e-4, atol=1e-4)


def test_payload_as_an_input_is_noticed_when_it_changes():
    first, second = weight((8, 5), seed=1), weight((8, 5), seed=2)
    x = normal(3, 8)
    made = session(graph([node("MatMul", ["x", "w"])], {"x": x, "w": first[0]}, {}))
    for payload, dense in (first, second, first, first, second):
        (found,) = made.run(None, {"x": x, "w": payload})
        np.testing.assert_allclose(found, x @ dense, rtol=1e-4, atol=1e-4)
    with pytest.raises(Exception, match="weight 'w': payload: truncated: "):
        made.run(None, {"x": x, "w": np.zeros(3, np.uint8)})


def test_one_payload_for_several_nodes():
    payload, dense = weight((6, 6))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], domain="sparsebook"),
        helper.make_node("Gemm", ["h", "w"], ["y"], domain="sparsebook", transB=1),
    ]
    x = normal(4, 6)
    (found,) = session(graph(nodes, {"x": x}, {"w": payload})).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ dense @ dense.T, rtol=1e-4, atol=1e-4)


def test_decode_feeds_an_operator_without_a_kernel():
    payload, dense = weight((4, 3, 2, 2))
    nodes = [
        helper.make_node("Decode", ["w"], ["d"], domain="sparsebook", shape=[4, 3, 2, 2]),
        helper.make_node("ConvTranspose", ["x", "d"], ["y"]),
    ]
    x = normal(1, 4, 5, 5)
    (found,) = session(graph(nodes, {"x": x}, {"w": payload})).run(None, {"x": x})
    (expected,) = session(graph(nodes[1:], {"x": x}, {"d": dense})).run(None, {"x": x})
    np.testing.assert_array_equal(found, expected)


def test_options_can_be_shared_and_registered_twice():
    payload, dense = weight((6, 6))
    model = graph([node("MatMul", ["x", "w"])], {"x": normal(1, 6)}, {"w": payload})
    options = onnxruntime.SessionOptions()
    sparsebook_runtime.register(options)
    x = normal(1, 6)
    for _ in range(2):
        made = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        np.testing.assert_allclose(made.run(None, {"x": x})[0], x @ dense, rtol=1e-4, atol=1e-4)
