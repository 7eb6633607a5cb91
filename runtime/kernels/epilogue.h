// What happens to sums before they are stored.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

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

  /// Stores the results of `count` sums of row m, columns from n on, which lie side by side.
  void store(const float* sums, std::size_t count, std::size_t m, std::size_t n, float* y) const {
    if (bias == nullptr) {
      for (std::size_t i = 0; i < count; ++i) y[i] = activation(alpha * sums[i]);
      return;
    }
    const float* from = bias + m * bias_row_stride + n * bias_column_stride;
    if (bias_column_stride == 1) {
      for (std::size_t i = 0; i < count; ++i) y[i] = activation(alpha * sums[i] + beta * from[i]);
    } else {
      for (std::size_t i = 0; i < count; ++i) y[i] = activation(alpha * sums[i] + beta * from[i * bias_column_stride]);
    }
  }
};

}  // namespace sparsebook::kernels
