"""What is said about a payload or an input that does not fit, and when."""

import numpy as np
import onnx
import pytest

from tests.unit.runtime.models import graph, node, normal, run, session, u8, weight
from tests.unit.runtime.payload_writer import Options, edited, write

NODES = {
    "Decode": (node("Decode", ["w"], shape=[6, 5]), {}),
    "Gemm": (node("Gemm", ["x", "w"]), {"x": normal(2, 6)}),
    "MatMul": (node("MatMul", ["x", "w"]), {"x": normal(2, 6)}),
    "Gather": (node("Gather", ["w", "i"]), {"i": np.array([0])}),
}


@pytest.mark.parametrize("op", NODES)
def test_a_damaged_payload_fails_the_session(op):
    payload, _ = weight((6, 5))
    damaged = payload.copy()
    damaged[30] ^= 4
    made, inputs = NODES[op]
    renamed = onnx.NodeProto()
    renamed.CopyFrom(made)
    renamed.input[list(made.input).index("w")] = "fc1.weight"
    with pytest.raises(Exception, match=r"sparsebook: weight 'fc1.weight': payload: checksum: "):
        session(graph([renamed], inputs, {"fc1.weight": damaged}))


@pytest.mark.parametrize(
    ("rule", "payload"),
    [
        ("truncated", b""),
        ("truncated", b"SBKP"),
        ("magic", b"x" * 40),
        ("trailing", bytes(weight((6, 5))[0]) + b"\0"),
        ("version", edited(bytes(weight((6, 5))[0]), lambda body: body.__setitem__(4, 3))),
        ("symbols", edited(bytes(weight((6, 5))[0]), lambda body: body.__setitem__(16, 200))),
    ],
)
def test_the_violated_rule_is_named(rule, payload):
    with pytest.raises(Exception, match=f"weight 'w': payload: {rule}: "):
        session(graph([node("Decode", ["w"], shape=[6, 5])], {}, {"w": u8(payload)}))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (node("Decode", ["w"], shape=[5, 6]), r"shape is \[6, 5\], the node says \[5, 6\]"),
        (node("Decode", ["w"]), "needs the attribute 'shape'"),
        (node("Conv", ["x", "w"]), r"shape \[6, 5\] has not one to three spatial axes"),
        (node("Gemm", ["x", "w"], activation="tanh"), "activation 'tanh' is not known"),
        (node("Gemm", ["x", "w"], activation=1), "'activation' is not a string"),
        (node("Gemm", ["x", "w"], alpha=2), "'alpha' is not a float"),
        (node("Gemm", ["x", "w"], transB=1.0), "'transB' is not an integer"),
    ],
)
def test_a_node_that_does_not_fit_fails_the_session(made, message):
    payload, _ = weight((6, 5))
    inputs = {"x": normal(2, 6)} if "x" in made.input else {}
    with pytest.raises(Exception, match=f"weight 'w': .*{message}"):
        session(graph([made], inputs, {"w": payload}))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"group": 3}, "group 3 does not divide the weight's 8 output channels"),
        ({"group": 0}, "group 0 does not divide"),
        ({"kernel_shape": [3, 2]}, r"kernel_shape \[3, 2\]"),
        ({"strides": [2]}, r"strides \[2\] must be 2 integers of at least 1"),
        ({"strides": [1, 0]}, "strides"),
        ({"dilations": [1, -1]}, "dilations"),
        ({"pads": [0, 0, 0, -1]}, "pads"),
        ({"pads": [0, 0]}, "pads"),
        ({"pads": [0, 0, 0, 2**62]}, "pads"),
        ({"auto_pad": "SAME"}, "auto_pad 'SAME' is not known"),
    ],
)
def test_bad_attributes_of_conv_fail_the_session(attributes, message):
    payload, _ = weight((8, 2, 3, 3))
    with pytest.raises(Exception, match=f"weight 'w': .*{message}"):
        session(
            graph(
                [node("Conv", ["x", "w"], **attributes)], {"x": normal(1, 2, 9, 9)}, {"w": payload}
            )
        )


@pytest.mark.parametrize("shape", [(6, 0), (0, 6)])
@pytest.mark.parametrize("op", ["Gemm", "MatMul", "Gather"])
def test_an_empty_weight_is_refused(op, shape):
    payload, _ = weight(shape)
    made, inputs = NODES[op]
    with pytest.raises(Exception, match=r"weight 'w': the weight's shape .* has no "):
        session(graph([made], inputs, {"w": payload}))


@pytest.mark.parametrize(
    ("made", "shape", "x", "message"),
    [
        (node("Gemm", ["x", "w"]), (6, 5), normal(2, 5), "5 columns where the weight wants 6"),
        (node("Gemm", ["x", "w"]), (6, 5), normal(1, 2, 6), "Gemm takes a matrix"),
        (node("MatMul", ["x", "w"]), (6, 5), normal(5, 5), "5 columns where the weight wants 6"),
        (node("MatMul", ["x", "w"]), (6, 5), np.array(1, np.float32), "X is a scalar"),
        (node("Conv", ["x", "w"]), (4, 2, 3, 3), normal(1, 3, 9, 9), "wants 4 axes and 2 channels"),
        (node("Conv", ["x", "w"]), (4, 2, 3, 3), normal(1, 2, 9), "wants 4 axes and 2 channels"),
        (node("Conv", ["x", "w"]), (4, 2, 3, 3), normal(1, 2, 2, 9), "the kernel reaches over 3"),
    ],
)
def test_an_input_that_does_not_fit_fails_the_run(made, shape, x, message):
    payload, _ = weight(shape)
    with pytest.raises(Exception, match=f"weight 'w': .*{message}"):
        run(made, {"x": x}, {"w": payload})


@pytest.mark.parametrize(
    ("made", "shape", "x", "bias"),
    [
        (node("Gemm", ["x", "w", "b"]), (6, 5), normal(2, 6), normal(4)),
        (node("Gemm", ["x", "w", "b"]), (6, 5), normal(2, 6), normal(1, 1, 5)),
        (node("MatMul", ["x", "w", "b"]), (6, 5), normal(2, 6), normal(4)),
        (node("MatMul", ["x", "w", "b"]), (6, 5), normal(2, 6), normal(1)),
        (node("MatMul", ["x", "w", "b"]), (6, 5), normal(2, 6), normal(1, 5)),
        (node("MatMul", ["x", "w", "b"]), (6, 5), normal(2, 6), np.array(1, np.float32)),
        (node("Conv", ["x", "w", "b"]), (4, 2, 3, 3), normal(1, 2, 9, 9), normal(3)),
        (node("Conv", ["x", "w", "b"]), (4, 2, 3, 3), normal(1, 2, 9, 9), normal(1, 4)),
    ],
)
def test_a_bias_that_does_not_fit_fails_the_run(made, shape, x, bias):
    payload, _ = weight(shape)
    with pytest.raises(Exception, match="weight 'w': B has shape "):
        run(made, {"x": x}, {"w": payload, "b": bias})


@pytest.mark.parametrize("scale", [normal(3), normal(1, 4), np.array(1, np.float32)])
def test_a_scale_that_does_not_fit_fails_the_run(scale):
    payload, _ = weight((4, 2, 3, 3))
    made = node("Conv", ["x", "w", "", "", "s"])
    with pytest.raises(Exception, match=r"weight 'w': S has shape .*, which must be \[4\]"):
        run(made, {"x": normal(1, 2, 9, 9)}, {"w": payload, "s": scale})


def test_the_nodes_shape_bounds_what_is_allocated():
    # 2^36 zeros in a payload of a few bytes are legal, but not what this node expects.
    payload = write(np.zeros((1, 1), np.uint8), np.ones(1, np.float32), Options())
    huge = edited(payload, lambda body: body.__setitem__(slice(24, 32), b"\0\0\4\0\0\0\4\0"))
    with pytest.raises(Exception, match=r"shape is \[262144, 262144\], the node says \[6, 5\]"):
        session(graph([node("Decode", ["w"], shape=[6, 5])], {}, {"w": u8(huge)}))


@pytest.mark.parametrize("shape", [(1, 2**32 - 1), (2**32 - 1, 1), (2**30, 1)])
def test_a_small_payload_of_a_vast_weight_is_refused(shape):
    """Nothing of it is stored, and so nothing but its shape would bound what is allocated."""
    dims = b"".join(size.to_bytes(4, "little") for size in shape)
    payload = write(np.zeros((1, 1), np.uint8), np.ones(1, np.float32), Options())
    empty = edited(payload, lambda body: body.__setitem__(slice(24, 32), dims))
    assert len(empty) < 64
    for op in ("MatMul", "Gemm", "Gather"):
        made, inputs = NODES[op]
        with pytest.raises(
            Exception, match=r"weight 'w': the weight's shape .* holds; the file is damaged"
        ):
            session(graph([made], inputs, {"w": u8(empty)}))
