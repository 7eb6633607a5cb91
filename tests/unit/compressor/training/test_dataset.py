"""Data on disk: three parts that never mix, in the layout that the worker and the graph take."""

import itertools
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec
from sparsebook_compressor.training.data import archive
from sparsebook_compressor.training.data.dataset import Dataset, teacher_name
from sparsebook_compressor.training.data.parts import PARTS, PartFacts
from tests.unit.compressor.training.data import SPECS, column, good, prefixed, write


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_parts_that_are_given_are_kept_as_they_are(tmp_path: Path) -> None:
    parts = {"": good(20, 0), "eval_": good(5, 1), "test_": good(7, 2)}
    path = write(tmp_path / "d.npz", *(prefixed(p, arrays) for p, arrays in parts.items()))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    assert dataset.splits == (
        PartFacts("train", 20, "given"),
        PartFacts("eval", 5, "given"),
        PartFacts("test", 7, "given"),
    )
    for part, arrays in zip(PARTS, parts.values(), strict=True):
        assert dataset.samples(part) == len(arrays["ids"])
        for name, array in arrays.items():
            assert (column(dataset, part, name) == array).all()
    assert dataset.trains
    assert not dataset.has_labels
    assert dataset.batchable


def test_inputs_of_floats_can_be_moved_by_less_than_their_last_two_axes(tmp_path: Path) -> None:
    dataset = Dataset.prepare([write(tmp_path / "d.npz", good())], SPECS, tmp_path / "out", 0)
    assert dataset.floats == ("image",)
    assert dataset.movable(2) == ("image",)
    assert dataset.movable(3) == ()  # samples are 3 x 4


def test_what_is_not_given_is_split_off_and_sample_i_of_every_array_stays_together(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "d.npz", good(50), labels=np.arange(50, dtype=np.uint8))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 3)
    assert [facts.samples for facts in dataset.splits] == [40, 5, 5]
    assert [facts.origin for facts in dataset.splits] == ["given", "split off", "split off"]
    seen: list[int] = []
    for part in PARTS:
        labels = column(dataset, part, "labels")
        assert labels.dtype == np.int64
        assert (column(dataset, part, "ids")[:, 0] == labels).all()
        assert (column(dataset, part, "image") == good(50)["image"][labels]).all()
        seen += labels.tolist()
    assert sorted(seen) == list(range(50))


def test_only_what_is_missing_is_split_off(tmp_path: Path) -> None:
    path = write(tmp_path / "d.npz", good(50), prefixed("test_", good(8, 1)))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    assert [(facts.samples, facts.origin) for facts in dataset.splits] == [
        (45, "given"),
        (5, "split off"),
        (8, "given"),
    ]


def test_the_test_part_lies_where_no_worker_looks(tmp_path: Path) -> None:
    path = write(tmp_path / "d.npz", good(50))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    description = json.loads((dataset.shared / "dataset.json").read_text())
    assert set(description["parts"]) == {"train", "eval"}
    shared = {tuple(row) for part in ("train", "eval") for row in column(dataset, part, "ids")}
    assert not shared & {tuple(row) for row in column(dataset, "test", "ids")}
    files = [
        file
        for shards in description["parts"].values()
        for s in shards
        for file in s["files"].values()
    ]
    assert sorted([*files, "dataset.json"]) == sorted(p.name for p in dataset.shared.iterdir())
    test = json.loads((tmp_path / "out/test/dataset.json").read_text())
    assert list(test["parts"]) == ["test"]


def test_the_description_is_what_docs_training_md_says(tmp_path: Path) -> None:
    path = write(tmp_path / "d.npz", good(20), labels=np.zeros(20))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    description = json.loads((dataset.shared / "dataset.json").read_text())
    assert description["format"] == 1
    assert description["inputs"] == ["image", "ids", "labels"]
    (shard,) = description["parts"]["train"]
    assert shard["samples"] == 16
    found = {
        name: np.load(dataset.shared / file, allow_pickle=False)
        for name, file in shard["files"].items()
    }
    assert {name: (a.dtype.str, a.shape) for name, a in found.items()} == {
        "image": ("<f4", (16, 3, 4)),
        "ids": ("<i8", (16, 5)),
        "labels": ("<f4", (16,)),
    }


def test_the_same_data_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "d.npz", good(50), labels=np.arange(50))
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (4, 4, 5), strict=True):
        Dataset.prepare([path], SPECS, folder, seed)
    one, two, other = map(contents, folders)
    assert one == two
    assert one.keys() == other.keys()
    assert one != other


def test_shards_continue_each_other_and_are_split_as_one(tmp_path: Path) -> None:
    """A split of several files takes the samples that a split of the same samples in one file takes."""
    arrays = good(60)
    whole = write(tmp_path / "whole.npz", arrays)
    bounds = [0, 25, 26, 60]
    files = [
        write(tmp_path / f"{i}.npz", {name: a[first:last] for name, a in arrays.items()})
        for i, (first, last) in enumerate(itertools.pairwise(bounds))
    ]
    one = Dataset.prepare([whole], SPECS, tmp_path / "one", 0)
    several = Dataset.prepare(files, SPECS, tmp_path / "several", 0)
    assert one.splits == several.splits
    for part in PARTS:
        assert (column(one, part, "ids") == column(several, part, "ids")).all()
    assert max(len(feed["ids"]) for feed in several.batches("train", 1000)) < 25 + 34
    assert all(shard["samples"] for shard in _shards(several, "eval"))


def _shards(dataset: Dataset, part: str) -> list[dict[str, int]]:
    parts: dict[str, list[dict[str, int]]] = json.loads(
        (dataset.shared / "dataset.json").read_text()
    )["parts"]
    return parts[part]


def test_parts_may_come_in_files_of_their_own(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.npz", good(10, 0)),
        write(tmp_path / "b.npz", prefixed("eval_", good(4, 1)), prefixed("test_", good(3, 2))),
        write(tmp_path / "c.npz", good(10, 3)),
    ]
    dataset = Dataset.prepare(files, SPECS, tmp_path / "out", 0)
    assert [facts.samples for facts in dataset.splits] == [20, 4, 3]
    assert {facts.origin for facts in dataset.splits} == {"given"}


def test_shards_may_differ_in_free_dimensions(tmp_path: Path) -> None:
    """Texts of one length a file."""
    short, long = good(10, 0), good(10, 1)
    long["ids"] = np.tile(long["ids"], (1, 3))
    files = [write(tmp_path / "a.npz", short), write(tmp_path / "b.npz", long)]
    dataset = Dataset.prepare(files, SPECS, tmp_path / "out", 0)
    lengths = {feed["ids"].shape[1] for feed in dataset.batches("train", 4)}
    assert lengths == {5, 15}


def test_test_arrays_alone_are_for_comparing(tmp_path: Path) -> None:
    path = write(tmp_path / "d.npz", prefixed("test_", good(5)), test_labels=np.arange(5))
    dataset = Dataset.prepare([path], SPECS, tmp_path / "out", 0)
    assert not dataset.trains
    assert dataset.has_labels
    assert [(facts.samples, facts.origin) for facts in dataset.splits] == [
        (0, "absent"),
        (0, "absent"),
        (5, "given"),
    ]


def test_further_arrays_are_kept_only_where_somebody_reads_them(tmp_path: Path) -> None:
    text = np.array(["a"] * 20)
    path = write(tmp_path / "d.npz", good(20), boxes=np.ones((20, 2, 4)), notes=text)
    without = Dataset.prepare([path], SPECS, tmp_path / "without", 0)
    assert without.arrays == ("image", "ids")
    kept = Dataset.prepare([path], SPECS, tmp_path / "with", 0, ["boxes", "ids"])
    assert kept.arrays == ("image", "ids", "boxes")
    assert column(kept, "test", "boxes").shape == (2, 2, 4)
    with pytest.raises(BadData, match="'notes' is text; save it as numbers"):
        Dataset.prepare([path], SPECS, tmp_path / "text", 0, ["notes"])


def test_samples_come_one_by_one_where_the_graph_takes_one(tmp_path: Path) -> None:
    fixed = InputSpec("x", np.dtype(np.float32), (1, 3), ("", ""))
    state = InputSpec("state", np.dtype(np.float32), (2, None, 4), ("", "n", ""))
    rate = InputSpec("rate", np.dtype(np.int64), (), ())
    x, states, rates = np.arange(60.0).reshape(20, 3), np.ones((20, 2, 1, 4)), np.arange(20)
    path = write(tmp_path / "d.npz", x=x, state=states, rate=rates)
    dataset = Dataset.prepare([path], (fixed, state, rate), tmp_path / "out", 0)
    assert dataset.whole == {"state", "rate"}
    assert not dataset.batchable
    feeds = list(dataset.batches("train", 64))
    assert len(feeds) == 16
    for feed in feeds:
        assert (feed["x"].shape, feed["state"].shape, feed["rate"].shape) == ((1, 3), (2, 1, 4), ())
        assert feed["x"][0, 0] == 3 * feed["rate"]


def test_the_originals_outputs_lie_beside_the_samples(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.npz", good(15, i)) for i in range(3)]
    dataset = Dataset.prepare(files, SPECS, tmp_path / "out", 0)
    before = json.loads((dataset.shared / "dataset.json").read_text())
    names = [teacher_name(0), teacher_name(2)]
    for part in ("train", "eval"):
        with dataset.record(part, names) as recorder:
            for feed in dataset.batches(part, 4, ["ids"]):
                recorder.add([feed["ids"][:, :2] * 0.5, feed["ids"] + 1])
        described = json.loads((dataset.shared / "dataset.json").read_text())
        # Only when all shards have them does the description name them: a worker never sees half.
        assert (described == before) == (part == "train")
    assert described["inputs"] == ["image", "ids", *names]
    ids = column(dataset, "train", "ids")
    assert (column(dataset, "train", names[0]) == ids[:, :2] * 0.5).all()
    assert (column(dataset, "eval", names[1]) == column(dataset, "eval", "ids") + 1).all()
    expected = float(np.square(ids[:, :2] * 0.5).mean())
    assert dataset.mean_square(names[0]) == pytest.approx(expected, rel=1e-12)


def test_outputs_whose_shape_changes_cannot_be_recorded(tmp_path: Path) -> None:
    dataset = Dataset.prepare([write(tmp_path / "d.npz", good(20))], SPECS, tmp_path / "out", 0)
    with dataset.record("eval", [teacher_name(0)]) as recorder:
        recorder.add([np.zeros((1, 3))])
        with pytest.raises(BadData, match="changes its shape from sample to sample"):
            recorder.add([np.zeros((1, 4))])
        recorder.add([np.zeros((1, 3))])


def test_input_names_never_become_paths(tmp_path: Path) -> None:
    spec = InputSpec("../up/x:0", np.dtype(np.float32), (None, 2), ("", ""))
    path = tmp_path / "d.npz"
    np.savez(path, **{"../up/x:0": np.ones((10, 2))})
    dataset = Dataset.prepare([path], (spec,), tmp_path / "out", 0)
    assert column(dataset, "train", "../up/x:0").shape == (8, 2)
    assert {p.name for p in tmp_path.iterdir()} == {"d.npz", "out"}


def test_data_larger_than_a_few_blocks_passes_through_flat_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BLOCK_BYTES", 1 << 16)
    spec = InputSpec("x", np.dtype(np.float32), (None, 500), ("", ""))
    rng = np.random.default_rng(0)
    files = [
        write(tmp_path / f"{i}.npz", x=rng.standard_normal((2000, 500)).astype(np.float32))
        for i in range(3)
    ]
    tracemalloc.start()
    dataset = Dataset.prepare(files, (spec,), tmp_path / "out", 0)
    total = sum(float(feed["x"].sum()) for part in PARTS for feed in dataset.batches(part, 64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.isfinite(total)
    assert peak < 3 * 2000 * 500 * 4 / 10
