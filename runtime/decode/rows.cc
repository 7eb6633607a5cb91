#include "decode/rows.h"

#include <stdexcept>

#include "decode/segment_reader.h"

namespace sparsebook::decode {
namespace {

// Calls visit(outer, inner, code) for every non-zero, in the order of the stream.
template <class Visit>
void for_each_nonzero(const Payload& payload, std::uint64_t inner, Visit&& visit) {
  SegmentReader reader(payload);
  std::uint64_t row = 0;
  std::uint64_t row_begin = 0;
  while (const Segment* segment = reader.next()) {
    std::uint64_t position = segment->before;
    for (unsigned i = 0; i < segment->symbols; ++i) {
      position += std::uint64_t{segment->gaps[i]} + 1;
      const std::uint8_t code = segment->codes[i];
      if (code == 0) continue;
      if (position - row_begin >= inner) {
        row = position / inner;
        row_begin = row * inner;
      }
      visit(row, position - row_begin, code);
    }
  }
}

}  // namespace

Rows decode_rows(const Payload& payload, std::uint64_t outer, std::uint64_t inner, Orientation orientation) {
  const bool transposed = orientation == Orientation::TRANSPOSED;
  Rows result;
  result.rows = transposed ? inner : outer;
  result.columns = transposed ? outer : inner;
  result.codebook = payload.codebook;
  if (result.columns > std::uint64_t{1} << 32) throw std::length_error("a row has over 2^32 elements");

  // The first pass counts and checks the streams; only then is anything laid out. `start` is shifted by two while counting,
  // by one while filling, so that every row's cursor ends where the next row starts.
  result.start.assign(static_cast<std::size_t>(result.rows) + 2, 0);
  for_each_nonzero(payload, inner, [&](std::uint64_t row, std::uint64_t column, std::uint8_t) {
    ++result.start[(transposed ? column : row) + 2];
  });
  for (std::size_t row = 2; row < result.start.size(); ++row) result.start[row] += result.start[row - 1];
  result.column.resize(static_cast<std::size_t>(result.start.back()));
  result.code.resize(result.column.size());
  for_each_nonzero(payload, inner, [&](std::uint64_t row, std::uint64_t column, std::uint8_t code) {
    const std::uint64_t slot = result.start[(transposed ? column : row) + 1]++;
    result.column[slot] = static_cast<std::uint32_t>(transposed ? row : column);
    result.code[slot] = code;
  });
  result.start.pop_back();
  return result;
}

}  // namespace sparsebook::decode
