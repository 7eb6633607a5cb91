"""The context codec: what goes in comes out, bit for bit, from contexts that its tables were made for or not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebook_compressor.codecs import classes, context, context_fit, odds
from sparsebook_compressor.codecs.context_model import blocks, following, histories
from sparsebook_compressor.counting import cell_edges, nonzeros_by_cell
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload import WORTH, CodedWeight, decode, encode
from sparsebook_compressor.payload_contents import contents
from sparsebook_compressor.payload_layout import (
    MASK_GROUPS,
    MASK_PLAIN,
    MASK_RUNS,
    MAX_FREQUENCY_LEVEL,
    MAX_MASK_LEVEL,
)
from tests.unit.compressor.plain_decoder import decode as plainly
from tests.unit.compressor.weights import made


@st.composite
def weights(draw: st.DrawFn) -> CodedWeight:
    shape = tuple(draw(st.lists(st.integers(1, 12), max_size=4)))
    centroids = draw(st.integers(1, 255))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.98, 1.0]))
    codes = rng.integers(1, centroids + 1, math.prod(shape)).astype(np.uint8)
    codes[rng.random(len(codes)) >= density] = 0
    codebook = rng.normal(size=centroids).astype(np.float32)
    return CodedWeight(shape, 1, centroids.bit_length(), codebook, codes)


@settings(max_examples=60, deadline=None)
@given(weights())
def test_three_decoders_give_back_what_was_encoded(weight: CodedWeight) -> None:
    data, facts = encode(weight, "context")
    for codes in (decode(data).codes, np.frombuffer(plainly(data).codes, np.uint8)):
        assert np.array_equal(codes, weight.codes)
    assert facts.bytes_total == len(data)
    found = contents(data, cell_edges)
    assert found.nonzeros == facts.nonzeros == np.count_nonzero(weight.codes)
    assert tuple(found.code_counts.tolist()) == facts.code_counts
    assert found.cells.tolist() == nonzeros_by_cell(weight.codes).tolist()


@pytest.mark.parametrize("count", [16_383, 16_384, 16_386, 65_535, 65_537, 5 * 65_536 + 20_000])
def test_segments_and_lanes_end_where_elements_do(count: int) -> None:
    weight = made((count,), 0.1, 15, skew=0.4, seed=count)
    data, _ = encode(weight, "context")
    assert np.array_equal(decode(data).codes, weight.codes)


@pytest.mark.parametrize("kind", [MASK_PLAIN, MASK_RUNS, MASK_GROUPS])
def test_a_history_is_the_same_at_once_and_step_by_step(kind: int) -> None:
    rng = np.random.default_rng(0)
    nonzero = rng.random((5, 64)) < 0.4
    positions = 64 * np.arange(5)[:, None] + np.arange(64)
    past = histories(kind, 9, nonzero, positions)
    state = np.zeros(5, np.uint8)
    for step in range(64):
        assert np.array_equal(past[:, step], state)
        begins = (positions[:, step] + 1) % 9 == 0
        state = following(kind, state, nonzero[:, step], begins)


def test_rows_and_columns_of_two_densities_cost_less_than_their_mean() -> None:
    rng = np.random.default_rng(1)
    chance = rng.choice([0.02, 0.4], (600, 1)) * rng.choice([0.3, 1.0], (1, 400))
    codes = (rng.random(chance.shape) < chance).astype(np.uint8).ravel()
    model = context_fit.fit(codes, chance.shape, 1)
    assert (model.split, model.rows_by, model.columns_by) == (1, 2, 2)
    data, _ = encode(CodedWeight(chance.shape, 1, 1, np.ones(1, np.float32), codes), "context")
    exact = -(np.log2(chance) * chance + np.log2(1 - chance) * (1 - chance)).sum() / 8
    assert len(data) < 1.02 * exact + 300


def test_kernels_that_are_empty_or_not_are_coded_as_groups() -> None:
    rng = np.random.default_rng(2)
    codes = np.repeat(rng.random(20_000) < 0.05, 9) & (rng.random(180_000) < 0.6)
    model = context_fit.fit(codes.astype(np.uint8), (200, 100, 3, 3), 1)
    assert (model.mask, model.group) == (MASK_GROUPS, 9)


def test_auto_takes_what_is_smaller_where_that_is_worth_it() -> None:
    rng = np.random.default_rng(3)
    flat = made((300, 300), 0.1, 15, skew=0.4, seed=3)
    chance = np.repeat(rng.choice([0.01, 0.3], 300), 300)
    codes = np.where(rng.random(90_000) < chance, flat.codes.max(), 0).astype(np.uint8)
    rowed = CodedWeight(flat.shape, 1, flat.bits, flat.codebook, codes)
    for weight, codec in ((flat, "huffman"), (rowed, "context")):
        sizes = {kind: len(encode(weight, kind)[0]) for kind in ("huffman", "context", "auto")}
        assert encode(weight, "auto")[1].codec == codec
        assert sizes["auto"] == sizes[codec]
        assert (sizes["context"] <= (1 - WORTH) * sizes["huffman"]) == (codec == "context")


def test_an_empty_weight_stays_version_1() -> None:
    empty = made((3, 0), 1.0, 6, seed=4)
    assert encode(empty, "context")[0] == encode(empty)[0]


def test_the_same_weight_gives_the_same_bytes() -> None:
    weight = made((90, 80), 0.2, 31, skew=0.3, seed=5)
    assert encode(weight, "context")[0] == encode(weight, "context")[0]


def test_a_damaged_segment_is_named() -> None:
    weight = made((200_000,), 0.1, 15, skew=0.4, seed=6)
    model = context_fit.fit(weight.codes, weight.shape, 15)
    data, sizes = context.encode(model, weight.codes)
    damaged = bytearray(data)
    damaged[int(sizes[0]) + 40] ^= 1
    found = [wrong for *_, wrong in context.decode(model, bytes(damaged), sizes, 200_000)]
    assert found == [1, None]


def test_levels_are_monotonous_and_end_where_the_page_says() -> None:
    shares = odds.shares(np.arange(1, MAX_MASK_LEVEL + 1, dtype=np.uint8)).astype(int)
    assert (shares[0], shares[71], shares[-1]) == (1, 2048, 4095)
    assert (np.diff(shares) > 0).all()
    only = odds.frequencies(np.array([0, MAX_FREQUENCY_LEVEL, 0], np.uint8))
    assert only.tolist() == [0, 4096, 0]


@given(st.lists(st.integers(0, MAX_FREQUENCY_LEVEL), min_size=1, max_size=256))
def test_frequencies_sum_to_4096(levels: list[int]) -> None:
    if not any(levels):
        with pytest.raises(PayloadError, match="frequencies"):
            odds.frequencies(np.array(levels, np.uint8))
        return
    found = odds.frequencies(np.array(levels, np.uint8))
    assert found.sum() == 4096
    assert ((found > 0) == (np.array(levels) > 0)).all()


def test_frequencies_follow_counts() -> None:
    counts = np.array([0, 1, 10, 100, 1000, 10_000])
    found = odds.frequencies(odds.frequency_levels(counts)).astype(float)
    assert found[0] == 0
    assert np.abs(np.log2(found[3:] / 4096) - np.log2(counts[3:] / counts.sum())).max() < 0.15


def test_rows_alike_stay_in_one_class() -> None:
    counts = np.random.default_rng(7).binomial(1000, 0.1, 500)
    assert classes.fit(counts, 1000).count == 1


def test_blocks_cover_a_weight_once() -> None:
    for elements in (1, 65_536, 65_537, 10 * 65_536 + 3):
        ends = [0]
        for block in blocks(elements, 4):
            assert block.first == ends[-1]
            ends.append(block.end)
            assert block.present().sum() == block.end - block.first
        assert ends[-1] == elements
