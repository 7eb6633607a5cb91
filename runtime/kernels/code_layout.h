// The layout of weights that have few zeros, for many activations at once: the codes of all elements, a byte each, eight rows side by side.
//
// It multiplies zeros as well. A non-zero that is looked for costs about twice what an element in its place costs, so that above a half of
// the elements this is the faster way, and it takes a quarter of the memory of floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/pages.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// Columns that are met next, `width` activations each, at x + at[column].
struct ColumnsAhead {
  const float* x = nullptr;
  const std::ptrdiff_t* at = nullptr;
  std::size_t count = 0;
  std::size_t width = 0;
};

class CodeLayout {
 public:
  explicit CodeLayout(const SparseMatrix& weight);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] std::size_t panels() const { return (rows_ + PANEL_ROWS - 1) / PANEL_ROWS; }
  [[nodiscard]] std::size_t bytes() const { return bytes_of(codes_); }
  /// The weight again: codes other than 0.
  [[nodiscard]] OwnedMatrix unpacked() const;
  /// Bytes of a panel.
  [[nodiscard]] std::size_t panel_bytes() const { return PANEL_ROWS * columns_; }
  /// A panel's codes, those of its rows side by side, column after column.
  [[nodiscard]] const std::uint8_t* panel(std::size_t index) const { return codes_.data() + index * panel_bytes(); }

  /// Adds the products of the columns [first, first + count) to the sums of the panels in [begin, end): y[row * width + i] for rows
  /// counted from the first of them, PANEL_ROWS a panel, from the input's columns counted from `first`.
  /// `fresh` sums begin with them instead. Meanwhile the columns ahead are fetched.
  void accumulate(const PanelRow& tile, std::size_t first, std::size_t count, std::size_t begin, std::size_t end,
                  const float* codebook, const PanelInput& input, bool fresh, const ColumnsAhead& ahead, float* y) const;

 private:
  std::size_t rows_;
  std::size_t columns_;
  Block<std::uint8_t> codes_;
};

}  // namespace sparsebook::kernels
