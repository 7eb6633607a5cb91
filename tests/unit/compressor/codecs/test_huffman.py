"""Huffman codes: optimal, complete, canonical, and read back only where docs/format.md, section 3, allows it."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.codecs import huffman
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import MAX_CODE_LENGTH

FIBONACCI = [1, 1]
while len(FIBONACCI) < 40:
    FIBONACCI.append(FIBONACCI[-1] + FIBONACCI[-2])


def lengths_of(counts: list[int], limit: int = MAX_CODE_LENGTH) -> list[int]:
    return huffman.code_lengths(np.array(counts, np.int64), limit).tolist()


def kraft(lengths: list[int]) -> Fraction:
    return sum((Fraction(1, 2**length) for length in lengths if length), Fraction(0))


def cheapest(counts: list[int], limit: int) -> int:
    """Bits of an optimal prefix code, by trying every vector of lengths that Kraft's inequality allows."""
    used = [count for count in counts if count]
    vectors = itertools.product(range(1, limit + 1), repeat=len(used))
    return min(
        sum(count * length for count, length in zip(used, vector, strict=True))
        for vector in vectors
        if kraft(list(vector)) <= 1
    )


def cost(counts: list[int], lengths: list[int]) -> int:
    return sum(count * length for count, length in zip(counts, lengths, strict=True))


counts_of_any_alphabet = st.one_of(
    st.lists(st.integers(0, 50), min_size=1, max_size=256),
    st.lists(st.sampled_from([0, 1, 2, 1000, 10**6, 10**12]), min_size=1, max_size=256),
    st.lists(st.sampled_from(FIBONACCI), min_size=1, max_size=40),
).filter(any)


@given(counts_of_any_alphabet)
def test_lengths_form_a_complete_code_of_exactly_the_symbols_that_occur(counts: list[int]) -> None:
    lengths = lengths_of(counts)
    assert [length > 0 for length in lengths] == [count > 0 for count in counts]
    assert max(lengths) <= MAX_CODE_LENGTH
    lone = sum(count > 0 for count in counts) == 1
    assert kraft(lengths) == (Fraction(1, 2) if lone else 1)


@given(counts_of_any_alphabet)
def test_a_more_frequent_symbol_never_has_a_longer_word(counts: list[int]) -> None:
    pairs = sorted(zip(counts, lengths_of(counts), strict=True))
    used = [(count, length) for count, length in pairs if count]
    for (low, longer), (high, shorter) in itertools.combinations(used, 2):
        assert low == high or longer >= shorter


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5), st.integers(3, 4))
def test_no_prefix_code_within_the_limit_is_shorter(counts: list[int], limit: int) -> None:
    if sum(count > 0 for count in counts) < 2:
        counts = [*counts, 1, 1]
    assert cost(counts, lengths_of(counts, limit)) == cheapest(counts, limit)


@pytest.mark.parametrize("limit", [3, 4, 5])
def test_the_limited_code_of_fibonacci_counts_is_optimal(limit: int) -> None:
    counts = FIBONACCI[:6]  # unlimited, the deepest word has 5 bits
    lengths = lengths_of(counts, limit)
    assert max(lengths) == limit
    assert cost(counts, lengths) == cheapest(counts, limit)


@pytest.mark.parametrize("symbols", [13, 14, 20, 40])
def test_package_merge_takes_over_where_huffman_passes_the_limit(symbols: int) -> None:
    counts = FIBONACCI[:symbols]
    unlimited = lengths_of(counts, 255)
    limited = lengths_of(counts)
    assert max(unlimited) == symbols - 1
    assert max(limited) == 12
    assert kraft(limited) == 1
    if symbols > 13:
        assert cost(counts, unlimited) < cost(counts, limited)
    else:
        assert limited == unlimited


def test_package_merge_and_huffman_cost_the_same_where_both_may_be_used() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(20, 100, rng.integers(2, 257))
        free = huffman.code_lengths(counts, 255)
        merged = huffman._package_merge(counts, MAX_CODE_LENGTH)
        assert free.max() <= MAX_CODE_LENGTH
        assert int((counts * free).sum()) == int((counts * merged).sum())


def test_a_full_alphabet_fits_a_limit_of_its_own_log() -> None:
    counts = np.ones(256, np.int64)
    counts[0] = 10**9
    assert lengths_of(counts.tolist(), 8) == [8] * 256


@pytest.mark.parametrize(
    ("counts", "lengths"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([0, 7, 0], [0, 1, 0]),
        ([1, 1], [1, 1]),
        ([0, 5, 1], [0, 1, 1]),
        ([4, 2, 1, 1], [1, 2, 3, 3]),
    ],
)
def test_small_alphabets(counts: list[int], lengths: list[int]) -> None:
    assert lengths_of(counts) == lengths


def test_counts_of_a_whole_weight_do_not_overflow() -> None:
    assert kraft(lengths_of([1 << 36, 1 << 36, 1, 1, (1 << 62) - 1])) == 1


@given(counts_of_any_alphabet)
def test_words_are_canonical(counts: list[int]) -> None:
    lengths = huffman.code_lengths(np.array(counts, np.int64))
    words = huffman.code_words(lengths)
    used = [
        (int(length), symbol, int(words[symbol])) for symbol, length in enumerate(lengths) if length
    ]
    texts = [format(word, f"0{length}b") for length, _, word in sorted(used)]
    assert [len(text) for text in texts] == [length for length, _, _ in sorted(used)]
    assert texts == sorted(texts)  # ascending as bits in the order of (length, symbol)
    assert set(texts[0]) == {"0"}
    for first, second in itertools.pairwise(texts):
        assert not second.startswith(first)
    assert all(words[symbol] == 0 for symbol, length in enumerate(lengths) if not length)


@given(counts_of_any_alphabet.filter(lambda counts: sum(map(bool, counts)) > 1))
def test_the_table_finds_the_word_that_begins_every_window(counts: list[int]) -> None:
    lengths = huffman.code_lengths(np.array(counts, np.int64))
    words = huffman.code_words(lengths)
    symbols, sizes = huffman.decoding_table(lengths)
    windows = np.arange(1 << MAX_CODE_LENGTH)
    assert (sizes == lengths[symbols]).all()
    assert (windows >> (MAX_CODE_LENGTH - sizes.astype(np.int64)) == words[symbols]).all()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=300), st.integers(0, 5))
def test_any_lengths_are_written_so_that_the_nibbles_expand_to_them(
    lengths: list[int], offset: int
) -> None:
    data = bytes(offset) + huffman.write_lengths(np.array(lengths, np.uint8))
    assert expand(data[offset:], len(lengths)) == lengths


def expand(data: bytes, alphabet: int) -> list[int]:
    """The nibbles of section 3, read the plain way."""
    nibbles = iter([half for byte in data for half in (byte >> 4, byte & 15)])
    lengths: list[int] = []
    while len(lengths) < alphabet:
        nibble = next(nibbles)
        if nibble <= 12:
            lengths.append(nibble)
        else:
            assert nibble in (13, 14)
            lengths += [0 if nibble == 13 else lengths[-1]] * (next(nibbles) + 2)
    assert len(lengths) == alphabet
    rest = list(nibbles)
    assert rest in ([], [0])
    return lengths


@given(counts_of_any_alphabet, st.integers(0, 5), st.binary(max_size=3))
def test_lengths_round_trip(counts: list[int], offset: int, behind: bytes) -> None:
    lengths = huffman.code_lengths(np.array(counts, np.int64))
    section = huffman.write_lengths(lengths)
    data = bytes(offset) + section + behind
    found, end = huffman.read_lengths(data, offset, len(lengths), "codes")
    assert found.tolist() == lengths.tolist()
    assert end == offset + len(section)


@pytest.mark.parametrize("run", [*range(1, 40), 254, 255])
def test_runs_of_zeros_and_repeats_of_every_length(run: int) -> None:
    zeros = [1] + [0] * run + [1]
    data = huffman.write_lengths(np.array(zeros, np.uint8))
    assert huffman.read_lengths(data, 0, len(zeros), "codes")[0].tolist() == zeros
    assert len(data) <= 1 + math.ceil((2 + 2 * math.ceil(run / 17)) / 2)
    repeats = [8] * run
    assert expand(huffman.write_lengths(np.array(repeats, np.uint8)), run) == repeats


@pytest.mark.parametrize(
    ("nibbles", "alphabet", "rule"),
    [
        ([], 1, "truncated"),
        ([1], 3, "truncated"),
        ([1, 13], 8, "truncated"),
        ([15, 0], 1, "code-lengths"),
        ([14, 0], 4, "code-lengths"),  # a repeat before the first symbol
        ([1, 13, 15, 0], 17, "code-lengths"),  # a run past the alphabet
        ([1, 14, 0, 0], 2, "code-lengths"),
        ([1, 1, 1, 0], 3, "code-lengths"),  # more than complete
        ([1, 2, 0, 0], 2, "code-lengths"),  # less than complete
        ([13, 2], 4, "code-lengths"),  # no symbol
        ([0, 0], 2, "code-lengths"),
        ([2, 0], 1, "code-lengths"),  # a lone symbol of length 2
        ([12, 0], 2, "code-lengths"),
        ([1, 5], 1, "code-lengths"),  # padding that is not 0
        ([12] * 256, 256, "code-lengths"),
    ],
)
def test_tables_that_break_section_3_are_refused(
    nibbles: list[int], alphabet: int, rule: str
) -> None:
    padded = [*nibbles, 0] if len(nibbles) % 2 and rule == "code-lengths" else nibbles
    if (
        len(padded) % 2
    ):  # an odd number of nibbles ends in the middle of a byte: put it at the very end
        padded = [*padded, 13]
    data = bytes(a << 4 | b for a, b in zip(padded[0::2], padded[1::2], strict=True))
    with pytest.raises(PayloadError) as caught:
        huffman.read_lengths(data, 0, alphabet, "gaps")
    assert caught.value.rule == rule
    assert "gaps" in str(caught.value)


@given(st.binary(max_size=40), st.integers(1, 256))
def test_no_bytes_do_worse_than_a_payload_error(data: bytes, alphabet: int) -> None:
    rule = ""
    try:
        lengths, end = huffman.read_lengths(data, 0, alphabet, "codes")
    except PayloadError as error:
        rule = error.rule
    if not rule:
        assert end <= len(data)
        assert len(lengths) == alphabet
        assert kraft(lengths.tolist()) in (Fraction(1, 2), 1)
    assert rule in {"", "truncated", "code-lengths"}
