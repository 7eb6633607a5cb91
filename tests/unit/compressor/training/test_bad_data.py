"""Data that does not fit is refused before anything runs, with the file, the array and what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec
from sparsebook_compressor.training.data.dataset import Dataset
from tests.unit.compressor.training.data import IDS, IMAGE, SPECS, good, prefixed, write


def nan_at(sample: int) -> np.ndarray:
    image = good()["image"]
    image[sample, 1, 2] = np.nan
    return image


# kind -> (arrays, what the message must say besides the file's name)
ONE_FILE: dict[str, tuple[dict[str, Any], str]] = {
    "an input missing": (
        {"image": good()["image"]},
        "no array 'ids' for the input 'ids'; found 'image'",
    ),
    "an input missing from the eval part": (
        good() | {"eval_ids": good()["ids"]},
        "no array 'eval_image'",
    ),
    "another name": ({"Image": good()["image"], "ids": good()["ids"]}, "no array 'image'.*Image"),
    "nothing": ({}, "found nothing"),
    "a wrong shape": (good() | {"image": np.zeros((20, 3, 5))}, r"takes \[samples, 3, 4\]"),
    "too few dimensions": (good() | {"image": np.zeros(20, np.float32)}, "'image' has shape"),
    "too many dimensions": (
        good() | {"image": np.zeros((20, 1, 1, 3, 4), np.float32)},
        "'image' has shape",
    ),
    "integers for floats": (good() | {"image": np.zeros((20, 3, 4), int)}, "convert it"),
    "floats beyond float32": (good() | {"image": np.full((20, 3, 4), 1e300)}, "cannot hold"),
    "a wrong dtype": (good() | {"ids": np.zeros((20, 5))}, "convert it"),
    "text": (good() | {"ids": np.full((20, 5), "a")}, "'ids' is text, the input takes int64"),
    "NaN": (good() | {"image": nan_at(13)}, r"NaN or infinity \(sample 13\)"),
    "infinity": (good() | {"image": np.full((20, 3, 4), np.inf)}, r"infinity \(sample 0\)"),
    "NaN in the test part": (
        good() | prefixed("test_", good() | {"image": nan_at(3)}),
        r"'test_image' holds NaN or infinity \(sample 3\)",
    ),
    "one sample": (good(1), "1 sample to train with.*at least 4"),
    "three samples": (good(3), "3 samples to train with, none for the eval part"),
    "one sample to train": (
        good(1) | prefixed("eval_", good(5)) | prefixed("test_", good(5)),
        "at least 2",
    ),
    "no samples": ({"image": np.zeros((0, 3, 4)), "ids": np.zeros((0, 5), int)}, "is empty"),
    "an empty eval part": (
        good() | {"eval_image": np.zeros((0, 3, 4)), "eval_ids": np.zeros((0, 5), int)},
        "'eval_i.*is empty",
    ),
    "only an eval part": (prefixed("eval_", good()), "only an eval part"),
    "different counts": (good() | {"ids": good(19)["ids"]}, "same number of samples.*'ids' has 19"),
    "labels of wrong length": (
        good() | {"labels": np.zeros(19)},
        "'labels' has 19; sample i of all",
    ),
    "labels without a part": (
        good() | {"eval_labels": np.zeros(5)},
        "no array 'labels', while there is 'eval_labels'",
    ),
    "labels that the eval part lacks": (
        good() | {"labels": np.zeros(20)} | prefixed("eval_", good(5)),
        "no array 'eval_labels', while there is 'labels'; give",
    ),
    "labels in the test part alone": (
        good() | prefixed("test_", good(5)) | {"test_labels": np.zeros(5)},
        "no array 'labels', while there is 'test_labels'; give",
    ),
    "labels that are text": (
        good() | {"labels": np.array(["cat"] * 20)},
        "'labels' is text; save it as numbers",
    ),
    "labels with NaN": (good() | {"labels": np.full(20, np.nan)}, "'labels' holds NaN"),
    "labels beyond int64": (
        good() | {"labels": np.full(20, 2**63, np.uint64)},
        "int64, which is needed, cannot hold",
    ),
    "labels that disagree": (
        good()
        | {"labels": np.zeros(20)}
        | prefixed("test_", good(5) | {"labels": np.zeros(5, int)}),
        "'test_labels' is int64.*'labels' of data.npz is float64.*must agree",
    ),
    "objects": (
        good() | {"ids": np.array([[{}] * 5] * 20, dtype=object)},
        r"Python objects \(pickled\)",
    ),
    "a scalar": (good() | {"image": np.float32(3)}, "samples go on the first axis"),
}


@pytest.mark.parametrize("kind", ONE_FILE)
def test_a_file_that_does_not_fit_is_refused(kind: str, tmp_path: Path) -> None:
    arrays, words = ONE_FILE[kind]
    path = write(tmp_path / "data.npz", arrays)
    with pytest.raises(BadData, match=r"(?s)data\.npz.*" + words):
        Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    assert not list(tmp_path.rglob("dataset.json"))


SEVERAL: dict[str, tuple[list[dict[str, Any]], str]] = {
    "an input that one file lacks": ([good(), {"ids": good()["ids"]}], "1.npz: no array 'image'"),
    "labels that one file lacks": (
        [good() | {"labels": np.zeros(20)}, good()],
        "1.npz: no array 'labels', while there is 'labels' of 0.npz",
    ),
    "labels that the first file lacks": (
        [good(), good() | {"labels": np.zeros(20)}],
        "0.npz: no array 'labels', while there is 'labels' of 1.npz",
    ),
    "labels of other ranks": (
        [good() | {"labels": np.zeros(20)}, good() | {"labels": np.zeros((20, 5))}],
        "1.npz.*must agree",
    ),
    "a shape of another model": (
        [good(), good() | {"image": np.zeros((20, 4, 4))}],
        "1.npz: array 'image' has shape",
    ),
    "a file of something else": ([good(), {"weights": np.zeros(5)}], "1.npz: no array 'image'"),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_files_that_disagree_are_refused(kind: str, tmp_path: Path) -> None:
    groups, words = SEVERAL[kind]
    files = [write(tmp_path / f"{i}.npz", arrays) for i, arrays in enumerate(groups)]
    with pytest.raises(BadData, match=words):
        Dataset.prepare(files, SPECS, tmp_path / "out", 0)


def test_whole_feeds_in_one_file_and_samples_in_the_other_are_refused(tmp_path: Path) -> None:
    spec = InputSpec("x", np.dtype(np.float32), (None, 2), ("n", ""))
    files = [
        write(tmp_path / "0.npz", x=np.ones((10, 2))),
        write(tmp_path / "1.npz", x=np.ones((10, 3, 2))),
    ]
    with pytest.raises(BadData, match=r"1\.npz.*elsewhere it has 2 dimensions"):
        Dataset.prepare(files, (spec,), tmp_path / "out", 0)


def test_dimensions_of_one_name_have_one_size(tmp_path: Path) -> None:
    mask = InputSpec("mask", np.dtype(np.int64), (None, None), ("n", "t"))
    path = write(tmp_path / "data.npz", ids=np.ones((20, 5), int), mask=np.ones((20, 6), int))
    with pytest.raises(BadData, match=r"'mask' has shape \[20, 6\], but 'ids' has 5.*'t'"):
        Dataset.prepare([path], (IDS, mask), tmp_path / "out", 0)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "data.npz"
    text.write_text("image,ids\n")
    for path in (text, tmp_path / "missing.npz", tmp_path):
        with pytest.raises(BadData, match=r"not a readable \.npz"):
            Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(BadData, match=r"numpy\.savez"):
        Dataset.prepare([tmp_path / "one.npy"], SPECS, tmp_path / "out", 0)
    with pytest.raises(BadData, match="no data file"):
        Dataset.prepare([], SPECS, tmp_path / "out", 0)


def test_an_input_that_is_no_tensor_cannot_be_given_data(tmp_path: Path) -> None:
    words = InputSpec("words", None, (None,), ("n",))
    with pytest.raises(BadData, match="'words' is no tensor of numbers"):
        Dataset.prepare([write(tmp_path / "d.npz", good())], (IMAGE, words), tmp_path / "out", 0)


def test_an_array_that_an_own_loss_reads_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", good())
    with pytest.raises(BadData, match="no array 'boxes', which the loss or metric given reads"):
        Dataset.prepare([path], SPECS, tmp_path / "out", 0, ["boxes"])


def test_names_of_what_is_recorded_are_not_the_callers(tmp_path: Path) -> None:
    """Arrays that nobody reads may have any name."""
    path = write(tmp_path / "data.npz", good() | {"sparsebook.original.0": np.zeros(20)})
    Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    with pytest.raises(BadData, match=r"data\.npz: the array 'sparsebook\.original\.0'.*rename it"):
        Dataset.prepare([path], SPECS, tmp_path / "read", 0, ["sparsebook.original.0"])
    spec = InputSpec("sparsebook.original.0", np.dtype(np.float32), (None,), ("n",))
    with pytest.raises(BadData, match=r"the model's input 'sparsebook.*rename it"):
        Dataset.prepare([path], (spec,), tmp_path / "input", 0)
