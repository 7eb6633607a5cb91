"""Samples: given ones are checked before anything runs, made-up ones fit the graph."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import feeds
from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec, given, input_specs, synthetic
from tests.unit.compressor.models import INT64, free, graph_of, model_of, node, value, values

IMAGE = InputSpec("image", np.dtype(np.float32), (None, 3, 4), ("n", "", ""))
IDS = InputSpec("ids", np.dtype(np.int64), (None, None), ("n", "t"))
FLAG = InputSpec("flag", np.dtype(bool), (), ())
SPECS = (IMAGE, IDS)


def write(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def good(samples: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.standard_normal((samples, 3, 4)).astype(np.float32),
        "ids": np.arange(samples * 5).reshape(samples, 5),
    }


def rows_of(found: list[feeds.Feed], arrays: dict[str, np.ndarray]) -> list[int]:
    """Which samples the feeds are; every array of a feed must be of the same one."""
    rows = []
    for feed in found:
        assert set(feed) == {"image", "ids"}
        assert feed["image"].shape == (1, 3, 4)
        (row,) = np.flatnonzero((arrays["image"] == feed["image"]).all((1, 2)))
        assert (feed["ids"] == arrays["ids"][row : row + 1]).all()
        rows.append(int(row))
    return rows


def test_a_tenth_is_split_off_by_the_seed(tmp_path: Path) -> None:
    arrays = good(50)
    path = write(tmp_path, **arrays)
    first = rows_of(given(path, SPECS, 1), arrays)
    assert len(set(first)) == 5
    assert rows_of(given(path, SPECS, 1), arrays) == first
    assert rows_of(given(path, SPECS, 2), arrays) != first


def test_the_test_part_is_used_whole_where_there_is_one(tmp_path: Path) -> None:
    arrays, test = good(50), good(7)
    path = write(tmp_path, **arrays, **{f"test_{name}": array for name, array in test.items()})
    assert rows_of(given(path, SPECS, 0), test) == list(range(7))


def test_no_more_samples_than_the_limit_are_run(tmp_path: Path) -> None:
    test = good(300)
    path = write(tmp_path, **{f"test_{name}": array for name, array in test.items()})
    assert len(given(path, SPECS, 0)) == feeds.MOST_SAMPLES


def test_one_sample_is_enough_and_labels_may_be_there(tmp_path: Path) -> None:
    path = write(tmp_path, **good(1), labels=np.zeros(1))
    assert len(given(path, SPECS, 0)) == 1


def test_a_fixed_first_dimension_is_fed_whole_samples(tmp_path: Path) -> None:
    spec = InputSpec("x", np.dtype(np.float32), (2, 3), ("", ""))
    array = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    (feed,) = given(write(tmp_path, x=array), (spec,), 0)
    assert feed["x"].shape == (2, 3)
    assert (array == feed["x"]).all((1, 2)).any()


def test_numbers_are_converted_where_nothing_is_lost(tmp_path: Path) -> None:
    narrow = (
        InputSpec("image", np.dtype(np.float16), (None, 3, 4), ("n", "", "")),
        InputSpec("ids", np.dtype(np.uint8), (None, None), ("n", "t")),
    )
    (feed, _) = given(write(tmp_path, **good(20)), narrow, 0)
    assert (feed["image"].dtype, feed["ids"].dtype) == (np.float16, np.uint8)


BAD = {
    "missing": {"image": good()["image"]},
    "nothing": {},
    "another name": {"Image": good()["image"], "ids": good()["ids"]},
    "half a test part": good() | {"test_ids": good()["ids"]},
    "wrong shape": good() | {"image": np.zeros((20, 3, 5), np.float32)},
    "too few dimensions": good() | {"image": np.zeros((20,), np.float32)},
    "too many dimensions": good() | {"image": np.zeros((20, 1, 1, 3, 4), np.float32)},
    "a scalar": good() | {"image": np.float32(3)},
    "floats for integers": good() | {"ids": np.zeros((20, 5))},
    "integers for floats": good() | {"image": np.zeros((20, 3, 4), np.int64)},
    "text": good() | {"ids": np.full((20, 5), "a")},
    "NaN": good() | {"image": np.full((20, 3, 4), np.nan, np.float32)},
    "infinity": good() | {"image": np.full((20, 3, 4), np.inf, np.float32)},
    "float64 beyond float32": good() | {"image": np.full((20, 3, 4), 1e300)},
    "empty": {"image": np.zeros((0, 3, 4), np.float32), "ids": np.zeros((0, 5), np.int64)},
    "different counts": good() | {"ids": good(19)["ids"]},
    "objects": good() | {"ids": np.array([[{}]] * 20, dtype=object)},
}


@pytest.mark.parametrize("kind", BAD)
def test_data_that_does_not_fit_is_refused(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, **BAD[kind])
    with pytest.raises(BadData, match=r"data\.npz") as caught:
        given(path, SPECS, 0)
    names = {"missing": "ids", "NaN": "NaN", "another name": "Image", "wrong shape": r"?x3x4"}
    assert names.get(kind, "") in str(caught.value)


def test_integers_that_the_input_cannot_hold_are_refused(tmp_path: Path) -> None:
    spec = InputSpec("ids", np.dtype(np.uint8), (None, None), ("n", "t"))
    with pytest.raises(BadData, match="uint8"):
        given(write(tmp_path, ids=np.full((5, 2), 256)), (spec,), 0)
    with pytest.raises(BadData, match="uint8"):
        given(write(tmp_path, ids=np.full((5, 2), -1)), (spec,), 0)


def test_a_scalar_input_takes_a_number_a_sample(tmp_path: Path) -> None:
    (feed,) = given(write(tmp_path, flag=np.array([True])), (FLAG,), 0)
    assert feed["flag"].shape == ()
    with pytest.raises(BadData):
        given(write(tmp_path, flag=np.array(True)), (FLAG,), 0)


def test_an_input_that_is_no_tensor_cannot_be_given_data(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="'words' is no tensor of numbers"):
        given(write(tmp_path, **good()), (*SPECS, InputSpec("words", None, (None,), ("n",))), 0)


def npz(**changes: bytes) -> bytes:
    """An archive of `good()` in which members are replaced by other bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **good())
    if not changes:
        return buffer.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, changes.get(name.removesuffix(".npy"), source.read(name)))
    return out.getvalue()


def single_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(5))
    return buffer.getvalue()


HUGE = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 3, 4), }".ljust(117) + b"\n"
)
UNREADABLE = {
    "empty file": b"",
    "text": b"image,ids\n1,2\n",
    "a single array": single_array(),
    "a pickle": b"\x80\x04K\x05.",
    "a cut archive": npz()[:-30],
    "half an archive": npz()[: len(npz()) // 2],
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "a member that is no array": npz(image=b"hello"),
    "a member cut short": npz(image=HUGE[:60]),
    "a member of absurd size": npz(image=HUGE),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_files_that_are_no_data_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(UNREADABLE[kind])
    with pytest.raises(BadData, match=r"data\.npz"):
        given(path, SPECS, 0)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"data\.npz"):
        given(tmp_path / "data.npz", SPECS, 0)


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    whole, path = npz(), tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            given(path, SPECS, 0)
        except BadData:
            refused += 1
    assert refused > 200


def model_with(*inputs: Any) -> ModelProto:
    product = node("MatMul", ["x", "w"], ["y"])
    weights = {"w": values(4, 4), "bias": values(4)}
    return model_of(graph_of([product], list(inputs), [free("y", 2)], weights))


def test_specs_are_the_inputs_that_are_not_initializers() -> None:
    inputs = [
        value("x", ["n", 4]),
        value("w", [4, 4]),
        value("ids", [2, "t"], INT64),
        value("half", [0, -1, 5], TensorProto.FLOAT16),
        value("flag", [], TensorProto.BOOL),
    ]
    assert input_specs(model_with(*inputs)) == (
        InputSpec("x", np.dtype(np.float32), (None, 4), ("n", "")),
        InputSpec("ids", np.dtype(np.int64), (2, None), ("", "t")),
        InputSpec("half", np.dtype(np.float16), (None, None, 5), ("", "", "")),
        InputSpec("flag", np.dtype(bool), (), ()),
    )


def test_inputs_that_are_no_tensors_of_numbers_have_no_dtype() -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [2])
    words = value("words", ["n"], TensorProto.STRING)
    unknown = value("unknown", ["n"], 70)
    specs = input_specs(model_with(value("x", ["n", 4]), sequence, words, unknown))
    assert {spec.name: spec.dtype for spec in specs} == {
        "x": np.dtype(np.float32),
        "s": None,
        "words": None,
        "unknown": None,
    }


def test_synthetic_samples_have_the_shapes_and_ranges_of_the_inputs() -> None:
    mask = InputSpec("attention_mask", np.dtype(np.int64), (None, None), ("n", "t"))
    turned = InputSpec("state", np.dtype(np.float64), (2, None, 3), ("", "n", ""))
    found = synthetic((*SPECS, FLAG, mask, turned), 17, 9, seed=3, samples=4)
    assert len(found) == 4
    for feed in found:
        assert feed["image"].shape == (1, 3, 4)
        assert feed["ids"].shape == (1, 17)
        assert (feed["ids"] >= 0).all()
        assert (feed["ids"] < 9).all()
        assert (feed["attention_mask"] == 1).all()
        assert feed["state"].shape == (2, 1, 3)  # n is the batch wherever it stands
        for spec in (*SPECS, FLAG, mask, turned):
            assert feed[spec.name].dtype == spec.dtype
    assert (found[0]["image"] != found[1]["image"]).any()
    again = synthetic((*SPECS, FLAG, mask, turned), 17, 9, seed=3, samples=4)
    assert all((a[name] == b[name]).all() for a, b in zip(found, again, strict=True) for name in a)
