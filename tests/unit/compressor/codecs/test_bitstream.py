"""Segmented bit streams, against a packer that writes one character a bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.codecs import bitstream, huffman
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import SEGMENT_SYMBOLS

BORDERS = [1, 2, 7, 8, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 3 * 4096 + 1]


def code_for(symbols: np.ndarray, alphabet: int) -> tuple[np.ndarray, np.ndarray]:
    """Words and lengths of a Huffman code in which every symbol of the alphabet occurs."""
    lengths = huffman.code_lengths(np.bincount(symbols, minlength=alphabet) + 1)
    return huffman.code_words(lengths), lengths


def slow_pack(symbols: np.ndarray, words: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    segments = []
    for start in range(0, len(symbols), SEGMENT_SYMBOLS):
        piece = symbols[start : start + SEGMENT_SYMBOLS]
        text = "".join(format(words[symbol], f"0{lengths[symbol]}b") for symbol in piece)
        text += "0" * (-len(text) % 8)
        segments.append(bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    return segments


def check_round_trip(symbols: np.ndarray, words: np.ndarray, lengths: np.ndarray) -> None:
    data, sizes = bitstream.pack(symbols, words, lengths)
    assert int(sizes.sum()) == len(data)
    assert len(sizes) == bitstream.segment_count(len(symbols))
    table = huffman.decoding_table(lengths)
    found, wrong = bitstream.unpack(data, sizes, len(symbols), *table)
    assert wrong is None
    assert (found == symbols).all()


@pytest.mark.parametrize("count", BORDERS)
@pytest.mark.parametrize("alphabet", [2, 3, 32, 256])
def test_huffman_streams_are_what_the_slow_packer_writes(count: int, alphabet: int) -> None:
    rng = np.random.default_rng(count)
    symbols = np.minimum(rng.geometric(0.3, count) - 1, alphabet - 1).astype(np.uint8)
    words, lengths = code_for(symbols, alphabet)
    data, sizes = bitstream.pack(symbols, words, lengths)
    segments = slow_pack(symbols, words, lengths)
    assert data == b"".join(segments)
    assert sizes.tolist() == [len(segment) for segment in segments]
    check_round_trip(symbols, words, lengths)


@pytest.mark.parametrize("count", BORDERS)
@pytest.mark.parametrize("width", range(1, 9))
def test_fixed_width_streams(count: int, width: int) -> None:
    symbols = np.random.default_rng(count).integers(0, 1 << width, count).astype(np.uint8)
    words = np.arange(1 << width, dtype=np.uint16)
    lengths = np.full(1 << width, width, np.uint8)
    data, sizes = bitstream.pack(symbols, words, lengths)
    assert sizes.tolist() == bitstream.fixed_segment_sizes(count, width).tolist()
    bits = np.unpackbits(symbols[:, None], axis=1)[:, 8 - width :]
    whole = count // SEGMENT_SYMBOLS * SEGMENT_SYMBOLS
    # 4096 symbols of any width end on a byte, so segments leave no trace in a fixed stream.
    assert data == np.packbits(bits[:whole]).tobytes() + np.packbits(bits[whole:]).tobytes()
    check_round_trip(symbols, words, lengths)


def test_the_longest_words_start_at_every_bit_of_a_unit() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12], np.uint8)
    symbols = np.random.default_rng(0).integers(0, len(lengths), 5000).astype(np.uint8)
    words = huffman.code_words(lengths)
    assert bitstream.pack(symbols, words, lengths)[0] == b"".join(
        slow_pack(symbols, words, lengths)
    )
    check_round_trip(symbols, words, lengths)
    check_round_trip(
        np.full(4096, 12, np.uint8), words, lengths
    )  # a segment of the full 6144 bytes


def test_blocks_of_segments_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = np.random.default_rng(0).integers(0, 5, 11 * 4096 + 17).astype(np.uint8)
    words, lengths = code_for(symbols, 5)
    whole, sizes = bitstream.pack(symbols, words, lengths)
    for block in (1, 2, 3, 11, 12):
        monkeypatch.setattr(bitstream, "_PACK_SEGMENTS", block)
        monkeypatch.setattr(bitstream, "_UNPACK_SEGMENTS", block)
        data, found_sizes = bitstream.pack(symbols, words, lengths)
        assert data == whole
        assert found_sizes.tolist() == sizes.tolist()
        check_round_trip(symbols, words, lengths)


def test_an_empty_stream() -> None:
    data, sizes = bitstream.pack(
        np.zeros(0, np.uint8), np.zeros(2, np.uint16), np.ones(2, np.uint8)
    )
    assert data == b""
    assert sizes.tolist() == []
    table = huffman.decoding_table(np.ones(2, np.uint8))
    found, wrong = bitstream.unpack(b"", sizes, 0, *table)
    assert len(found) == 0
    assert wrong is None


@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), st.data())
def test_a_changed_bit_is_another_symbol_or_a_damaged_segment(
    raw: list[int], data: st.DataObject
) -> None:
    symbols = np.array(raw, np.uint8)
    words, lengths = code_for(symbols, 7)
    stream, sizes = bitstream.pack(symbols, words, lengths)
    bit = data.draw(st.integers(0, 8 * len(stream) - 1))
    damaged = bytearray(stream)
    damaged[bit // 8] ^= 1 << bit % 8
    table = huffman.decoding_table(lengths)
    found, wrong = bitstream.unpack(bytes(damaged), sizes, len(symbols), *table)
    assert wrong == 0 or (found != symbols).any()


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_the_first_segment_that_does_not_fill_its_bytes_is_named(segment: int) -> None:
    lengths = np.array([1, 2, 2], np.uint8)
    symbols = np.zeros(2 * 4096 + 104, np.uint8)  # the last segment is 13 full bytes
    stream, sizes = bitstream.pack(symbols, huffman.code_words(lengths), lengths)
    damaged = bytearray(stream)
    damaged[int(sizes[:segment].sum())] = (
        0xFF  # four longer words push the last ones out of the segment
    )
    table = huffman.decoding_table(lengths)
    assert bitstream.unpack(bytes(damaged), sizes, len(symbols), *table)[1] == segment


def test_spare_bits_must_be_zero_and_the_last_byte_must_be_needed() -> None:
    lengths = np.array([1, 1], np.uint8)
    table = huffman.decoding_table(lengths)
    fine = (b"\xe0", np.array([1]), 3)
    assert bitstream.unpack(*fine, *table)[1] is None
    assert bitstream.unpack(b"\xe1", np.array([1]), 3, *table)[1] == 0
    assert bitstream.unpack(b"\xe0\x00", np.array([2]), 3, *table)[1] == 0
    assert bitstream.unpack(b"\xff", np.array([1]), 9, *table)[1] == 0


def test_payload_error_is_what_callers_get() -> None:
    with pytest.raises(PayloadError, match=r"payload: stream: gaps, segment 3"):
        bitstream.check(3, "gaps")
    bitstream.check(None, "gaps")
