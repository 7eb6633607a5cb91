"""Splitting: parts are disjoint, complete, of the sizes that are promised, and decided by the seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.training.data.parts import FEWEST_TO_CHOOSE, PARTS, Part, part_of, split

MISSING: list[tuple[Part, ...]] = [(), ("eval",), ("test",), ("eval", "test")]


@given(st.integers(4, 5000), st.sampled_from(MISSING), st.integers(0, 2**63 - 1))
def test_every_sample_is_in_one_part_and_parts_have_their_sizes(
    total: int, missing: tuple[Part, ...], seed: int
) -> None:
    assigned = split(total, missing, seed, "data.npz")
    counts = dict(zip(PARTS, np.bincount(assigned, minlength=3).tolist(), strict=True))
    share = max(1, total // 10)
    expected = {part: share if part in missing else 0 for part in ("eval", "test")}
    assert counts == {"train": total - sum(expected.values()), **expected}
    assert (assigned == split(total, missing, seed, "data.npz")).all()


@pytest.mark.parametrize(
    ("total", "share"), [(4, 1), (8, 2), (96, 24), (128, 32), (319, 32), (330, 33)]
)
def test_a_calibration_chooses_by_more_of_few_samples(total: int, share: int) -> None:
    counts = np.bincount(split(total, ("eval", "test"), 0, "data.npz", FEWEST_TO_CHOOSE))
    assert counts.tolist() == [total - 2 * share, share, share]


def test_another_seed_is_another_split_and_every_sample_has_its_chance() -> None:
    splits = np.stack([split(30, ("eval", "test"), seed, "data.npz") for seed in range(200)])
    assert len(np.unique(splits, axis=0)) == 200
    for part in (1, 2):
        chances = (splits == part).mean(0)
        assert chances.min() > 0.02
        assert chances.max() < 0.25


@pytest.mark.parametrize(("total", "missing"), [(1, ()), (2, ("eval",)), (3, ("eval", "test"))])
def test_too_few_samples_are_refused_with_how_many_it_takes(
    total: int, missing: tuple[Part, ...]
) -> None:
    with pytest.raises(BadData, match=f"{total} samples? to train.*at least {2 + len(missing)}"):
        split(total, missing, 0, "data.npz")
    assert (split(2 + len(missing), missing, 0, "data.npz") == 0).sum() == 2


def test_an_input_whose_name_begins_like_a_part_is_an_input() -> None:
    inputs = ["x", "test_x", "eval_"]
    assert part_of("test_x", inputs) == ("train", "test_x")
    assert part_of("test_test_x", inputs) == ("test", "test_x")
    assert part_of("eval_", inputs) == ("train", "eval_")
    assert part_of("eval_labels", inputs) == ("eval", "labels")
    assert part_of("test_", ["x"]) == ("train", "test_")
