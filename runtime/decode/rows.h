// A payload's non-zeros by rows: the layout that the scalar kernels compute from.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "decode/payload.h"

namespace sparsebook::decode {

/// Non-zeros of a matrix, row by row; in a row by ascending column. Five bytes a non-zero and eight a row.
struct Rows {
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::vector<std::uint64_t> start;   ///< rows + 1 entries: row r's non-zeros are [start[r], start[r + 1])
  std::vector<std::uint32_t> column;  ///< of every non-zero
  std::vector<std::uint8_t> code;     ///< of every non-zero, 1..255
  std::array<float, 256> codebook{};  ///< value of every code
};

enum class Orientation {
  AS_STORED,   ///< row r of the result is row r of the weight
  TRANSPOSED,  ///< row r of the result is column r of the weight
};

/// Reads the weight as a row-major matrix of `outer` x `inner` elements, whose product is `payload.elements`.
/// Throws PayloadError, or std::length_error if a row has over 2^32 columns.
[[nodiscard]] Rows decode_rows(const Payload& payload, std::uint64_t outer, std::uint64_t inner, Orientation orientation);

}  // namespace sparsebook::decode
