"""Weights in files: who sees what, and what is left on the disk."""

import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebook_compressor import admit
from sparsebook_compressor.errors import NotFinite
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.training.orders.values import Values
from tests.unit.compressor.models import free, graph_of, model_of, node, value, values

SHAPES = {"w1": (12, 20), "w2": (20, 16)}


def fresh(folder: Path, **changes: np.ndarray) -> Values:
    arrays = {name: values(*shape) for name, shape in SHAPES.items()} | changes
    nodes = [node("MatMul", ["x", "w1"], ["h"]), node("MatMul", ["h", "w2"], ["y"])]
    model = model_of(graph_of(nodes, [value("x", ["n", 12])], [free("y", 2)], arrays))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return Values(survey(admit.load(path), path).weights, folder / "values")


def files(folder: Path) -> list[Path]:
    return sorted((folder / "values").iterdir())


def numbers(count: int, start: float) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)


def test_a_weight_is_the_users_own_until_it_is_written_over(tmp_path: Path) -> None:
    held = fresh(tmp_path)
    np.testing.assert_array_equal(held.read("w1"), values(12, 20).ravel())
    assert files(tmp_path) == []
    held.write("w1", numbers(240, 0))
    np.testing.assert_array_equal(held.read("w1"), numbers(240, 0))
    np.testing.assert_array_equal(held.original("w1"), values(12, 20).ravel())
    assert held.nonzeros("w1") == 239
    np.testing.assert_array_equal(held.read("w2"), values(20, 16).ravel())


def test_a_shared_weight_is_what_its_codes_say(tmp_path: Path) -> None:
    held = fresh(tmp_path)
    codes = np.arange(240, dtype=np.uint8) % 4
    held.share("w1", codes, np.array([-1, 0.5, 2], np.float32))
    expected = np.array([0, -1, 0.5, 2], np.float32)[codes]
    np.testing.assert_array_equal(held.read("w1"), expected)
    assert held.nonzeros("w1") == 180
    assert list(held.codebooks) == ["w1"]
    held.move_centroids("w1", np.array([-2, 0, 3], np.float32))
    np.testing.assert_array_equal(held.read("w1"), np.array([0, -2, 0, 3], np.float32)[codes])
    np.testing.assert_array_equal(held.codes("w1"), codes)
    # A centroid that training moved to zero is still a survivor.
    assert held.nonzeros("w1") == 180
    held.write("w1", numbers(240, 1))
    assert held.codebooks == {}
    np.testing.assert_array_equal(held.read("w1"), numbers(240, 1))


def test_all_255_centroids_can_be_told_apart(tmp_path: Path) -> None:
    held = fresh(tmp_path)
    codes = np.resize(np.arange(256, dtype=np.uint8), 240 + 16)[16:]
    codebook = numbers(255, 1)
    held.share("w1", codes, codebook)
    assert held.read("w1").max() == 255
    np.testing.assert_array_equal(held.read("w1"), codes.astype(np.float32))


def test_what_was_read_before_stays_as_it_was(tmp_path: Path) -> None:
    """Files are mapped, not copied: writing must never go into one that somebody still reads."""
    held = fresh(tmp_path)
    held.write("w1", numbers(240, 0))
    before = held.read("w1")
    held.write("w1", before * 2)
    np.testing.assert_array_equal(before, numbers(240, 0))
    np.testing.assert_array_equal(held.read("w1"), 2 * numbers(240, 0))
    codes = np.ones(240, np.uint8)
    held.share("w1", codes, np.ones(1, np.float32))
    mapped = held.codes("w1")
    held.share("w1", 1 - np.array(mapped), np.ones(1, np.float32))
    np.testing.assert_array_equal(mapped, codes)
    np.testing.assert_array_equal(before, numbers(240, 0))
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 1


def test_one_file_a_weight_and_none_of_what_it_was_before(tmp_path: Path) -> None:
    held = fresh(tmp_path)
    for turn in range(5):
        held.write("w1", numbers(240, turn))
        held.share("w2", np.full(320, turn, np.uint8), numbers(9, 1))
    assert len(files(tmp_path)) == 2


def test_forks_do_not_see_each_other(tmp_path: Path) -> None:
    first = fresh(tmp_path)
    first.write("w1", numbers(240, 0))
    first.write_vector("b", numbers(3, 0))
    second = first.fork()
    third = second.fork()
    first.write("w1", numbers(240, 100))
    second.share("w1", np.ones(240, np.uint8), np.array([7], np.float32))
    second.write_vector("b", numbers(3, 5))
    third.write("w2", numbers(320, 9))
    np.testing.assert_array_equal(first.read("w1"), numbers(240, 100))
    np.testing.assert_array_equal(second.read("w1"), np.full(240, 7, np.float32))
    np.testing.assert_array_equal(third.read("w1"), numbers(240, 0))
    np.testing.assert_array_equal(first.read("w2"), values(20, 16).ravel())
    assert [list(each.codebooks) for each in (first, second, third)] == [[], ["w1"], []]
    assert [each.vectors["b"][0] for each in (first, second, third)] == [0, 5, 0]
    second.move_centroids("w1", np.array([8], np.float32))
    fourth = second.fork()
    fourth.move_centroids("w1", np.array([9], np.float32))
    assert (second.read("w1")[0], fourth.read("w1")[0]) == (8, 9)


def test_what_is_handed_out_is_not_what_is_held(tmp_path: Path) -> None:
    held = fresh(tmp_path)
    held.share("w1", np.ones(240, np.uint8), np.array([7], np.float32))
    held.write_vector("b", numbers(3, 0))
    held.codebooks.clear()
    held.vectors.clear()
    assert list(held.codebooks) == ["w1"]
    assert list(held.vectors) == ["b"]


def test_files_go_with_the_last_who_holds_them(tmp_path: Path) -> None:
    """A budget search leaves dozens of points behind, each as large as the model."""
    first = fresh(tmp_path)
    first.write("w1", numbers(240, 0))
    for turn in range(10):
        point = first.fork()
        point.write("w1", numbers(240, turn))
        point.write("w2", numbers(320, turn))
    kept = point.read("w2")
    del point
    gc.collect()
    assert len(files(tmp_path)) == 1
    np.testing.assert_array_equal(kept, numbers(320, 9))
    np.testing.assert_array_equal(first.read("w1"), numbers(240, 0))


def test_values_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    broken = values(20, 16).copy()
    broken[3, 4] = np.inf
    held = fresh(tmp_path, w2=broken)
    for read in (held.read, held.original, held.nonzeros):
        with pytest.raises(NotFinite, match="'w2': element 52 is inf"):
            read("w2")


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "share", "move", "fork"]),
            st.integers(0, 4),
            st.integers(0, 9),
        ),
        max_size=12,
    )
)
def test_any_number_of_forks_are_as_if_each_were_alone(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("forks")
    held = [fresh(folder)]
    expected = [held[0].read("w1")]
    codes = np.arange(240, dtype=np.uint8) % 3
    for what, which, number in steps:
        at = which % len(held)
        table = np.array([0, number, -number], np.float32)
        if what == "write":
            held[at].write("w1", numbers(240, number))
            expected[at] = numbers(240, number)
        elif what == "share":
            held[at].share("w1", codes, table[1:])
            expected[at] = table[codes]
        elif what == "move" and "w1" in held[at].codebooks:
            held[at].move_centroids("w1", table[1:])
            expected[at] = table[codes]
        elif what == "fork":
            held.append(held[at].fork())
            expected.append(expected[at])
    for each, array in zip(held, expected, strict=True):
        np.testing.assert_array_equal(each.read("w1"), array)
