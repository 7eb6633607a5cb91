// The symbols of a payload, one by one, where they stand in a matrix.
#pragma once

#include <algorithm>
#include <cstdint>

#include "decode/segment_reader.h"

namespace sparsebook::decode {

/// Calls visit(row, column, code) for every symbol, fillers (code 0) included, in the order of the stream; rows are `width` elements
/// long. Throws what SegmentReader throws.
template <class Visit>
void for_each_symbol(const Payload& payload, std::uint64_t width, Visit&& visit) {
  SegmentReader reader(payload);
  std::uint64_t row = 0;
  std::uint64_t row_begin = 0;
  while (const Segment* segment = reader.next()) {
    const auto [index, symbols, gaps, codes, before] = *segment;
    std::uint64_t position = before;
    for (unsigned i = 0; i < symbols; ++i) {
      position += std::uint64_t{gaps[i]} + 1;
      if (position - row_begin >= width) {
        row = position / width;
        row_begin = row * width;
      }
      visit(row, position - row_begin, codes[i]);
    }
  }
}

/// How many symbols are no fillers. Checks all streams, too: before anything is laid out. Throws what SegmentReader throws.
inline std::uint64_t count_nonzeros(const Payload& payload) {
  std::uint64_t count = 0;
  SegmentReader reader(payload);
  while (const Segment* segment = reader.next()) {
    count += segment->symbols - static_cast<std::uint64_t>(std::count(segment->codes, segment->codes + segment->symbols, 0));
  }
  return count;
}

}  // namespace sparsebook::decode
