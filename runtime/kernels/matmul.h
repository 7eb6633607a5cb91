// Sparse weight times dense activations.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/epilogue.h"
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

/// A weight in the layouts that products with it take. The first is made here; the other one, where the number of activations wants
/// it, when it is wanted first.
class Matmul {
 public:
  Matmul(const Variant& variant, const SparseMatrix& weight);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }

  /// y (M x rows(), row-major) = epilogue(x times the weight's transpose): output n is row n of the weight, whose columns
  /// are x's. Sums are taken in float32, in an order that depends on shapes alone. Safe to call from several
  /// threads; `scratch` may serve any number of products.
  void run(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const;

  /// Bytes of the layouts that have been made.
  [[nodiscard]] std::size_t bytes() const;

  /// "window", "block" or "codes" (wide_layout.h), or two of them with a plus between.
  [[nodiscard]] const char* form() const;

 private:
  [[nodiscard]] bool prefers_windows(std::size_t activations) const;
  [[nodiscard]] const WideLayout& wide() const;
  bool run_windows(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const;
  void run_window_batch(unsigned batch, std::size_t first, std::size_t count, const std::uint8_t* prepared, std::size_t pitch,
                        const Epilogue& epilogue, const Parallel& parallel, float* y) const;
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
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const WideLayout> owned_wide_;
  mutable std::atomic<const WideLayout*> wide_{nullptr};
};

}  // namespace sparsebook::kernels
