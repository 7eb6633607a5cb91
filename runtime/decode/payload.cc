#include "decode/payload.h"

#include <cmath>
#include <cstring>
#include <string>

#include "decode/bytes.h"
#include "decode/crc32.h"
#include "decode/error.h"
#include "decode/float16.h"
#include "decode/segment_reader.h"

namespace sparsebook::decode {
namespace {

[[noreturn]] void fail(const char* id, const std::string& detail) { throw PayloadError(id, detail); }

// Takes the sections one behind the other; each must be there whole.
class Sections {
 public:
  Sections(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  const std::uint8_t* take(std::uint64_t count, const char* what) {
    if (count > left()) {
      fail("truncated", "the " + std::string(what) + " takes " + std::to_string(count) + " bytes at offset " +
                            std::to_string(offset_) + " of " + std::to_string(size_));
    }
    const std::uint8_t* section = here();
    offset_ += static_cast<std::size_t>(count);
    return section;
  }

  [[nodiscard]] const std::uint8_t* here() const { return bytes_ + offset_; }
  [[nodiscard]] std::size_t left() const { return size_ - offset_; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
  std::size_t offset_ = 0;
};

struct Head {
  unsigned rank, bits, gap_bits, codebook_dtype, code_codec, gap_codec;
};

void check_codecs(const Head& head, const Payload& payload) {
  const std::string found = std::to_string(head.code_codec) + " (codes) and " + std::to_string(head.gap_codec) + " (gaps)";
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
  expect(head[4] == VERSION, "version", head[4], "1");
  payload.dtype = head[5];
  expect(payload.dtype == DTYPE_FLOAT32 || payload.dtype == DTYPE_FLOAT16 || payload.dtype == DTYPE_FLOAT64 ||
             payload.dtype == DTYPE_BFLOAT16,
         "dtype", payload.dtype, "1, 10, 11 or 16");
  Head fields{};
  fields.rank = head[6];
  expect(fields.rank <= MAX_RANK, "rank", fields.rank, "0..8");
  payload.layout = head[7];
  expect(payload.layout == LAYOUT_DENSE || payload.layout == LAYOUT_GAPS, "layout", payload.layout, "0 or 1");
  fields.bits = head[8];
  expect(fields.bits >= 1 && fields.bits <= MAX_BITS, "bits", fields.bits, "1..8");
  fields.gap_bits = head[9];
  if (payload.layout == LAYOUT_DENSE) {
    expect(fields.gap_bits == 0, "gap-bits", fields.gap_bits, "0 in the dense layout");
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
  const bool allowed =
      payload.layout == LAYOUT_DENSE ? payload.symbols == payload.elements : payload.symbols <= payload.elements;
  if (!allowed) {
    fail("symbols", std::to_string(payload.symbols) + " for " + std::to_string(payload.elements) +
                        (payload.layout == LAYOUT_DENSE ? " elements; the dense layout has one each"
                                                        : " elements; the gaps layout has at most one each"));
  }
}

// Says how a stream is coded. A Huffman stream in which one symbol alone occurs is constant and needs no table.
void read_coding(Sections& sections, unsigned codec, unsigned alphabet, const char* name, Stream& stream) {
  if (codec != CODEC_HUFFMAN) return;
  const CodeLengths lengths = read_code_lengths(sections.here(), sections.left(), alphabet, name);
  sections.take(lengths.bytes, name);
  stream.constant = lengths.occurring == 1;
  if (stream.constant) {
    stream.symbol = lengths.only;
  } else {
    stream.table.emplace(lengths);
  }
}

// The stored sizes of a stream's segments; null where none are stored.
const std::uint8_t* take_sizes(Sections& sections, const Stream& stream, std::uint64_t segments, const char* name) {
  return stream.table ? sections.take(2 * segments, name) : nullptr;
}

// Bytes of a stream's segments together. `sizes` are those stored, or null.
std::uint64_t stream_bytes(const Payload& payload, const Stream& stream, const std::uint8_t* sizes, const char* name) {
  if (stream.constant || payload.symbols == 0) return 0;
  const std::uint64_t segments = payload.segments();
  if (sizes == nullptr) {
    const std::uint64_t whole = (segments - 1) * (SEGMENT_SYMBOLS / 8) * stream.width;
    return whole + (payload.segment_symbols(segments - 1) * stream.width + 7) / 8;
  }
  std::uint64_t total = 0;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    const unsigned size = load_u16(sizes + 2 * segment);
    if (size == 0 || size > MAX_SEGMENT_BYTES) {
      fail("segment-size", std::to_string(size) + " bytes in segment " + std::to_string(segment) + " of the " + name +
                               ", allowed are 1..6144");
    }
    total += size;
  }
  return total;
}

void sum_sizes(const std::uint8_t* sizes, std::uint64_t segments, Stream& stream) {
  if (sizes == nullptr) return;
  stream.ends.reserve(static_cast<std::size_t>(segments));
  std::uint64_t end = 0;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    end += load_u16(sizes + 2 * segment);
    stream.ends.push_back(end);
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
  payload.codes.width = head.bits;
  payload.gaps.width = head.gap_bits;
  payload.gaps.constant = payload.layout == LAYOUT_DENSE;
  read_coding(sections, head.code_codec, payload.centroids + 1, "codes", payload.codes);
  read_coding(sections, head.gap_codec, 1u << head.gap_bits, "gaps", payload.gaps);
  const std::uint8_t* code_sizes = take_sizes(sections, payload.codes, payload.segments(), "codes' segment sizes");
  const std::uint8_t* gap_sizes = take_sizes(sections, payload.gaps, payload.segments(), "gaps' segment sizes");
  const std::uint64_t code_bytes = stream_bytes(payload, payload.codes, code_sizes, "codes");
  const std::uint64_t gap_bytes = stream_bytes(payload, payload.gaps, gap_sizes, "gaps");
  payload.codes.bytes = sections.take(code_bytes, "code stream");
  payload.gaps.bytes = sections.take(gap_bytes, "gap stream");
  const std::size_t checked = size - sections.left();
  payload.checksum = load_u32(sections.take(CHECKSUM_BYTES, "checksum"));
  if (sections.left() != 0) fail("trailing", std::to_string(sections.left()) + " bytes behind the checksum");
  if (crc32(bytes, checked) != payload.checksum) fail("checksum", "the bytes' CRC-32 is not the stored one; the file is damaged");

  read_codebook(values, head.codebook_dtype, payload);
  sum_sizes(code_sizes, payload.segments(), payload.codes);
  sum_sizes(gap_sizes, payload.segments(), payload.gaps);
  return payload;
}

void validate(const std::uint8_t* bytes, std::size_t size) {
  const Payload payload = parse(bytes, size);
  SegmentReader reader(payload);
  while (reader.next() != nullptr) {
  }
}

}  // namespace sparsebook::decode
