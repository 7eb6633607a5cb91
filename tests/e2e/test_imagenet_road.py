"""The road for AlexNet and VGG-16, on a small made folder: noisy images of four colours, and a small convolutional net."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks import imagenet, imagenet_nets
from benchmarks.architectures import PAPER
from benchmarks.imagenet_data import PIXELS, Pixels, classes, decode, split, write_shards
from benchmarks.imagenet_nets import Input, layers, settings, takes

COLOURS = {
    "blue": (40, 60, 200),
    "green": (50, 180, 60),
    "red": (210, 50, 40),
    "yellow": (220, 210, 40),
}
SIZE = 24
SMALL = Pixels(**{**vars(PIXELS["torch"]), "resize": 28})
TAKES = Input("data", SIZE, SIZE, free=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 images to learn from and 80 to test, of different sizes; one file is no image."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", 80), ("val", 20)):
        for name, colour in COLOURS.items():
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                shape = (int(rng.integers(30, 60)), int(rng.integers(30, 60)), 3)
                noisy = np.clip(rng.normal(colour, 60, shape), 0, 255).astype(np.uint8)
                suffix = "png" if number % 4 == 0 else "JPEG"
                Image.fromarray(noisy).save(root / part / name / f"{number}.{suffix}")
    (root / "train" / "red" / "notes.txt").write_text("no image")
    return root


def net(order: tuple[str, ...]) -> ModelProto:
    """Its first channels tell the colours apart, by weights that are set; the rest is noise, which pruning may take.

    Args:
        order: of the outputs.
    """
    rng = np.random.default_rng(0)
    conv1 = rng.normal(0, 0.02, (24, 3, 3, 3)).astype(np.float32)
    conv2 = rng.normal(0, 0.02, (32, 24, 3, 3)).astype(np.float32)
    fc = rng.normal(0, 0.02, (32, len(order))).astype(np.float32)
    for label, name in enumerate(order):
        direction = np.array(COLOURS[name], np.float32) / 255 - 0.45
        conv1[label] += direction[:, np.newaxis, np.newaxis]
        conv2[label, label] += 0.1
        fc[label, label] += 1.0
    weights = {
        "first": conv1,
        "second": conv2,
        "last": fc,
        "last.bias": np.zeros(len(order), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["data", "first"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["m", "second"], ["d"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["d"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "last", "last.bias"], ["scores"]),
    ]
    return _model(nodes, weights, ["N", 3, SIZE, SIZE], ["N", len(order)])


def _model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    image: list[str | int],
    scores: list[str | int],
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_made_folder_goes_all_the_way(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The model's outputs are in another order than the folders' names: the synset says so.
    order = ("yellow", "blue", "red", "green")
    synset = tmp_path / "synset.txt"
    synset.write_text("".join(f"{name} and words\n" for name in order))
    model = tmp_path / "small.onnx"
    onnx.save(net(order), model)
    wanted = {"preset": "paper", "train": {"epochs": 3, "batch_size": 16}}
    asked = {"pixels": SMALL, "synset": synset, "config": wanted, "seeds": 2, "kept": tmp_path}
    found = imagenet.run(model, folder, **asked)
    printed = capsys.readouterr().out
    assert found["samples"] == {"train": 288, "eval": 32, "test": 80}
    assert found["errors"]["top-1"]["before"] < 0.1
    assert max(found["errors"]["top-1"]["after"]) < 0.1
    assert found["errors"]["top-5"]["after"] == [0.0, 0.0]
    assert found["bytes_before"] == model.stat().st_size
    assert min(found["ratio"]) > 3
    assert found["seeds"] == [0, 1]
    assert [row["name"] for row in found["layers"]] == ["first", "second", "last"]
    assert "retrained" in [row["stage"] for row in found["stages"]]
    assert min(found["samples_per_second"].values()) > 0
    assert json.loads(json.dumps(found))["classes"] == 4
    for words in ("top-5 error", "2 seeds", "second", "retrain: ", "samples a second"):
        assert words in printed
    # Everything is kept: the second time nothing is read, and nothing trains.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert imagenet.run(model, folder, **asked) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_images_are_cropped_scaled_and_split(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.imagenet_data.SHARD_BYTES", 30 * 4 * 3 * SIZE * SIZE)
    parts = split(folder, classes(folder), 100)
    shards = write_shards(tmp_path, parts, TAKES, Pixels(1 / 255, (0, 0, 0), (1, 1, 1), resize=28))
    assert [path.name for path in shards.files] == [
        *(f"train-{number:05}.npz" for number in range(3)),
        "eval-00000.npz",
        *(f"test-{number:05}.npz" for number in range(3)),
    ]
    with np.load(shards.files[0]) as arrays:
        assert sorted(arrays) == ["data", "labels"]
        assert (arrays["data"].shape, arrays["data"].dtype) == ((30, 3, 24, 24), np.float32)
        assert 0 <= arrays["data"].min() < arrays["data"].max() <= 1
        assert set(arrays["labels"]) == {0, 1, 2, 3}
    colours = np.array([colour for _, colour in sorted(COLOURS.items())]) / 255
    for images, labels in shards.test("data"):
        distance = images.mean(axis=(2, 3))[:, np.newaxis] - colours
        np.testing.assert_array_equal((distance**2).sum(axis=2).argmin(axis=1), labels)


def test_every_class_selects_and_no_image_is_in_two_parts(folder: Path) -> None:
    parts = split(folder, classes(folder), None)
    assert {part: len(samples) for part, samples in parts.items()} == {
        "train": 288,
        "eval": 32,
        "test": 80,
    }
    for samples in parts.values():
        assert {path.parent.name for path, _ in samples} == set(COLOURS)
    assert len({path for samples in parts.values() for path, _ in samples}) == 400
    few = split(folder, classes(folder), 40)
    counts = [[path.parent.name for path, _ in few["test"]].count(name) for name in COLOURS]
    assert counts == [10, 10, 10, 10]


def test_pixels_are_what_pillow_and_the_nets_mean(tmp_path: Path) -> None:
    stripes = np.zeros((100, 200, 3), np.uint8)
    stripes[:, 75:125] = (250, 100, 50)
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    Image.fromarray(stripes).convert("L").save(tmp_path / "grey.png")
    small = Input("data", 16, 16, free=True)
    caffe = decode(tmp_path / "wide.png", small, Pixels(**{**vars(PIXELS["caffe"]), "resize": 32}))
    assert caffe.dtype == np.float32
    np.testing.assert_allclose(caffe[:, 8, 8], (50 - 103.939, 100 - 116.779, 250 - 123.68), atol=1)
    torch = decode(tmp_path / "wide.png", small, Pixels(**{**vars(PIXELS["torch"]), "resize": 32}))
    np.testing.assert_allclose(torch[0, 8, 8], (250 / 255 - 0.485) / 0.229, atol=0.02)
    np.testing.assert_allclose(caffe[0], caffe[0, ::-1])  # rows are alike: the crop is not turned
    grey = decode(tmp_path / "grey.png", small, Pixels(1.0, (0, 0, 0), (1, 1, 1), resize=16))
    np.testing.assert_array_equal(grey[0], grey[2])


def _like(name: str, prefix: str) -> ModelProto:
    """A chain of convolutions and products like one of the paper's nets, whose initializers are in another order."""
    nodes, weights, value = [], {}, "data"
    for number, layer in enumerate(PAPER[name]):
        weight, output = f"{prefix}{number}", f"{layer}.out"
        dense = layer.startswith("fc")
        weights[weight] = np.zeros((8, 16) if dense else (16, 16, 3, 3), np.float32)
        nodes.append(helper.make_node("Gemm" if dense else "Conv", [value, weight], [output]))
        value = output
    return _model(
        nodes, dict(reversed(weights.items())), ["N", 3, 32, 32], ["N", len(nodes), "h", "w"]
    )


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_nets_are_known_by_the_order_of_their_layers(name: str) -> None:
    found, by_weight = layers(_like(name, "w"), Path("m.onnx"))
    assert found == name
    assert list(by_weight.items()) == [(f"w{at}", layer) for at, layer in enumerate(PAPER[name])]
    made = settings(found, by_weight, None)
    assert made["weights"]["w0"] == {"density": 0.84 if name == "alexnet" else 0.58, "bits": 8}
    assert "epochs" not in made["train"]


def test_other_nets_get_the_preset() -> None:
    assert layers(net(tuple(COLOURS)), Path("m.onnx")) == (None, {})
    assert settings(None, {}, 3) == {"preset": "paper", "train": {"epochs": 3}}


def test_what_cannot_be_used_is_refused(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "train" / "red").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"no .*val: expected"):
        classes(data)
    (data / "val" / "reed").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"val/reed: .*train does not name such a class"):
        classes(data)
    (data / "val" / "reed").rmdir()
    with pytest.raises(SystemExit, match=r"train: no images; expected .*\.jpeg"):
        split(data, classes(data), None)
    synset = tmp_path / "synset.txt"
    synset.write_text("red\nblue\nred\n")
    with pytest.raises(SystemExit, match=r"synset\.txt: red has two numbers"):
        classes(data, synset)
    torn = data / "train" / "red" / "torn.JPEG"
    whole = next((folder / "train" / "red").glob("*.JPEG")).read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SystemExit, match=r"torn\.JPEG: .*; repair or remove it"):
        decode(torn, TAKES, SMALL)
    parts = {"train": [(torn, 0)], "eval": [(torn, 0)], "test": [(torn, 0)]}
    with pytest.raises(SystemExit, match="torn"):
        write_shards(tmp_path / "kept", parts, TAKES, SMALL)
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".partial"]
    with pytest.raises(SystemExit, match="--resize must be that"):
        write_shards(tmp_path, parts, Input("data", 30, 24, free=True), SMALL)
    with pytest.raises(SystemExit, match=r"expected one float32 input \[n, 3, height, width\]"):
        takes(_model([], {}, ["N", 24, 24, 3], ["N", 4]))
    with pytest.raises(SystemExit, match=r"no .*missing\.onnx"):
        imagenet_nets.load(tmp_path / "missing.onnx")
