"""Data where nothing is trained: all files are checked, and samples of the test part are what models are compared on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import Feed, InputSpec
from sparsebook_compressor.training.data.dataset import Dataset
from tests.unit.compressor.training.data import SPECS, good, prefixed, write


def given(files: Sequence[Path], specs: tuple[InputSpec, ...], seed: int = 0) -> list[Feed]:
    folder = files[0].parent / f"data-{seed}"
    dataset = Dataset.prepare(files, specs, folder, seed, trains=False)
    assert not dataset.trains
    assert not dataset.samples("eval")
    return list(dataset.batches("test", 1, [spec.name for spec in specs]))


def numbers(found: list[Feed]) -> list[int]:
    """Which samples the feeds are, by their first id; every array of a feed must be of the same one."""
    every = {
        int(ids[0]): image
        for group in (good(50, 0), good(50, 1), good(50, 2))
        for image, ids in zip(group["image"], group["ids"], strict=True)
    }
    rows = []
    for feed in found:
        assert set(feed) == {"image", "ids"}
        rows.append(int(feed["ids"][0, 0]))
        assert (every[rows[-1]] == feed["image"][0]).all()
    return rows


def test_a_tenth_is_split_off_by_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", good(50))
    first = numbers(given([path], SPECS, 1))
    assert len(set(first)) == 5
    assert numbers(given([path], SPECS, 1)) == first
    assert numbers(given([path], SPECS, 2)) != first


def test_a_tenth_of_several_files_is_one_of_all(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.npz", good(50, i)) for i in range(3)]
    found = numbers(given(files, SPECS))
    assert len(set(found)) == 15
    assert {number // 1000 for number in found} == {0, 1, 2}


def test_the_test_part_is_used_whole_where_there_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", good(50, 1), prefixed("test_", good(7)))
    assert numbers(given([path], SPECS)) == list(range(7))


def test_the_test_part_may_come_in_any_of_the_files(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "0.npz", good(50, 2), prefixed("eval_", good(5, 2))),
        write(tmp_path / "1.npz", prefixed("test_", good(4))),
        write(tmp_path / "2.npz", prefixed("test_", good(3, 1))),
    ]
    assert numbers(given(files, SPECS)) == [0, 1, 2, 3, 1000, 1001, 1002]


def test_one_sample_is_enough_and_labels_may_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", good(1), labels=np.zeros(1))
    assert numbers(given([path], SPECS)) == [0]


@pytest.mark.parametrize("prefix", ["", "eval_", "test_"])
def test_samples_that_are_not_used_are_checked_all_the_same(prefix: str, tmp_path: Path) -> None:
    bad = good(50, 2)
    bad["image"][49, 1, 2] = np.nan
    files = [
        write(tmp_path / "0.npz", good(50)),
        write(tmp_path / "1.npz", good(50, 1), prefixed("test_", good(2, 1))),
        write(tmp_path / "2.npz", prefixed(prefix, bad)),
    ]
    words = rf"2\.npz: array '{prefix}image' holds NaN or infinity \(sample 49\)"
    with pytest.raises(BadData, match=words):
        given(files, SPECS)


def test_only_an_eval_part_is_nothing_to_compare_on(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="only an eval part"):
        given([write(tmp_path / "data.npz", prefixed("eval_", good()))], SPECS)


def test_a_fixed_first_dimension_is_fed_whole_samples(tmp_path: Path) -> None:
    spec = InputSpec("x", np.dtype(np.float32), (2, 3), ("", ""))
    array = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    (feed,) = given([write(tmp_path / "data.npz", x=array)], (spec,))
    assert feed["x"].shape == (2, 3)
    assert (array == feed["x"]).all((1, 2)).any()


def test_numbers_are_converted_where_nothing_is_lost(tmp_path: Path) -> None:
    narrow = (
        InputSpec("image", np.dtype(np.float16), (None, 3, 4), ("n", "", "")),
        InputSpec("ids", np.dtype(np.uint8), (None, None), ("n", "t")),
    )
    (feed, _) = given([write(tmp_path / "data.npz", good(20))], narrow)
    assert (feed["image"].dtype, feed["ids"].dtype) == (np.float16, np.uint8)


@pytest.mark.parametrize("number", [256, -1])
def test_integers_that_the_input_cannot_hold_are_refused(number: int, tmp_path: Path) -> None:
    spec = InputSpec("ids", np.dtype(np.uint8), (None, None), ("n", "t"))
    path = write(tmp_path / "data.npz", ids=np.full((5, 2), number))
    with pytest.raises(BadData, match="uint8"):
        given([path], (spec,))


def test_a_scalar_input_takes_a_number_a_sample(tmp_path: Path) -> None:
    flag = InputSpec("flag", np.dtype(bool), (), ())
    (feed,) = given([write(tmp_path / "data.npz", flag=np.array([True]))], (flag,))
    assert feed["flag"].shape == ()
    with pytest.raises(BadData, match="samples go on the first axis"):
        given([write(tmp_path / "one.npz", flag=np.array(True))], (flag,))
