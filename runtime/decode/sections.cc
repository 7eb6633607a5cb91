#include "decode/sections.h"

#include <string>

#include "decode/bytes.h"
#include "decode/error.h"

namespace sparsebook::decode {
namespace {

std::uint64_t segments_of(std::uint64_t symbols) { return (symbols + SEGMENT_SYMBOLS - 1) / SEGMENT_SYMBOLS; }

}  // namespace

const std::uint8_t* Sections::take(std::uint64_t count, const char* what) {
  if (count > left()) {
    throw PayloadError("truncated", "the " + std::string(what) + " takes " + std::to_string(count) + " bytes at offset " +
                                        std::to_string(offset_) + " of " + std::to_string(size_));
  }
  const std::uint8_t* section = here();
  offset_ += static_cast<std::size_t>(count);
  return section;
}

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

const std::uint8_t* take_sizes(Sections& sections, const Stream& stream, std::uint64_t symbols, const char* name) {
  return stream.table ? sections.take(2 * segments_of(symbols), name) : nullptr;
}

std::uint64_t stream_bytes(std::uint64_t symbols, const Stream& stream, const std::uint8_t* sizes, const char* name) {
  if (stream.constant || symbols == 0) return 0;
  const std::uint64_t segments = segments_of(symbols);
  if (sizes == nullptr) {
    const std::uint64_t last = symbols - (segments - 1) * SEGMENT_SYMBOLS;
    return (segments - 1) * (SEGMENT_SYMBOLS / 8) * stream.width + (last * stream.width + 7) / 8;
  }
  std::uint64_t total = 0;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    const unsigned size = load_u16(sizes + 2 * segment);
    if (size == 0 || size > MAX_SEGMENT_BYTES) {
      throw PayloadError("segment-size", std::to_string(size) + " bytes in segment " + std::to_string(segment) + " of the " +
                                             name + ", allowed are 1..6144");
    }
    total += size;
  }
  return total;
}

void sum_sizes(const std::uint8_t* sizes, std::uint64_t symbols, Stream& stream) {
  if (sizes == nullptr) return;
  const std::uint64_t segments = segments_of(symbols);
  stream.ends.reserve(static_cast<std::size_t>(segments));
  std::uint64_t end = 0;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    end += load_u16(sizes + 2 * segment);
    stream.ends.push_back(end);
  }
}

}  // namespace sparsebook::decode
