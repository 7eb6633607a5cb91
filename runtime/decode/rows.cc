#include "decode/rows.h"

#include <stdexcept>

#include "decode/symbols.h"

namespace sparsebook::decode {
namespace {

// The stream has the rows' own order: every non-zero goes behind the one before.
void fill_as_stored(const Payload& payload, Rows& result) {
  const std::uint64_t nonzeros = count_nonzeros(payload);
  // A filler is written as well, and then overwritten: that is cheaper than a branch, and wants one place more.
  result.column.resize(static_cast<std::size_t>(nonzeros) + 1);
  result.code.resize(static_cast<std::size_t>(nonzeros) + 1);
  result.start.assign(static_cast<std::size_t>(result.rows) + 1, nonzeros);
  std::uint32_t* const columns = result.column.data();
  std::uint8_t* const codes = result.code.data();
  std::uint64_t slot = 0;
  std::uint64_t next_row = 0;  // the first whose start is not known
  for_each_symbol(payload, result.columns, [&](std::uint64_t row, std::uint64_t column, std::uint8_t code) {
    while (next_row <= row) result.start[next_row++] = slot;
    columns[slot] = static_cast<std::uint32_t>(column);
    codes[slot] = code;
    slot += code != 0;
  });
  result.column.pop_back();
  result.code.pop_back();
}

// The stream runs across the rows: they are counted first.
void fill_transposed(const Payload& payload, Rows& result) {
  // `start` is shifted by two while counting and by one while filling, so that every row's cursor ends where the next row starts.
  result.start.assign(static_cast<std::size_t>(result.rows) + 2, 0);
  for_each_symbol(payload, result.rows,
                  [&](std::uint64_t, std::uint64_t row, std::uint8_t code) { result.start[row + 2] += code != 0; });
  for (std::size_t row = 2; row < result.start.size(); ++row) result.start[row] += result.start[row - 1];
  result.column.resize(static_cast<std::size_t>(result.start.back()));
  result.code.resize(result.column.size());
  for_each_symbol(payload, result.rows, [&](std::uint64_t column, std::uint64_t row, std::uint8_t code) {
    if (code == 0) return;
    const std::uint64_t slot = result.start[row + 1]++;
    result.column[slot] = static_cast<std::uint32_t>(column);
    result.code[slot] = code;
  });
  result.start.pop_back();
}

}  // namespace

Rows decode_rows(const Payload& payload, std::uint64_t outer, std::uint64_t inner, Orientation orientation) {
  const bool transposed = orientation == Orientation::TRANSPOSED;
  Rows result;
  result.rows = transposed ? inner : outer;
  result.columns = transposed ? outer : inner;
  result.codebook = payload.codebook;
  if (result.columns > std::uint64_t{1} << 32) throw std::length_error("a row has over 2^32 elements");
  if (transposed) {
    fill_transposed(payload, result);
  } else {
    fill_as_stored(payload, result);
  }
  return result;
}

}  // namespace sparsebook::decode
