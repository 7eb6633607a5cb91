// What happens to sums before they are stored.
#pragma once

#include <cstddef>

#include "kernels/activation.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// activation(alpha * sum + bias(m, n)), with bias(m, n) = beta * bias[m * bias_row_stride + n * bias_column_stride], strides of 0
/// broadcasting, or 0 where `bias` is null.
struct Epilogue {
  float alpha = 1;
  float beta = 1;
  const float* bias = nullptr;
  std::size_t bias_row_stride = 0;
  std::size_t bias_column_stride = 0;
  Activation activation;

  /// What becomes of the sums of row m, columns from n on. `bias_column_stride` is 0 or 1.
  [[nodiscard]] Finish at(std::size_t m, std::size_t n) const {
    const float* from = bias == nullptr ? nullptr : bias + m * bias_row_stride + n * bias_column_stride;
    return {alpha, beta, activation.low, activation.high, from, bias_column_stride};
  }
};

}  // namespace sparsebook::kernels
