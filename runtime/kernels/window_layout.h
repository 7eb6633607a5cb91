// The layout for one row of activations, or a few: the non-zeros of neighbouring rows that lie in one window of columns, side by side.
//
// A *strip* is as many rows as the kernel has places for (variant.h, WindowFormat). Its *groups* walk over the columns: a group begins
// at the first column that any of the strip's rows has left, and every row puts its next non-zeros into its slots as long
// as they lie in the window. Both sides of the product are then looked up in registers, never gathered from memory. Sliding windows fill
// more slots than fixed ones: 65% against 45% at 9% density, with a window of 32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/pages.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

class WindowLayout {
 public:
  /// Packs the weight in the format.
  WindowLayout(const WindowRow& row, const SparseMatrix& weight);

  [[nodiscard]] const WindowRow& row() const { return *row_; }
  [[nodiscard]] std::size_t strips() const { return ends_.size() - 1; }
  [[nodiscard]] std::size_t groups() const { return steps_.size(); }

  /// Bytes that the layout takes in memory.
  [[nodiscard]] std::size_t bytes() const;

  /// The matrix again, by rows.
  [[nodiscard]] OwnedMatrix unpacked(std::size_t rows) const;

  /// The sums of the strips in [begin, end), by the format's kernel number `batch` (variant.h, WINDOW_BATCHES), from rows of
  /// activations that the format's `prepare` laid out `pitch` bytes apart; ordered as variant.h says.
  void dot(unsigned batch, std::size_t begin, std::size_t end, const std::uint8_t* prepared, std::size_t pitch,
           const float* codebook, float* sums) const;

 private:
  void pack_strip(const SparseMatrix& weight, std::size_t first_row);

  const WindowRow* row_;
  std::size_t columns_;
  std::vector<std::uint64_t> ends_;  ///< 0, then the end of every strip in groups
  Block<std::uint16_t> steps_;
  Block<std::uint8_t> groups_;
};

/// A format, and the groups that a weight takes in it.
struct WindowChoice {
  const WindowRow* row = nullptr;
  double groups = 0;
};

/// The cheapest of the variant's formats for the weight and one row of activations, judged by a few of its strips; no row where the
/// variant has none for its codebook.
[[nodiscard]] WindowChoice cheapest_window(const Variant& variant, const SparseMatrix& weight);

/// Likewise for the most rows of activations that a kernel takes at once.
[[nodiscard]] WindowChoice cheapest_batch_window(const Variant& variant, const SparseMatrix& weight);

/// Groups that the weight would take in the format, from a few of its strips; exact for small weights.
[[nodiscard]] double estimated_groups(const WindowFormat& format, const SparseMatrix& weight);

}  // namespace sparsebook::kernels
