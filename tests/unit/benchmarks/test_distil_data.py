"""What the benchmark of distillation is fed: verses in two translations, and the files of a case."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import verses
from benchmarks.distil import Case, write_data


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    return verses.pairs()


def test_a_verse_stands_beside_its_other_translation(pairs: list[tuple[str, str]]) -> None:
    assert len(pairs) == 31_036
    assert (
        "In the beginning God created the heavens and the earth.",
        "At the first God made the heaven and the earth.",
    ) in pairs
    # At the very end: offsets are still right there.
    ends = [second for _, second in pairs if second.startswith("The grace of the Lord Jesus be")]
    assert "The grace of the Lord Jesus be with the saints. So be it." in ends


def test_neither_numbers_nor_notes_are_left(pairs: list[tuple[str, str]]) -> None:
    texts = [text for pair in pairs for text in pair]
    assert not [text for text in texts if "\\" in text or text[0].isdigit()]


def test_parts_follow_each_other_and_may_be_longer_where_they_are_held_out(tmp_path: Path) -> None:
    def drawn(count: int) -> dict[str, np.ndarray]:
        return {"x": np.arange(count)[:, np.newaxis]}

    def longer(count: int) -> dict[str, np.ndarray]:
        return {"x": np.repeat(drawn(count)["x"], 3, axis=1)}

    samples = {"train": 5, "eval": 2, "test": 3}
    case = Case(tmp_path, samples, drawn, {}, longer)
    train, selection, test = (dict(np.load(path)) for path in write_data(tmp_path, case))
    np.testing.assert_array_equal(train["x"], [[0], [1], [2], [3], [4]])
    np.testing.assert_array_equal(selection["eval_x"], [[5] * 3, [6] * 3])
    np.testing.assert_array_equal(test["test_x"], [[7] * 3, [8] * 3, [9] * 3])
