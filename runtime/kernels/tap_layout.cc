#include "kernels/tap_layout.h"

#include <algorithm>

namespace sparsebook::kernels {

TapLayout::TapLayout(const SparseMatrix& weight)
    : columns_(weight.column + weight.start[0], weight.column + weight.start[weight.rows]),
      codes_(weight.code + weight.start[0], weight.code + weight.start[weight.rows]) {
  starts_.reserve(weight.rows + 1);
  for (std::size_t row = 0; row <= weight.rows; ++row) starts_.push_back(weight.start[row] - weight.start[0]);
  for (std::size_t row = 0; row < weight.rows; ++row) most_ = std::max(most_, count(row));
}

std::size_t TapLayout::bytes() const {
  return starts_.size() * sizeof(starts_[0]) + columns_.size() * sizeof(columns_[0]) + codes_.size();
}

void TapLayout::read(std::size_t row, const float* codebook, const std::ptrdiff_t* at, float* values, std::ptrdiff_t* places) const {
  for (std::uint64_t i = starts_[row]; i < starts_[row + 1]; ++i) {
    *values++ = codebook[codes_[i]];
    *places++ = at[columns_[i]];
  }
}

}  // namespace sparsebook::kernels
