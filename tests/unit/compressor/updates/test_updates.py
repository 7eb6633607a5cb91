"""A new artifact comes out of the old one and an update byte for byte, or an error says what is wrong."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor import Config, apply_update, compress, pack
from sparsebook_compressor.errors import BadValue, DeltaError
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.updates import patch
from sparsebook_compressor.updates.making import make_update
from sparsebook_compressor.updates.records import UPDATE_NAME
from tests.unit.compressor.models import (
    HIDING,
    Hiding,
    constant,
    free,
    graph_of,
    model_of,
    node,
    value,
)

PAPER = Config.parse({"preset": "paper"})


def retrained(step: float, **shapes: Any) -> onnx.ModelProto:
    """Products one after the other; `step` is how far the floats have moved, in their own deviation."""
    shapes = shapes or {"w1": (256, 300), "w2": (300, 64)}
    rng = np.random.default_rng(1)
    moved = np.random.default_rng(2)
    weights, nodes, at = {}, [], "x"
    for name, shape in shapes.items():
        drawn = rng.standard_t(4, shape)
        weights[name] = (drawn + step * moved.standard_normal(shape)).astype(np.float32)
        nodes += [
            node("MatMul", [at, name], [f"{name}.y"]),
            node("Relu", [f"{name}.y"], [f"{name}.a"]),
        ]
        at = f"{name}.a"
    bias = np.full(shape[1], step, np.float32)
    nodes += [constant("bias", bias), node("Add", [at, "bias"], ["y"])]
    first = next(iter(shapes.values()))
    return model_of(graph_of(nodes, [value("x", ["n", first[0]])], [free("y", 2)], weights))


def release(folder: Path, model: onnx.ModelProto, base: Path | None = None, **raw: Any) -> Path:
    """The artifact of a model."""
    folder.mkdir()
    (folder / "in.onnx").write_bytes(model.SerializeToString())
    config = Config.parse({"preset": "paper", **raw})
    compress(folder / "in.onnx", folder / "bundle", config, base=base, verify=False)
    return folder / "bundle" / pack.MODEL_NAME


@pytest.mark.parametrize(
    ("preset", "before", "after"),
    [
        ("paper", "huffman", "huffman"),
        ("safe", "huffman", "huffman"),
        ("paper", "context", "context"),
        ("paper", "huffman", "context"),
        ("paper", "context", "huffman"),
    ],
)
def test_a_small_step_is_a_small_update(
    preset: str, before: str, after: str, tmp_path: Path
) -> None:
    base = release(tmp_path / "old", retrained(0), preset=preset, codec=before)
    new = release(tmp_path / "new", retrained(0.01), base, preset=preset, codec=after)
    update = new.with_name(UPDATE_NAME)
    assert update.stat().st_size < 0.3 * new.stat().st_size
    apply_update(base, update, tmp_path / "made.onnx")
    assert (tmp_path / "made.onnx").read_bytes() == new.read_bytes()


def test_error_and_density_stay_near_those_without_a_base(tmp_path: Path) -> None:
    base = release(tmp_path / "old", retrained(0))
    model = retrained(0.05)
    path = tmp_path / "in.onnx"
    path.write_bytes(model.SerializeToString())
    fresh = compress(path, tmp_path / "fresh", PAPER, verify=False)
    kept = compress(path, tmp_path / "kept", PAPER, base=base, verify=False)
    assert kept.update is not None
    assert (kept.update.patched, kept.update.whole) == (2, 0)
    for a, b in zip(fresh.weights, kept.weights, strict=True):
        assert b.relative_error <= 1.01 * a.relative_error
        assert b.density <= 1.05 * a.density


def test_nothing_changed_costs_next_to_nothing(tmp_path: Path) -> None:
    base = release(tmp_path / "old", retrained(0))
    new = release(tmp_path / "new", retrained(0), base)
    assert new.read_bytes() == base.read_bytes()
    assert new.with_name(UPDATE_NAME).stat().st_size < 300


def test_another_model_is_coded_anew(tmp_path: Path) -> None:
    """Weights that say nothing of the new ones are not kept, and shapes may differ."""
    base = release(tmp_path / "old", retrained(0))
    other = retrained(30, w1=(256, 300), w2=(300, 65), w3=(65, 70))
    new = release(tmp_path / "new", other, base)
    assert apply_update(base, new.with_name(UPDATE_NAME), tmp_path / "made.onnx").bytes
    assert (tmp_path / "made.onnx").read_bytes() == new.read_bytes()


@pytest.mark.parametrize("hiding", HIDING, ids=lambda each: each.name)
def test_every_hiding_place(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    every = {"*": {"density": 0.5, "bits": 4}}
    compress(path, tmp_path / "old", Config.parse({"weights": every}), verify=False)
    base = tmp_path / "old/model.onnx"
    every = {"*": {"density": 0.45, "bits": 4}}
    compress(path, tmp_path / "new", Config.parse({"weights": every}), base=base, verify=False)
    apply_update(base, tmp_path / "new" / UPDATE_NAME, tmp_path / "made.onnx")
    assert (tmp_path / "made.onnx").read_bytes() == (tmp_path / "new/model.onnx").read_bytes()


def test_data_files_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MOST_INLINE", 100)
    base = release(tmp_path / "old", retrained(0))
    new = release(tmp_path / "new", retrained(0.02), base)
    assert pack.facts(base.parent).bytes > base.stat().st_size
    update = new.with_name(UPDATE_NAME)
    assert update.stat().st_size < 0.4 * pack.facts(new.parent).bytes
    apply_update(base, update, tmp_path / "model.onnx")
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / name).read_bytes() == (new.parent / name).read_bytes()


def test_a_file_that_only_looks_like_a_data_file_is_left_alone(tmp_path: Path) -> None:
    base = release(tmp_path / "old", retrained(0))
    base.with_name("model.onnx.data").write_bytes(b"of an earlier release")
    new = release(tmp_path / "new", retrained(0.02), base)
    (tmp_path / "alone.onnx").write_bytes(base.read_bytes())
    apply_update(tmp_path / "alone.onnx", new.with_name(UPDATE_NAME), tmp_path / "made.onnx")
    assert (tmp_path / "made.onnx").read_bytes() == new.read_bytes()


def test_a_base_is_for_operators(tmp_path: Path) -> None:
    base = release(tmp_path / "old", retrained(0))
    with pytest.raises(BadValue, match="a base is for the output 'operator'"):
        release(tmp_path / "new", retrained(0), base, output="portable")
    with pytest.raises(BadValue, match=r"base in\.onnx: no sparsebook operators in it"):
        release(tmp_path / "other", retrained(0), tmp_path / "old/in.onnx")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """An artifact, and an update for it."""
    folder = tmp_path_factory.mktemp("pair")
    base = release(folder / "old", retrained(0, w1=(40, 50)))
    new = release(folder / "new", retrained(0.05, w1=(40, 50)), base)
    return base, new.with_name(UPDATE_NAME).read_bytes()


@given(data=st.data())
def test_a_damaged_update_is_refused(pair: tuple[Path, bytes], data: st.DataObject) -> None:
    base, update = pair
    at = data.draw(st.integers(0, len(update) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "add"]))
    damaged = {
        "flip": update[:at]
        + bytes([update[at] ^ data.draw(st.integers(1, 255))])
        + update[at + 1 :],
        "cut": update[:at],
        "add": update + update[at:],
    }[how]
    path = base.parent / "damaged"
    path.write_bytes(damaged)
    out = base.parent / "made.onnx"
    try:
        apply_update(base, path, out)
    except DeltaError:
        assert not out.exists()
    else:  # a byte of the maker's name
        assert out.stat().st_size
        out.unlink()


@given(steps=st.binary(max_size=200))
def test_made_up_steps_are_refused(pair: tuple[Path, bytes], steps: bytes) -> None:
    base, update = pair
    head = 8 + update[7] + 2 * 40
    path = base.parent / "made-up"
    path.write_bytes(update[:head] + zlib.compress(steps))
    with pytest.raises(DeltaError):
        apply_update(base, path, base.parent / "made.onnx")


def test_errors_say_what_is_wrong(pair: tuple[Path, bytes], tmp_path: Path) -> None:
    base, update = pair
    cases = {
        b"": "cut short",
        b"ZZZZ" + update[4:]: "does not begin with SBKU",
        update[:4] + b"\x09" + update[5:]: "version 9; this Sparsebook reads 1",
        update[:5] + b"\x03" + update[6:]: "an update of 3 and 1 files",
        update[:-40]: "cut short",
        update + b"x": "does not end where its steps do",
    }
    for data, message in cases.items():
        (tmp_path / "update").write_bytes(data)
        with pytest.raises(DeltaError, match=message):
            apply_update(base, tmp_path / "update", tmp_path / "out.onnx")
    other = release(tmp_path / "other", retrained(0, w1=(40, 52)))
    (tmp_path / "update").write_bytes(update)
    with pytest.raises(DeltaError, match="is not the artifact that this update was made for"):
        apply_update(other, tmp_path / "update", tmp_path / "out.onnx")


CODES = st.integers(1, 300).flatmap(
    lambda count: st.tuples(
        *[st.lists(st.integers(0, 6), min_size=count, max_size=count) for _ in range(2)]
    )
)


@given(codes=CODES, same=st.booleans())
def test_patches_go_both_ways(codes: tuple[list[int], list[int]], same: bool) -> None:
    books = [np.arange(1, 7, dtype=np.float32) * factor - 3.5 for factor in (1, 1 if same else 2)]
    old, new = (
        CodedWeight((len(each),), 1, 3, book, np.array(each, np.uint8))
        for each, book in zip(codes, books, strict=True)
    )
    body = patch.make(old, new)
    assert body is not None
    made = patch.apply(old, body)
    np.testing.assert_array_equal(made.codes, new.codes)
    np.testing.assert_array_equal(made.codebook, new.codebook)
    assert (made.shape, made.dtype, made.bits) == (new.shape, new.dtype, new.bits)


def test_an_update_between_any_two_artifacts(tmp_path: Path) -> None:
    """The new one need not have been made with the old one as its base."""
    base = release(tmp_path / "old", retrained(0))
    new = release(tmp_path / "new", retrained(0.01))
    found = make_update(base, new, tmp_path / "update")
    assert found.artifact_bytes == new.stat().st_size
    apply_update(base, tmp_path / "update", tmp_path / "made.onnx")
    assert (tmp_path / "made.onnx").read_bytes() == new.read_bytes()


@pytest.mark.parametrize("spare", range(8))
def test_updates_end_where_blocks_do(
    spare: int, pair: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is read in blocks, and its checksum may lie in two of them."""
    base, update = pair
    head = 8 + update[7] + 2 * 40
    block = len(update) - head - spare
    monkeypatch.setattr("sparsebook_compressor.updates.records.BLOCK", block)
    (tmp_path / "update").write_bytes(update)
    assert apply_update(base, tmp_path / "update", tmp_path / "out.onnx").bytes
