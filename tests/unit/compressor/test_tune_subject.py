"""Coded weights are found in artifacts, opened to a plain model, and get other centroids: nothing else of the file changes."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from sparsebook_compressor import Config, admit, compress, decompress, pack
from sparsebook_compressor.errors import BadValue, InvalidGraph, PayloadError
from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.payload_header import with_codebook
from sparsebook_compressor.rewrite.dense import stored
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.tuning import portables
from sparsebook_compressor.tuning.subject import Subject
from tests.unit.compressor.models import FLOAT, HALF, HIDING, Hiding, feeds_of, values
from tests.unit.compressor.rewrite.test_outputs import check_close, run
from tests.unit.compressor.rewrite.test_portable import OPSETS, rewritten
from tests.unit.compressor.test_pipeline import chain
from tests.unit.compressor.weights import made

SETTINGS = {"*": {"density": 0.3, "bits": 4}}
CODED = ("operator", "portable")


def artifact(model: Path, output: str, folder: Path, **raw: object) -> Path:
    config = Config.parse({"preset": "paper", "output": output, "weights": SETTINGS, **raw})
    compress(model, folder / output, config, verify=False)
    return folder / output / "model.onnx"


def subject(path: Path, folder: Path) -> Subject:
    return Subject.find(path, None, folder)


def moved(weight: CodedWeight) -> np.ndarray:
    """Other centroids that the weight's dtype holds."""
    return representable(weight.codebook * np.float32(1.25), weight.dtype)


def write(found: Subject, folder: Path) -> Path:
    folder.mkdir()
    pack.write_model(found.model, folder, found.path)
    return folder / "model.onnx"


@pytest.mark.parametrize("output", CODED)
@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_wherever_a_weight_is_it_is_found_opened_and_moved(
    hiding: Hiding, output: str, tmp_path: Path
) -> None:
    path = artifact(hiding.write(tmp_path), output, tmp_path)
    found = subject(path, tmp_path)
    assert found.output == output
    model, view, coded = found.opened()
    assert len(coded) == len(found.held) == len(hiding.weights)
    weights = {weight.name: weight for weight in view.weights}
    for name, held in coded.items():
        decoded = held.decode()
        assert decoded.shape == weights[name].shape == held.shape
        assert decoded.dtype == weights[name].dtype == held.dtype
        # The opened model, its tensors without data filled in, computes what the artifact does.
        tensor = weights[name].holder
        assert isinstance(tensor, TensorProto)
        tensor.CopyFrom(numpy_helper.from_array(stored(decoded), tensor.name))
        held.put(moved(decoded))
    plain = tmp_path / "plain.onnx"
    folder = tmp_path / "opened"
    folder.mkdir()
    pack.write_model(model, folder, path)
    (folder / "model.onnx").replace(plain)
    feeds = feeds_of(hiding.build())
    check_close(run(plain, feeds), run(path, feeds), 2e-3)
    # What was put is there, and codes are as they were.
    again = subject(write(found, tmp_path / "moved"), tmp_path)
    for before, after in zip(subject(path, tmp_path).held, again.held, strict=True):
        first, second = before.decode(), after.decode()
        assert before.name == after.name
        assert (first.codes == second.codes).all()
        assert (second.codebook == moved(first)).all()
    check_only_floats_differ(path, again.path, sum(len(h.decode().codebook) for h in again.held))


def check_only_floats_differ(before: Path, after: Path, centroids: int) -> None:
    """At most four bytes a centroid, and four of a checksum for every weight."""
    first = np.frombuffer(before.read_bytes(), np.uint8)
    second = np.frombuffer(after.read_bytes(), np.uint8)
    assert first.size == second.size
    assert 0 < np.count_nonzero(first != second) <= 4 * centroids + 4 * 64


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("density", [0.02, 0.6])
def test_every_portable_form_is_read_back(opset: int, density: float, tmp_path: Path) -> None:
    path = tmp_path / "portable.onnx"
    for centroids, dtype in [*((2**bits - 1, FLOAT) for bits in range(1, 9)), (15, HALF)]:
        weight = made((61, 67), density, centroids, dtype)
        model, _ = rewritten(weight, opset, tmp_path)
        path.write_bytes(model.SerializeToString())
        (held,) = portables.find(admit.load(path), path)
        found = held.decode()
        assert (found.codes == weight.codes).all()
        assert (found.codebook == weight.codebook).all()
        assert (found.shape, found.dtype) == (weight.shape, weight.dtype)


def tensor(model: onnx.ModelProto, part: str) -> TensorProto:
    """The last of a weight's constants of this name: its shape, not that of a plane."""
    return [t for t in model.graph.initializer if part in t.name][-1]


@pytest.mark.parametrize(
    ("part", "array", "words"),
    [
        (".codebook", np.zeros(3, np.float32), "'w': codes outside its codebook; the file is"),
        (".shape", np.array([61, 66]), "'w': more codes than elements; the file is damaged"),
        (".shape", np.array([61, 68]), "'w': 4087 codes for 4148; the file is damaged"),
        (".divisors", np.ones((9, 1), np.int32), "'w': more codes than elements; the file is"),
        (".divisors", np.ones((3, 7), np.int32), "'w': shape mismatch"),
    ],
)
def test_damaged_portable_weights_are_refused(
    part: str, array: np.ndarray, words: str, tmp_path: Path
) -> None:
    weights = {"w": {"density": 0.9, "bits": 4}}
    path = artifact(chain(tmp_path, w=values(61, 67)), "portable", tmp_path, weights=weights)
    model = onnx.load(path)
    damaged = tensor(model, part)
    damaged.CopyFrom(numpy_helper.from_array(array, damaged.name))
    path.write_bytes(model.SerializeToString())
    (held,) = portables.find(admit.load(path), path)
    with pytest.raises(InvalidGraph, match=re.escape(words)):
        held.decode()


def test_a_table_of_the_models_own_is_no_codebook(tmp_path: Path) -> None:
    path = artifact(chain(tmp_path, w=values(61, 67)), "portable", tmp_path)
    model = onnx.load(path)
    codebook = tensor(model, ".codebook")
    without_zero = numpy_helper.to_array(codebook) + np.float32(1)
    codebook.CopyFrom(numpy_helper.from_array(without_zero, codebook.name))
    path.write_bytes(model.SerializeToString())
    assert portables.find(admit.load(path), path) == []


@pytest.mark.parametrize("output", ["plain", "dense"])
def test_a_file_without_codes_is_refused(output: str, tmp_path: Path) -> None:
    path = chain(tmp_path, w=values(61, 67))
    if output == "dense":
        path = artifact(path, "dense", tmp_path)
    with pytest.raises(BadValue, match="no codes in it that could be tuned: it is a plain model"):
        subject(path, tmp_path)


def test_a_damaged_payload_is_refused(tmp_path: Path) -> None:
    path = artifact(chain(tmp_path, w=values(61, 67)), "operator", tmp_path)
    model = onnx.load(path)
    payload = tensor(model, ".payload")
    payload.raw_data = payload.raw_data[:-1] + bytes([payload.raw_data[-1] ^ 1])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PayloadError, match="checksum"):
        subject(path, tmp_path)


@pytest.mark.parametrize("dtype", sorted(STORED))
def test_a_payload_with_other_centroids_is_what_encoding_them_gives(dtype: int) -> None:
    weight = made((64, 65), 0.3, 15, dtype)
    payload, _ = encode(weight)
    changed = with_codebook(payload, moved(weight))
    again = encode(CodedWeight(weight.shape, dtype, weight.bits, moved(weight), weight.codes))[0]
    assert changed == again
    with pytest.raises(ValueError, match="centroids for a payload of"):
        with_codebook(payload, weight.codebook[:-1])


def test_an_artifact_without_a_library_runs_as_plain_floats(tmp_path: Path) -> None:
    path = artifact(chain(tmp_path, w=values(61, 67)), "operator", tmp_path)
    plain, library = subject(path, tmp_path).runnable(path, "before")
    assert library is None
    decompress(path, tmp_path / "expected.onnx")
    assert plain.read_bytes() == (tmp_path / "expected.onnx").read_bytes()
