"""Pictures that are made up: where an input holds one, how smooth they are, and that samples are made for all three parts."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from sparsebook_compressor.calibration import synthetic
from sparsebook_compressor.calibration.pictures import picture, sides
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from tests.unit.compressor.models import free, graph_of, model_of, node, value, values

SHAPES: dict[tuple[int, ...], tuple[int, int] | None] = {
    (1, 3, 224, 224): (2, 3),
    (1, 240, 240, 3): (1, 2),
    (1, 1, 48, 320): (2, 3),
    (1, 3, 8, 8): None,  # too small to tell from a table
    (1, 100, 80): None,  # a sequence of features
    (1, 64, 64, 64): None,
    (3, 224, 224): None,
    (1, 20): None,
    (): None,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_only_two_long_axes_beside_channels_are_a_picture(shape: tuple[int, ...]) -> None:
    assert sides(shape) == SHAPES[shape]


@pytest.mark.parametrize("shape", [shape for shape, axes in SHAPES.items() if axes])
def test_pictures_are_smooth_and_of_the_scale_of_noise(shape: tuple[int, ...]) -> None:
    axes = sides(shape)
    assert axes is not None
    rng = np.random.default_rng(0)
    made = np.stack([picture(shape, axes, rng) for _ in range(24)])
    assert made.dtype == np.float32
    assert made.shape == (24, *shape)
    assert abs(float(made.mean())) < 0.5
    assert 0.6 < float(made.std()) < 1.8
    for axis in axes:
        length = made.shape[axis + 1]
        near = np.diff(made, axis=axis + 1)
        far = made.take(range(length // 2), axis + 1) - made.take(
            range(length - length // 2, length), axis + 1
        )
        assert np.square(near).mean() < 0.5 * np.square(far).mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_half_of_the_samples_of_every_part_are_smooth(dtype: type, tmp_path: Path) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        node("Cast", ["image"], ["wide"], to=onnx.TensorProto.FLOAT),
        node("Conv", ["wide", "w"], ["y"]),
    ]
    image = value("image", [1, 3, 32, 32], kind)
    model = model_of(graph_of(nodes, [image], [free("y", 4)], {"w": values(8, 3, 3, 3)}))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    view = survey(model, path)
    to = synthetic.write(path, model, view, input_specs(model), 0, tmp_path / "made.npz")
    with np.load(to) as made:
        assert set(made.files) == {"image", "eval_image", "test_image"}
        for part in made.files:
            samples = made[part].astype(np.float64)
            assert made[part].dtype == dtype
            roughness = np.square(np.diff(samples)).mean((1, 2, 3)) / samples.var((1, 2, 3))
            assert (roughness[0::2] > 1.5).all()  # white noise has 2
            assert (roughness[1::2] < 1.0).all()
