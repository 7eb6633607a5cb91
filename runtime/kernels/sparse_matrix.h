// What every layout is made from: the non-zeros of a matrix by rows, values as codes of a codebook.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sparsebook::kernels {

/// Borrowed. Row r's non-zeros are [start[r], start[r + 1]) of `column`, ascending, and `code`; a value is codebook[code]. Codes are at
/// least 1 and at most `centroids`.
struct SparseMatrix {
  std::size_t rows;
  std::size_t columns;
  const std::uint64_t* start;
  const std::uint32_t* column;
  const std::uint8_t* code;
  const float* codebook;  ///< 256 values
  unsigned centroids;

  [[nodiscard]] std::uint64_t nonzeros() const { return start[rows] - start[0]; }
};

/// A matrix by rows, owned: what a layout was made from.
struct OwnedMatrix {
  std::size_t columns = 0;
  std::vector<std::uint64_t> start;
  std::vector<std::uint32_t> column;
  std::vector<std::uint8_t> code;
};

}  // namespace sparsebook::kernels
