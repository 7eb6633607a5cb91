// The layout of convolutions with few output channels a group: every output channel's non-zeros, one after the other.
//
// A panel of eight rows would be mostly empty for them, and blocks of columns would hardly be used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/sparse_matrix.h"

namespace sparsebook::kernels {

class TapLayout {
 public:
  explicit TapLayout(const SparseMatrix& weight);

  /// Non-zeros of a row, and of the row that has most.
  [[nodiscard]] std::size_t count(std::size_t row) const { return starts_[row + 1] - starts_[row]; }
  [[nodiscard]] std::size_t most() const { return most_; }
  [[nodiscard]] std::size_t nonzeros() const { return columns_.size(); }
  [[nodiscard]] std::size_t bytes() const;

  /// Calls body(column, code) for every non-zero of a row.
  template <class Body>
  void for_row(std::size_t row, const Body& body) const {
    for (std::uint64_t i = starts_[row]; i < starts_[row + 1]; ++i) body(std::size_t{columns_[i]}, codes_[i]);
  }

  /// Looks a row's values up, and where the activations of their columns begin: count(row) of each.
  void read(std::size_t row, const float* codebook, const std::ptrdiff_t* at, float* values, std::ptrdiff_t* places) const;

 private:
  std::vector<std::uint64_t> starts_;
  std::vector<std::uint32_t> columns_;
  std::vector<std::uint8_t> codes_;
  std::size_t most_ = 0;
};

}  // namespace sparsebook::kernels
