// Where every row of a weight starts in its streams, so that a single row can be decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "decode/payload.h"

namespace sparsebook::decode {

/// The first symbol whose position lies in or behind a row.
struct RowStart {
  std::uint32_t segment;
  std::uint16_t symbol;    ///< in the segment; the segment's number of symbols where the stream has ended
  std::uint16_t code_bit;  ///< the symbol's first bit in its segment of the codes; at most 4096 x 12
  std::uint16_t gap_bit;   ///< likewise of the gaps
  std::uint8_t column;     ///< its position less the row's start: at most 255, the row before having ended with a gap
};

/// Decodes single rows of a weight of `rows` x `width` elements. Keeps tables and 12 bytes a row, but none of the payload's
/// bytes: every call is given them anew.
class RowIndex {
 public:
  /// Checks all of the payload's streams on the way. Throws PayloadError.
  RowIndex(Payload payload, std::uint64_t rows, std::uint64_t width);

  /// Writes the `width` values of row `row` (below `rows`). `bytes` are those of the payload that the index was made from,
  /// wherever they lie now; should they have changed, the values are wrong, but nothing outside of [bytes, bytes + size) is read
  /// and nothing outside of the row is written.
  void decode(const std::uint8_t* bytes, std::uint64_t row, float* values) const;

  [[nodiscard]] const Payload& payload() const { return payload_; }
  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  [[nodiscard]] std::uint64_t width() const { return width_; }

 private:
  Payload payload_;
  std::uint64_t rows_;
  std::uint64_t width_;
  std::size_t size_;
  std::size_t codes_offset_;
  std::size_t gaps_offset_;
  std::vector<RowStart> starts_;
};

}  // namespace sparsebook::decode
