#include "decode/payload.h"

#include <cmath>
#include <cstring>
#include <string>

#include "decode/bytes.h"
#include "decode/context_sections.h"
#include "decode/crc32.h"
#include "decode/error.h"
#include "decode/float16.h"
#include "decode/sections.h"
#include "decode/segment_reader.h"

namespace sparsebook::decode {
namespace {

[[noreturn]] void fail(const char* id, const std::string& detail) { throw PayloadError(id, detail); }

struct Head {
  unsigned rank, bits, gap_bits, codebook_dtype, code_codec, gap_codec;
};

void check_codecs(const Head& head, const Payload& payload) {
  const std::string found = std::to_string(head.code_codec) + " (codes) and " + std::to_string(head.gap_codec) + " (gaps)";
  if (payload.layout == LAYOUT_CONTEXT) {
    if (head.code_codec != CODEC_CONTEXT || head.gap_codec != 0) fail("codec", "codecs " + found + "; version 2 has 2 and 0");
    return;
  }
  if (head.code_codec > CODEC_HUFFMAN || head.gap_codec > CODEC_HUFFMAN) fail("codec", "codecs " + found + "; known are 0 and 1");
  if (payload.layout == LAYOUT_DENSE && head.gap_codec != 0) fail("codec", "codecs " + found + "; the dense layout has no gaps");
  if (payload.symbols == 0 && (head.code_codec != 0 || head.gap_codec != 0)) {
    fail("codec", "codecs " + found + "; both are 0 without symbols");
  }
}

// The fixed part of the header, in the order of section 5, which is the order of the bytes.
Head read_head(const std::uint8_t* head, Payload& payload) {
  const auto expect = [](bool valid, const char* id, unsigned found, const char* allowed) {
    if (!valid) fail(id, std::to_string(found) + ", allowed is " + allowed);
  };
  if (std::memcmp(head, MAGIC, sizeof MAGIC) != 0) fail("magic", "the first four bytes are not SBKP");
  expect(head[4] == VERSION || head[4] == VERSION_CONTEXT, "version", head[4], "1 or 2");
  const bool context = head[4] == VERSION_CONTEXT;
  payload.dtype = head[5];
  expect(payload.dtype == DTYPE_FLOAT32 || payload.dtype == DTYPE_FLOAT16 || payload.dtype == DTYPE_FLOAT64 ||
             payload.dtype == DTYPE_BFLOAT16,
         "dtype", payload.dtype, "1, 10, 11 or 16");
  Head fields{};
  fields.rank = head[6];
  expect(fields.rank <= MAX_RANK, "rank", fields.rank, "0..8");
  payload.layout = head[7];
  if (context) {
    expect(payload.layout == LAYOUT_CONTEXT, "layout", payload.layout, "2 in version 2");
  } else {
    expect(payload.layout == LAYOUT_DENSE || payload.layout == LAYOUT_GAPS, "layout", payload.layout, "0 or 1");
  }
  fields.bits = head[8];
  expect(fields.bits >= 1 && fields.bits <= MAX_BITS, "bits", fields.bits, "1..8");
  fields.gap_bits = head[9];
  if (payload.layout != LAYOUT_GAPS) {
    expect(fields.gap_bits == 0, "gap-bits", fields.gap_bits, "0 but in the gaps layout");
  } else {
    expect(fields.gap_bits >= 1 && fields.gap_bits <= MAX_BITS, "gap-bits", fields.gap_bits, "1..8 in the gaps layout");
  }
  fields.codebook_dtype = head[10];
  expect(fields.codebook_dtype == DTYPE_FLOAT32 || fields.codebook_dtype == DTYPE_FLOAT16, "codebook-dtype",
         fields.codebook_dtype, "1 or 10");
  fields.code_codec = head[11];
  fields.gap_codec = head[12];
  payload.symbols = load_u64(head + 16);
  check_codecs(fields, payload);
  expect(head[13] == 0, "reserved", head[13], "0");
  payload.centroids = load_u16(head + 14);
  if (payload.centroids >= 1u << fields.bits) {
    fail("centroids", std::to_string(payload.centroids) + ", allowed are 0.." + std::to_string((1u << fields.bits) - 1));
  }
  return fields;
}

void read_shape(const std::uint8_t* dimensions, unsigned rank, Payload& payload) {
  bool empty = false;
  for (unsigned axis = 0; axis < rank; ++axis) {
    payload.shape.push_back(load_u32(dimensions + 4 * axis));
    empty = empty || payload.shape.back() == 0;
  }
  payload.elements = empty ? 0 : 1;
  for (const std::uint64_t dimension : payload.shape) {
    // Both factors are below 2^37, so the product cannot wrap.
    payload.elements *= dimension;
    if (payload.elements > MAX_ELEMENTS) fail("elements", "the dimensions' product is over 2^36");
  }
  const bool gaps = payload.layout == LAYOUT_GAPS;
  const bool allowed = gaps ? payload.symbols <= payload.elements
                            : payload.symbols == payload.elements && (payload.layout == LAYOUT_DENSE || payload.symbols != 0);
  if (!allowed) {
    fail("symbols", std::to_string(payload.symbols) + " for " + std::to_string(payload.elements) +
                        (gaps ? " elements; the gaps layout has at most one each" : " elements; this layout has one each"));
  }
}

void read_codebook(const std::uint8_t* values, unsigned dtype, Payload& payload) {
  for (unsigned code = 1; code <= payload.centroids; ++code) {
    const float value = dtype == DTYPE_FLOAT32 ? float_from_bits(load_u32(values + 4 * (code - 1)))
                                               : float_from_half(load_u16(values + 2 * (code - 1)));
    if (!std::isfinite(value)) fail("codebook", "the value of code " + std::to_string(code) + " is not finite");
    payload.codebook[code] = value;
  }
}

// The checksum, which ends the payload, and then the codebook.
void finish(Payload& payload, Sections& sections, const std::uint8_t* values, unsigned dtype) {
  const std::uint8_t* end = sections.here();
  payload.checksum = load_u32(sections.take(CHECKSUM_BYTES, "checksum"));
  if (sections.left() != 0) fail("trailing", std::to_string(sections.left()) + " bytes behind the checksum");
  if (crc32(payload.begin, static_cast<std::size_t>(end - payload.begin)) != payload.checksum) {
    fail("checksum", "the bytes' CRC-32 is not the stored one; the file is damaged");
  }
  read_codebook(values, dtype, payload);
}

}  // namespace

Payload parse(const std::uint8_t* bytes, std::size_t size) {
  if (size < HEAD_BYTES + CHECKSUM_BYTES) fail("truncated", std::to_string(size) + " bytes, at least 28 are needed");
  Payload payload;
  payload.begin = bytes;
  payload.end = bytes + size;
  Sections sections(bytes, size);
  const Head head = read_head(sections.take(HEAD_BYTES, "header"), payload);
  read_shape(sections.take(4 * std::uint64_t{head.rank}, "shape"), head.rank, payload);

  const unsigned value_bytes = head.codebook_dtype == DTYPE_FLOAT32 ? 4 : 2;
  const std::uint8_t* values = sections.take(std::uint64_t{payload.centroids} * value_bytes, "codebook");
  if (payload.layout == LAYOUT_CONTEXT) {
    ContextSections context(payload);
    context.take(sections);
    finish(payload, sections, values, head.codebook_dtype);
    context.read(payload);
    return payload;
  }
  payload.codes.width = head.bits;
  payload.gaps.width = head.gap_bits;
  payload.gaps.constant = payload.layout == LAYOUT_DENSE;
  read_coding(sections, head.code_codec, payload.centroids + 1, "codes", payload.codes);
  read_coding(sections, head.gap_codec, 1u << head.gap_bits, "gaps", payload.gaps);
  const std::uint64_t symbols = payload.symbols;
  const std::uint8_t* code_sizes = take_sizes(sections, payload.codes, symbols, "codes' segment sizes");
  const std::uint8_t* gap_sizes = take_sizes(sections, payload.gaps, symbols, "gaps' segment sizes");
  const std::uint64_t code_bytes = stream_bytes(symbols, payload.codes, code_sizes, "codes");
  const std::uint64_t gap_bytes = stream_bytes(symbols, payload.gaps, gap_sizes, "gaps");
  payload.codes.bytes = sections.take(code_bytes, "code stream");
  payload.gaps.bytes = sections.take(gap_bytes, "gap stream");
  finish(payload, sections, values, head.codebook_dtype);
  sum_sizes(code_sizes, symbols, payload.codes);
  sum_sizes(gap_sizes, symbols, payload.gaps);
  return payload;
}

void validate(const std::uint8_t* bytes, std::size_t size) {
  const Payload payload = parse(bytes, size);
  SegmentReader reader(payload);
  while (reader.next() != nullptr) {
  }
}

}  // namespace sparsebook::decode
