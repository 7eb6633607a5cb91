// Sparse weight times dense activations.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "kernels/epilogue.h"
#include "kernels/float_layout.h"
#include "kernels/late.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"
#include "kernels/wide_layout.h"
#include "kernels/window_layout.h"

namespace sparsebook::kernels {

/// M x K activations: element (m, k) is data[m * row_stride + k * column_stride].
struct Activations {
  const float* data;
  std::size_t rows;
  std::size_t row_stride;
  std::size_t column_stride;
};

/// A weight in the layouts that products with it take: windows for one row of activations, windows for several where another format is
/// better for those, and a wide layout for many; a small weight with few zeros has its floats for one row and a few. The first is made here; the
/// others when a number of activations wants them first.
class Matmul {
 public:
  Matmul(const Variant& variant, const SparseMatrix& weight);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }

  /// y (M x rows(), row-major) = epilogue(x times the weight's transpose): output n is row n of the weight, whose columns
  /// are x's. Sums are taken in float32, in an order that depends on shapes alone, and on whether all of x is finite. Safe to call from several
  /// threads; `scratch` may serve any number of products.
  void run(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const;

  /// Bytes of the layouts that have been made.
  [[nodiscard]] std::size_t bytes() const;

  /// "window", "floats", "block" or "codes" (wide_layout.h), or those that have been made with a plus between.
  [[nodiscard]] const char* form() const;

 private:
  /// The windows by which so many activations cost least; null where the wide layout does it for less.
  [[nodiscard]] const WindowLayout* windows_for(std::size_t activations) const;
  [[nodiscard]] const WindowLayout& several() const;
  [[nodiscard]] const WideLayout& wide() const;
  [[nodiscard]] WideLayout widened(const SparseMatrix& weight) const;
  /// Whether floats are the cheapest for so many activations.
  [[nodiscard]] bool takes_floats(std::size_t activations) const;
  [[nodiscard]] double wide_cost(std::size_t activations) const;
  /// The weight again, from the windows or the floats.
  [[nodiscard]] OwnedMatrix unpacked() const;
  [[nodiscard]] SparseMatrix view(const OwnedMatrix& matrix) const;
  void run_floats(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, float* y) const;
  bool run_windows(const WindowLayout& windows, const Activations& x, const Epilogue& epilogue, const Parallel& parallel,
                   Scratch& scratch, float* y) const;
  void run_window_batch(const WindowLayout& windows, unsigned batch, std::size_t first, std::size_t count, const std::uint8_t* prepared,
                        std::size_t pitch, const Epilogue& epilogue, const Parallel& parallel, float* y) const;
  void run_wide(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const;
  void run_tile(const WideLayout& layout, const WideTile& tile, const Activations& x, std::size_t first, std::size_t count,
                const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const;

  const Variant* variant_;
  std::size_t rows_;
  std::size_t columns_;
  unsigned centroids_;
  std::uint64_t nonzeros_;
  std::size_t block_columns_;
  std::array<float, 256> codebook_{};
  std::optional<WindowLayout> window_;
  std::optional<FloatLayout> floats_;  ///< in place of windows
  WindowChoice for_several_;  ///< no row where it would be that of `window_`
  Late<WindowLayout> several_;
  Late<WideLayout> wide_;
};

}  // namespace sparsebook::kernels
