"""Conv against ONNX Runtime's own, given the dense weight."""

import numpy as np
import pytest

from tests.unit.runtime.models import graph, node, normal, run, session, weight


def check(x, shape, density=0.4, bias=False, **attributes):
    payload, dense = weight(shape, density)
    extra = {"b": normal(shape[0], seed=5)} if bias else {}
    inputs = ["x", "w", *extra]
    found = run(node("Conv", inputs, **attributes), {"x": x}, {"w": payload, **extra})
    expected = run(node("Conv", inputs, domain="", **attributes), {"x": x}, {"w": dense, **extra})
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize(
    ("spatial", "kernel"),
    [
        ((1,), (1,)),
        ((50,), (7,)),
        ((14, 14), (1, 1)),
        ((7, 7), (7, 7)),
        ((9, 31), (3, 5)),
        ((40, 40), (5, 5)),
        ((6, 7, 8), (3, 2, 3)),
    ],
)
def test_ranks_and_kernels(spatial, kernel, batch, bias):
    check(normal(batch, 5, *spatial), (6, 5, *kernel), bias=bias)


@pytest.mark.parametrize("stride", [[1, 1], [2, 2], [3, 1], [1, 4]])
@pytest.mark.parametrize("dilation", [[1, 1], [2, 2], [1, 3]])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 3, 2, 1]])
def test_strides_dilations_pads(stride, dilation, pads):
    check(normal(2, 3, 15, 18), (4, 3, 3, 3), strides=stride, dilations=dilation, pads=pads)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_auto_pad(kernel, stride, auto_pad):
    for size in (5, 12, 13):
        check(
            normal(1, 2, size, size + 1),
            (3, 2, kernel, kernel),
            strides=[stride, stride],
            auto_pad=auto_pad,
        )


@pytest.mark.parametrize("auto_pad", ["VALID", "SAME_UPPER"])
def test_auto_pad_over_one_and_three_axes(auto_pad):
    check(normal(1, 2, 21), (3, 2, 4), strides=[2], auto_pad=auto_pad)
    check(normal(1, 2, 5, 6, 7), (3, 2, 2, 3, 2), strides=[2, 1, 2], auto_pad=auto_pad)


def test_same_padding_with_dilation():
    # ONNX Runtime's own Conv refuses this combination; explicit pads say the same.
    payload, dense = weight((3, 2, 3, 3))
    x = normal(1, 2, 11, 12)
    found = run(
        node("Conv", ["x", "w"], auto_pad="SAME_UPPER", dilations=[2, 2]), {"x": x}, {"w": payload}
    )
    explicit = node("Conv", ["x", "w"], domain="", pads=[2, 2, 2, 2], dilations=[2, 2])
    np.testing.assert_allclose(found, run(explicit, {"x": x}, {"w": dense}), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "shape", "group"),
    [(6, (9, 2, 3, 3), 3), (8, (8, 1, 3, 3), 8), (8, (16, 1, 5, 5), 8), (4, (4, 2, 1, 1), 2)],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_groups(channels, shape, group, stride):
    check(normal(2, channels, 13, 14), shape, group=group, strides=[stride] * 2, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_densities(density):
    check(normal(1, 16, 20, 20), (32, 16, 3, 3), density, bias=True, pads=[1, 1, 1, 1])


def test_kernel_shape_is_checked_against_the_weight():
    check(normal(1, 2, 9, 9), (3, 2, 3, 2), kernel_shape=[3, 2])


@pytest.mark.parametrize(
    ("attributes", "low", "high"),
    [
        ({"activation": "relu"}, 0, np.inf),
        ({"activation": "clip", "low": -1.0, "high": 0.5}, -1, 0.5),
    ],
)
def test_activation(attributes, low, high):
    payload, dense = weight((4, 3, 3, 3))
    x, bias = normal(1, 3, 10, 10), normal(4)
    found = run(node("Conv", ["x", "w", "b"], **attributes), {"x": x}, {"w": payload, "b": bias})
    plain = run(node("Conv", ["x", "w", "b"], domain=""), {"x": x}, {"w": dense, "b": bias})
    np.testing.assert_allclose(found, np.clip(plain, low, high), rtol=1e-4, atol=1e-4)


def test_changing_input_shapes_in_one_session():
    payload, dense = weight((4, 3, 3, 3))
    ours = session(graph([node("Conv", ["x", "w"])], {"x": normal(1, 3, 5, 5)}, {"w": payload}))
    reference = node("Conv", ["x", "w"], domain="")
    theirs = session(graph([reference], {"x": normal(1, 3, 5, 5)}, {"w": dense}))
    for shape in [(1, 3, 5, 5), (2, 3, 9, 4), (1, 3, 40, 40), (0, 3, 5, 5), (1, 3, 5, 5)]:
        x = normal(*shape)
        found, expected = ours.run(None, {"x": x})[0], theirs.run(None, {"x": x})[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_changing_payloads_in_one_session_some_of_which_do_not_fit():
    """A weight may lie where one lay that is gone: what was prepared for that one does not fit it."""
    fitting = [
        weight((16, 16, 3, 3), density=density, seed=seed)[0]
        for seed in range(4)
        for density in (1.0, 0.05)
    ]
    strangers = [weight((16, 8, 3, 3), density=1.0, seed=100 + seed)[0] for seed in range(4)]
    x = normal(1, 16, 14, 14)
    made = graph([node("Conv", ["x", "w"], pads=[1, 1, 1, 1])], {"x": x, "w": fitting[0]}, {})
    ours = session(made)
    expected = [session(made).run(None, {"x": x, "w": payload})[0] for payload in fitting]
    random = np.random.default_rng(0)
    for _ in range(300):
        which = random.integers(len(fitting))
        np.testing.assert_array_equal(
            ours.run(None, {"x": x, "w": fitting[which]})[0], expected[which]
        )
        if random.random() < 0.5:
            with pytest.raises(Exception, match="channels"):
                ours.run(None, {"x": x, "w": strangers[random.integers(len(strangers))]})
