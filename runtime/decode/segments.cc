#include "decode/segments.h"

#include <cstring>

#include "decode/bytes.h"

namespace sparsebook::decode {
namespace {

// A segment's decoder reads at most MAX_SEGMENT_BYTES (each of 4096 symbols advances by at most 12 bits) and 8 bytes more,
// because `peek_bits` takes eight bytes at once. A segment that has fewer behind its start is decoded from a padded copy.
constexpr std::size_t READ_BYTES = MAX_SEGMENT_BYTES + 8;

// Up to four symbols of at most 12 bits fit the 57 bits that one peek gives.
constexpr unsigned STEP = 4;
static_assert(STEP * MAX_CODE_LENGTH <= 57);

template <unsigned N>
void decode_huffman(const HuffmanTable& table, const std::uint8_t* const* bytes, unsigned symbols,
                    std::uint8_t (*out)[SEGMENT_SYMBOLS], std::size_t* bits) {
  std::size_t position[N] = {};
  std::uint64_t word[N];
  const auto take = [&](unsigned lane, unsigned index) {
    const HuffmanTable::Entry entry = table.lookup(word[lane]);
    out[lane][index] = entry.symbol;
    word[lane] <<= entry.length;
    position[lane] += entry.length;
  };
  unsigned index = 0;
  for (; index + STEP <= symbols; index += STEP) {
    for (unsigned lane = 0; lane < N; ++lane) word[lane] = peek_bits(bytes[lane], position[lane]);
    for (unsigned step = 0; step < STEP; ++step) {
      for (unsigned lane = 0; lane < N; ++lane) take(lane, index + step);
    }
  }
  for (; index < symbols; ++index) {
    for (unsigned lane = 0; lane < N; ++lane) {
      word[lane] = peek_bits(bytes[lane], position[lane]);
      take(lane, index);
    }
  }
  for (unsigned lane = 0; lane < N; ++lane) bits[lane] = position[lane];
}

void decode_fixed(const std::uint8_t* bytes, unsigned width, unsigned symbols, std::uint8_t* out) {
  if (width == 8) {
    std::memcpy(out, bytes, symbols);
    return;
  }
  std::size_t position = 0;
  for (unsigned index = 0; index < symbols;) {
    std::uint64_t word = peek_bits(bytes, position);
    for (unsigned step = 0; step < STEP && index < symbols; ++step, ++index) {
      out[index] = static_cast<std::uint8_t>(word >> (64 - width));
      word <<= width;
      position += width;
    }
  }
}

// Where segment `index` begins, in bytes from the stream's first. The stream is not constant.
std::uint64_t segment_begin(const Stream& stream, std::uint64_t index) {
  if (!stream.table) return index * (SEGMENT_SYMBOLS / 8) * stream.width;
  return index == 0 ? 0 : stream.ends[static_cast<std::size_t>(index - 1)];
}

struct SegmentSpan {
  const std::uint8_t* begin;
  unsigned size;  // bytes
};

SegmentSpan segment_span(const Payload& payload, const Stream& stream, std::uint64_t index) {
  const std::uint64_t begin = segment_begin(stream, index);
  const std::uint64_t size = stream.table ? stream.ends[static_cast<std::size_t>(index)] - begin
                                          : (std::uint64_t{payload.segment_symbols(index)} * stream.width + 7) / 8;
  return {stream.bytes + begin, static_cast<unsigned>(size)};
}

bool ends_in_last_byte(const SegmentSpan& span, std::size_t bits) {
  if ((bits + 7) / 8 != span.size) return false;
  const unsigned unused = static_cast<unsigned>(std::size_t{8} * span.size - bits);
  return (span.begin[span.size - 1] & ((1u << unused) - 1)) == 0;
}

}  // namespace

void decode_segments(const Payload& payload, const Stream& stream, std::uint64_t first, unsigned count, SegmentGroup& group) {
  if (stream.constant) {
    for (unsigned lane = 0; lane < count; ++lane) {
      std::memset(group.symbol[lane], stream.symbol, SEGMENT_SYMBOLS);
      group.well_formed[lane] = true;
    }
    return;
  }
  std::uint8_t padded[LANES][READ_BYTES];
  SegmentSpan span[LANES];
  const std::uint8_t* bytes[LANES];
  for (unsigned lane = 0; lane < count; ++lane) {
    span[lane] = segment_span(payload, stream, first + lane);
    bytes[lane] = span[lane].begin;
    if (static_cast<std::size_t>(payload.end - span[lane].begin) < READ_BYTES) {
      std::memcpy(padded[lane], span[lane].begin, span[lane].size);
      std::memset(padded[lane] + span[lane].size, 0, READ_BYTES - span[lane].size);
      bytes[lane] = padded[lane];
    }
  }
  std::size_t bits[LANES] = {};
  // All but a stream's last segment are whole, so lanes of one length are decoded together.
  if (stream.table && count == LANES && payload.segment_symbols(first + LANES - 1) == SEGMENT_SYMBOLS) {
    decode_huffman<LANES>(*stream.table, bytes, SEGMENT_SYMBOLS, group.symbol, bits);
  } else {
    for (unsigned lane = 0; lane < count; ++lane) {
      const unsigned symbols = payload.segment_symbols(first + lane);
      if (stream.table) {
        decode_huffman<1>(*stream.table, bytes + lane, symbols, group.symbol + lane, bits + lane);
      } else {
        decode_fixed(bytes[lane], stream.width, symbols, group.symbol[lane]);
        bits[lane] = std::size_t{symbols} * stream.width;
      }
    }
  }
  for (unsigned lane = 0; lane < count; ++lane) group.well_formed[lane] = ends_in_last_byte(span[lane], bits[lane]);
}

}  // namespace sparsebook::decode
