"""The road for AlexNet and VGG-16, on a small made folder: images of three colours, a tiny net named as the paper's."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from benchmarks import imagenet
from benchmarks.imagenet import Input, run, settings, write_shards

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("val", 12)):
        for name, colour in COLOURS.items():
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                size = (int(rng.integers(30, 60)), int(rng.integers(30, 60)), 3)
                noisy = np.clip(rng.normal(colour, 50, size), 0, 255).astype(np.uint8)
                suffix = "png" if number % 2 else "JPEG"
                Image.fromarray(noisy).save(root / part / name / f"{number}.{suffix}")
    (root / "train" / "red" / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """conv1 tells colours apart by hand-set weights; the rest is noise that pruning may take."""
    rng = np.random.default_rng(0)
    conv = rng.normal(0, 0.02, (24, 3, 3, 3)).astype(np.float32)
    dense = rng.normal(0, 0.02, (24, 3)).astype(np.float32)
    for label, channel in enumerate((2, 1, 0)):
        conv[label, channel] += 0.3
        dense[label, label] += 1.0
    weights = {"conv1.weight": conv, "fc8.weight": dense, "fc8.bias": np.zeros(3, np.float32)}
    nodes = [
        helper.make_node("Conv", ["data", "conv1.weight"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc8.weight", "fc8.bias"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, ["N", 3, 28, 28])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_images_are_cropped_scaled_and_split_by_folder(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    classes = sorted(COLOURS)
    takes = Input.of(model)
    shards, test = write_shards(folder, tmp_path, takes, classes, "unit", None)
    arrays = {name: array for path in shards for name, array in np.load(path).items()}
    assert {name: len(array) for name, array in arrays.items() if "labels" in name} == {
        "labels": 108,
        "eval_labels": 12,
        "test_labels": 36,
    }
    assert arrays["data"].shape == (108, 3, 28, 28)
    assert arrays["data"].dtype == np.float32
    assert 0 <= arrays["data"].min() < arrays["data"].max() <= 1
    means = arrays["test_data"].mean(axis=(2, 3))
    strongest = means.argmax(axis=1)
    assert [classes[label] for label in arrays["test_labels"][:3]] == ["blue", "green", "red"]
    np.testing.assert_array_equal(strongest, 2 - arrays["test_labels"])
    assert [path.name for path in test] == ["test_00000.npz"]
    few = write_shards(folder, tmp_path, takes, classes, "caffe", 6)[0]
    with np.load(few[0]) as train:
        assert len(train["labels"]) == 5
        assert train["data"].min() < -20  # the mean is subtracted, nothing is divided


def test_a_made_folder_goes_all_the_way(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = run(model, folder, tmp_path, paper=None, pixels="unit", epochs=4)
    assert facts["accuracy"]["original"]["top1"] > 0.9
    assert facts["accuracy"]["artifact"]["top1"] > 0.9
    assert facts["accuracy"]["artifact"]["top5"] == 1.0
    assert facts["trained_samples_per_second"] > 0
    printed = capsys.readouterr().out
    assert "conv1.weight" in printed
    assert "samples a second" in printed


def test_the_paper_s_densities_go_to_weights_of_its_names(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no weight 'conv2\.weight'"):
        settings(model, "alexnet", 1)
    named = onnx.ModelProto()
    named.graph.initializer.extend(
        numpy_helper.from_array(np.zeros(1, np.float32), f"{layer}.weight")
        for layer in imagenet.PAPER["vgg16"]
    )
    path = tmp_path / "vgg16.onnx"
    path.write_bytes(named.SerializeToString())
    made = settings(path, "vgg16", 1)
    assert made["weights"]["fc6.weight"] == {"density": 0.04, "bits": 5}
    assert len(made["weights"]) == 16


def test_what_has_no_images_is_refused(model: Path, tmp_path: Path) -> None:
    for name in COLOURS:
        (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(SystemExit, match="no images in"):
        write_shards(tmp_path, tmp_path, Input.of(model), sorted(COLOURS), "unit", None)
