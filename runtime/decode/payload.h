// A payload's header and sections, checked. What is found inside the streams themselves is checked by SegmentReader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "decode/contexts.h"
#include "decode/huffman.h"
#include "decode/layout.h"

namespace sparsebook::decode {

/// One of a payload's two streams. Borrows the payload's bytes.
struct Stream {
  unsigned width = 0;                   ///< bits of a symbol under the fixed codec
  bool constant = false;                ///< it takes no bytes: every symbol is `symbol`
  std::uint8_t symbol = 0;              ///< of a constant stream
  std::optional<HuffmanTable> table;    ///< of the Huffman codec with at least two symbols
  const std::uint8_t* bytes = nullptr;  ///< the first segment
  std::vector<std::uint64_t> ends;      ///< under Huffman: where every segment ends, in bytes from `bytes`
};

/// A parsed payload. Borrows the bytes that it was parsed from, which must outlive it.
struct Payload {
  unsigned dtype = 0;  ///< of the weight, as in TensorProto.DataType
  unsigned layout = LAYOUT_DENSE;
  std::vector<std::uint64_t> shape;
  std::uint64_t elements = 0;  ///< product of `shape`
  std::uint64_t symbols = 0;   ///< in either stream
  unsigned centroids = 0;
  std::array<float, 256> codebook{};  ///< value of every code; code 0, and codes above `centroids`, are 0
  Stream codes;
  Stream gaps;                        ///< constant 0 in the dense layout: no zeros are skipped
  std::optional<Contexts> contexts;   ///< of version 2, which has no streams of codes and gaps
  const std::uint8_t* begin = nullptr;
  const std::uint8_t* end = nullptr;  ///< behind the payload's last byte
  std::uint32_t checksum = 0;

  [[nodiscard]] std::uint64_t segments() const { return (symbols + SEGMENT_SYMBOLS - 1) / SEGMENT_SYMBOLS; }

  /// Symbols in segment `index`: SEGMENT_SYMBOLS in all but the last.
  [[nodiscard]] unsigned segment_symbols(std::uint64_t index) const {
    const std::uint64_t left = symbols - index * SEGMENT_SYMBOLS;
    return static_cast<unsigned>(left < SEGMENT_SYMBOLS ? left : SEGMENT_SYMBOLS);
  }
};

/// Checks everything of docs/format.md, sections 5 and 10, but for what is found in the streams, in the page's order, and allocates nothing
/// in proportion to what the payload declares before its checksum has passed. Throws PayloadError.
[[nodiscard]] Payload parse(const std::uint8_t* bytes, std::size_t size);

/// Checks all of section 5: `parse`, then the streams. Throws PayloadError.
void validate(const std::uint8_t* bytes, std::size_t size);

}  // namespace sparsebook::decode
