"""Payloads: every weight comes back bit for bit, and no damaged byte is taken for a weight."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from sparsebook_compressor import payload, payload_choice
from sparsebook_compressor.errors import PayloadError, TooLarge
from sparsebook_compressor.payload import CodedWeight, decode, encode
from sparsebook_compressor.payload_header import read_header
from sparsebook_compressor.payload_layout import (
    CODEC_FIXED,
    CODEC_HUFFMAN,
    LAYOUT_DENSE,
    LAYOUT_GAPS,
)
from tests.unit.compressor import plain_decoder
from tests.unit.compressor.weights import DTYPES, coded_weights, made


def check_round_trip(weight: CodedWeight) -> bytes:
    data, facts = encode(weight)
    found = decode(data)
    assert (found.shape, found.dtype, found.bits) == (weight.shape, weight.dtype, weight.bits)
    assert found.codebook.tobytes() == weight.codebook.tobytes()
    assert found.codes.dtype == np.uint8
    assert (found.codes == weight.codes).all()
    values = found.values()
    assert values.shape == weight.shape
    assert values.dtype == np.float32
    assert values.tobytes() == weight.values().tobytes()
    assert facts.bytes_total == len(data)
    assert facts.nonzeros == np.count_nonzero(weight.codes)
    assert encode(weight)[0] == data
    return data


def check_plain(data: bytes, weight: CodedWeight) -> None:
    plain = plain_decoder.decode(data)
    assert (plain.shape, plain.dtype, plain.bits) == (weight.shape, weight.dtype, weight.bits)
    assert plain.codes == weight.codes.tobytes()
    assert np.array(plain.codebook, np.float32).tobytes() == weight.codebook.tobytes()


@given(coded_weights())
def test_any_weight_round_trips_and_the_plain_decoder_agrees(weight: CodedWeight) -> None:
    check_plain(check_round_trip(weight), weight)


SHAPES = [
    (),
    (1,),
    (1, 1),
    (0,),
    (3, 0, 5),
    (2, 1, 2, 1, 2, 1, 2, 1),
    (1, 65_537),
    (3, 65_537),
    (4096,),
    (4097,),
    (128, 33),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.004, 0.1, 0.5, 1.0])
def test_shapes(shape: tuple[int, ...], density: float) -> None:
    weight = made(shape, density, skew=0.2)
    check_plain(check_round_trip(weight), weight)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.09, 1.0])
def test_bits_and_dtypes(bits: int, dtype: int, density: float) -> None:
    weight = made((70, 150), density, (1 << bits) - 1, dtype, skew=0.02)
    check_plain(check_round_trip(weight), weight)


@pytest.mark.parametrize("centroids", [0, 1, 2, 3, 4, 127, 128, 255])
def test_a_codebook_need_not_fill_its_bits(centroids: int) -> None:
    weight = made((40, 40), 0.3 if centroids else 0.0, max(centroids, 1), bits=8)
    weight = dataclasses.replace(weight, codebook=weight.codebook[:centroids])
    check_round_trip(weight)


def test_an_all_zero_weight_takes_a_header_and_a_checksum() -> None:
    weight = CodedWeight(
        (1000, 1000), TensorProto.FLOAT, 1, np.zeros(0, np.float32), np.zeros(10**6, np.uint8)
    )
    assert len(check_round_trip(weight)) == 24 + 8 + 4


def test_an_all_equal_weight_takes_no_stream() -> None:
    weight = CodedWeight(
        (1000, 1000), TensorProto.FLOAT, 1, np.array([0.5], np.float32), np.ones(10**6, np.uint8)
    )
    data = check_round_trip(weight)
    facts = encode(weight)[1]
    assert (facts.bytes_codes, facts.bytes_gaps) == (0, 0)
    assert facts.layout == LAYOUT_DENSE
    assert len(data) == 24 + 8 + 4 + 1 + 4


def test_every_second_element_of_one_value_takes_no_stream_either() -> None:
    codes = np.tile(np.array([0, 1], np.uint8), 5000)
    weight = CodedWeight((10_000,), TensorProto.FLOAT, 1, np.ones(1, np.float32), codes)
    check_plain(check_round_trip(weight), weight)
    facts = encode(weight)[1]
    assert facts.layout == LAYOUT_GAPS
    assert (facts.bytes_codes, facts.bytes_gaps) == (0, 0)
    assert facts.symbols == 5000


@pytest.mark.parametrize("position", [0, 1, 254, 255, 256, 511, 512, 99_999])
def test_a_lone_non_zero_anywhere(position: int) -> None:
    codes = np.zeros(100_000, np.uint8)
    codes[position] = 1
    weight = CodedWeight((100, 1000), TensorProto.FLOAT, 1, np.ones(1, np.float32), codes)
    check_plain(check_round_trip(weight), weight)


def test_chunks_of_positions_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = np.zeros(50_000, np.uint8)
    sparse[[0, 999, 1000, 1001, 7000, 33_333, 49_999]] = 3
    for codes in (sparse, made((50_000,), 0.1).codes):
        weight = CodedWeight(
            (50_000,), TensorProto.FLOAT, 4, np.arange(1, 16, dtype=np.float32), codes
        )
        whole = encode(weight)[0]
        for chunk in (1000, 1001, 49_999):
            monkeypatch.setattr(payload_choice, "_CHUNK", chunk)
            assert encode(weight)[0] == whole
        check_round_trip(weight)


def test_large_values_do_not_disturb_the_choice_of_codebook_dtype() -> None:
    large = np.array([1e5, -3.4e38, 1e-45], np.float32)
    codes = np.arange(4, dtype=np.uint8)
    weight = CodedWeight((4,), TensorProto.FLOAT, 2, large, codes)
    check_round_trip(weight)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (TensorProto.FLOAT16, [0.5, -65504.0, 6e-8], 10),
        (TensorProto.FLOAT, [0.5, 1.0], 1),
        (TensorProto.BFLOAT16, [0.5, 1.0], 1),
        (TensorProto.DOUBLE, [0.5, 1.0], 1),
    ],
)
def test_float16_weights_have_a_float16_codebook(
    dtype: int, values: list[float], expected: int
) -> None:
    codebook = np.array(values, np.float32)
    if dtype == TensorProto.FLOAT16:
        codebook = codebook.astype(np.float16).astype(np.float32)
    codes = np.arange(len(values) + 1, dtype=np.uint8)
    weight = CodedWeight((len(codes),), dtype, 2, codebook, codes)
    assert read_header(check_round_trip(weight)).codebook_dtype == expected


def test_the_encoder_uses_every_layout_and_codec() -> None:
    weights = [
        made((6, 7), 1.0, 7),
        made((64, 64), 1.0, 15, skew=0.5),
        made((300, 300), 0.08, 15, skew=0.5),
        made((9,), 0.5, 3),
        made((40,), 0.05, 255),
        made((2000,), 0.02, 200, skew=0.0),
    ]
    seen = {
        (header.layout, header.code_codec, header.gap_codec)
        for header in (read_header(encode(weight)[0]) for weight in weights)
    }
    assert (LAYOUT_DENSE, CODEC_FIXED, CODEC_FIXED) in seen
    assert (LAYOUT_DENSE, CODEC_HUFFMAN, CODEC_FIXED) in seen
    assert (LAYOUT_GAPS, CODEC_HUFFMAN, CODEC_HUFFMAN) in seen
    assert any(layout == LAYOUT_GAPS and CODEC_FIXED in codecs for layout, *codecs in seen)


@pytest.mark.parametrize("density", [0.02, 0.09, 0.35, 0.9])
def test_the_layout_chosen_is_never_far_from_the_smallest(density: float) -> None:
    weight = made((300, 300), density, 31, skew=0.1)
    chosen = len(encode(weight)[0])
    counts = np.bincount(weight.codes) / len(weight.codes)
    entropy = -sum(p * math.log2(p) for p in counts if p) * len(weight.codes) / 8
    assert entropy < chosen < 1.06 * entropy + 31 * 4 + 256


def test_more_dimensions_or_elements_than_the_format_holds_are_refused() -> None:
    none = np.zeros(0, np.float32)
    with pytest.raises(TooLarge, match="8 dimensions"):
        encode(CodedWeight((1,) * 9, TensorProto.FLOAT, 1, none, np.zeros(1, np.uint8)))
    with pytest.raises(TooLarge, match="elements"):
        encode(CodedWeight((1 << 20, 1 << 17), TensorProto.FLOAT, 1, none, np.zeros(1, np.uint8)))
    with pytest.raises(TooLarge, match="4294967296"):
        encode(CodedWeight((0, 1 << 32), TensorProto.FLOAT, 1, none, np.zeros(0, np.uint8)))


@pytest.mark.parametrize(
    ("shape", "bits", "centroids", "codes"),
    [((4,), 1, 1, [0, 1, 0]), ((2,), 1, 2, [0, 1]), ((2,), 2, 1, [0, 2])],
    ids=["too few codes", "codebook over bits", "code over codebook"],
)
def test_codes_that_fit_neither_shape_nor_codebook_are_a_fault_of_the_caller(
    shape: tuple[int, ...], bits: int, centroids: int, codes: list[int]
) -> None:
    weight = CodedWeight(
        shape,
        TensorProto.FLOAT,
        bits,
        np.ones(centroids, np.float32),
        np.array(codes, np.uint8),
    )
    with pytest.raises(ValueError, match="do not fit"):
        encode(weight)


RULES = {
    "truncated",
    "magic",
    "version",
    "dtype",
    "rank",
    "layout",
    "bits",
    "gap-bits",
    "codebook-dtype",
    "codec",
    "reserved",
    "centroids",
    "elements",
    "symbols",
    "code-lengths",
    "segment-size",
    "trailing",
    "checksum",
    "codebook",
    "code-range",
    "stream",
    "position",
}

SMALL = {
    "dense fixed": made((6, 7), 1.0, 7),
    "dense huffman": made((60, 70), 1.0, 15, skew=0.6),
    "gaps huffman": made((60, 150), 0.1, 15, skew=0.3),
    "half": made((50, 50), 0.2, 31, TensorProto.FLOAT16, skew=0.3),
    "zero": made((5, 5), 0.0),
    "scalar": made((), 1.0, 1),
}


def rule_of(data: bytes) -> str:
    with pytest.raises(PayloadError) as caught:
        decode(data)
    assert str(caught.value).startswith(f"payload: {caught.value.rule}: ")
    return caught.value.rule


@pytest.mark.parametrize("name", SMALL)
def test_a_payload_cut_anywhere_is_truncated(name: str) -> None:
    data = encode(SMALL[name])[0]
    assert {rule_of(data[:size]) for size in range(len(data))} == {"truncated"}


@pytest.mark.parametrize("name", SMALL)
def test_a_change_of_any_byte_is_found(name: str) -> None:
    data = bytearray(encode(SMALL[name])[0])
    found = set()
    for at in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            data[at] ^= flip
            found.add(rule_of(bytes(data)))
            data[at] ^= flip
    assert found <= RULES
    assert {"magic", "version", "dtype", "layout", "reserved", "checksum"} <= found


@given(st.sampled_from(sorted(SMALL)), st.data())
def test_changes_under_a_right_checksum_are_refused_by_name_or_decode_to_something(
    name: str, data: st.DataObject
) -> None:
    body = bytearray(encode(SMALL[name])[0][:-4])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    changed = sealed(bytes(body))
    try:
        header = read_header(changed)
    except PayloadError as error:
        rule = error.rule
    else:
        if header.elements > 1 << 20:
            return  # a valid payload of an absurd size: decoding it is for those who expect that shape
        try:
            weight = decode(changed)
        except PayloadError as error:
            rule = error.rule
        else:
            check_plain(changed, weight)
            return
    assert rule in RULES - {"checksum"}


def sealed(body: bytes) -> bytes:
    return body + payload.checksum(body)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_refused_by_name(data: bytes) -> None:
    assert rule_of(data) in RULES
    assert rule_of(sealed(b"SBKP" + data)) in RULES


def test_bytes_behind_the_checksum_are_refused() -> None:
    data = encode(SMALL["gaps huffman"])[0]
    assert rule_of(data + b"\0") == "trailing"
    assert rule_of(data + data) == "trailing"
